//! Signatures, verified by an implementation that is not ours: PyPI's `standardwebhooks`.

use super::child::cache;
use super::receiver::Received;
use std::io::Write;
use std::process::{Command, Stdio};

/// Prints `null` or the complaint for each of the cases that stand on its input.
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

/// A secret that fits the specification.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What the library says against each request, `None` where it agrees. One start of the interpreter for all of them.
pub(crate) fn complaints(secret: &str, requests: &[Received]) -> Vec<Option<String>> {
    let python = cache().join("venv/bin/python");
    assert!(python.exists(), "{} is missing: run ops/local/setup.sh test", python.display());
    let case = |request: &Received| serde_json::json!({"secret": secret, "headers": request.headers, "body": request.text()});
    let cases = serde_json::Value::Array(requests.iter().map(case).collect());
    let mut program = Command::new(python);
    program.args(["-c", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = program.spawn().expect("python runs");
    let mut input = program.stdin.take().expect("it is piped");
    input.write_all(cases.to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = program.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).expect("a list of complaints")
}

/// Panics unless every request is signed with `secret`.
pub(crate) fn verify(secret: &str, requests: &[Received]) {
    assert!(!requests.is_empty(), "nothing to verify");
    for (request, complaint) in requests.iter().zip(complaints(secret, requests)) {
        assert_eq!(complaint, None, "the signature of {request:?}");
    }
}
