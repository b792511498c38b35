//! Signatures, verified by foreign implementations: PyPI's `standardwebhooks`, and OpenSSL for Ed25519, which that
//! library ignores.

use super::child::{cache, run_dir};
use super::receiver::Received;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;
use std::process::{Command, Stdio};

/// Reads a list of cases and prints `null` or the complaint for each.
const PROGRAM: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook

def complaint(case):
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
    except Exception as error:
        return repr(error)

print(json.dumps([complaint(case) for case in json.load(sys.stdin)]))
"#;

/// A secret as the specification requires it.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Returns the library's complaint about each request, or `None` for a valid one. All requests share one start of the
/// interpreter.
pub(crate) fn complaints(secret: &str, requests: &[Received]) -> Vec<Option<String>> {
    let python = cache().join("venv/bin/python");
    assert!(python.exists(), "{} is missing: run ops/local/setup.sh test", python.display());
    let case = |request: &Received| serde_json::json!({"secret": secret, "headers": request.headers, "body": request.text()});
    let cases = serde_json::Value::Array(requests.iter().map(case).collect());
    let mut program = Command::new(python);
    program.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = program.spawn().expect("python runs");
    let mut input = program.stdin.take().expect("stdin is piped");
    input.write_all(cases.to_string().as_bytes()).expect("python reads");
    drop(input);
    let output = program.wait_with_output().expect("python ends");
    serde_json::from_slice(&output.stdout).expect("a list of complaints")
}

/// Panics unless every request is signed with `secret`.
pub(crate) fn verify(secret: &str, requests: &[Received]) {
    assert!(!requests.is_empty(), "nothing to verify");
    for (request, complaint) in requests.iter().zip(complaints(secret, requests)) {
        assert_eq!(complaint, None, "the signature of {request:?}");
    }
}

/// Panics unless every request is signed with the key that belongs to the public key `whpk_…`.
pub(crate) fn verify_ed25519(public: &str, requests: &[Received]) {
    assert!(!requests.is_empty(), "nothing to verify");
    for request in requests {
        assert!(is_signed_ed25519(public, request), "the signature of {request:?}");
    }
}

/// Returns whether one of the request's `v1a` signatures is valid.
pub(crate) fn is_signed_ed25519(public: &str, request: &Received) -> bool {
    // These bytes precede the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
    const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    let decode = |text: &str| STANDARD.decode(text).expect("base64");
    let key = decode(public.strip_prefix("whpk_").expect("a public key"));
    let id_and_time = [request.id(), ".", request.header("webhook-timestamp"), "."].concat();
    let dir = tempfile::tempdir_in(run_dir()).expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let key = file("key", &[SPKI, &key].concat());
    let content = file("content", &[id_and_time.as_bytes(), &request.body].concat());
    let mut signatures = request.header("webhook-signature").split(' ');
    signatures.any(|signature| {
        let Some(signature) = signature.strip_prefix("v1a,") else { return false };
        let mut openssl = Command::new("openssl");
        openssl.args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey"]);
        openssl.arg(&key).arg("-in").arg(&content).arg("-sigfile");
        openssl.arg(file("signature", &decode(signature)));
        openssl.output().expect("openssl runs").status.success()
    })
}
