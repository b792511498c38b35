//! Signatures in headers of the receiver's own, and what an answer asks for with the header `webhook-delivery`.

use super::{default_webhook, record, stage};
use crate::harness::PATIENCE;
use crate::harness::check::Scene;
use crate::harness::receiver::{Answer, Received};
use crate::harness::signature;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

const SECRET: &str = "It's a Secret to Everybody";
const OTHER: &str = "0123456789abcdef";

/// Verifies the signature of `content` as a receiver does.
#[track_caller]
fn verify(algorithm: hmac::Algorithm, secret: &str, content: &[u8], signature: &[u8]) {
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    hmac::verify(&key, content, signature).expect("the signature is right");
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn is_signed(request: &Received) {
    let body = &request.body[..];
    let plain = request.header("x-signature-256").strip_prefix("sha256=").expect("a prefix");
    verify(hmac::HMAC_SHA256, SECRET, body, &hex(plain));
    let timestamp = request.header("webhook-timestamp");
    let timed = [timestamp.as_bytes(), b".", body].concat();
    let value = request.header("x-timed");
    let prefix = format!("t={timestamp},v1=");
    let timed_signature = value.strip_prefix(&prefix).expect("a prefix with the time");
    let timed_signature = STANDARD.decode(timed_signature).expect("base64");
    verify(hmac::HMAC_SHA512, OTHER, &timed, &timed_signature);
    let old = hex(request.header("x-old"));
    let content = [b"v0:", request.id().as_bytes(), b":", body].concat();
    verify(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET, &content, &old);
}

#[test]
fn receivers_verify_several_signatures_beside_standard_webhooks() {
    let definition = r#"url = "{url}/28"
        signing_secrets = ["SIGNING"]
        signatures = [
            { header = "X-Signature-256", scheme = "hmac-sha256", prefix = "sha256=", content = "{body}", secret = { env = "SHARED" } },
            { header = "X-Timed", scheme = "hmac-sha512", encoding = "base64", prefix = "t={timestamp},v1=", content = "{timestamp}.{body}", secret = { env = "OTHER" } },
            { header = "x-old", scheme = "hmac-sha1", content = "v0:{id}:{body}", secret = { env = "SHARED" } },
        ]"#;
    let text = default_webhook(28, &definition.replace("SIGNING", signature::SECRET));
    let mut stage = stage("signatures", &text);
    stage.set_variable("SHARED", SECRET);
    stage.set_variable("OTHER", OTHER);
    stage.receiver.statuses(&[503, 200]);
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[record(&stage, "u-28", 28, &super::KEYS)]);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    requests.iter().for_each(is_signed);
    signature::verify(signature::SECRET, &requests);
    let seen = scene.daemon.logged();
    assert!(!seen.contains("Everybody") && !seen.contains(OTHER), "{seen}");
    stage.receiver.statuses(&[200]);
    let done = stage.command(&["webhook", "test", "of-28", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("x-signature-256: sha256="), "{done:?}");
    assert!(!done.out.contains("Everybody") && !done.out.contains(OTHER), "{done:?}");
    is_signed(stage.receiver.requests().last().expect("a test message"));
}

#[test]
fn an_answer_ends_its_delivery_or_disables_its_endpoint() {
    let text = default_webhook(28, "url = \"{url}/abort\"")
        + &default_webhook(29, "url = \"{url}/disable\"")
        + &default_webhook(30, "url = \"{url}/accepted\"");
    let stage = stage("signatures-control", &text);
    stage.receiver.script(|request, _| match request.path.as_str() {
        "/abort" => Answer::status(503).header("webhook-delivery", "abort-message"),
        "/disable" => Answer::status(500).header("webhook-delivery", "Disable"),
        _ => Answer::status(200).header("webhook-delivery", "disable"),
    });
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[28, 29, 30].map(|id| record(&stage, &format!("u-{id}"), id, &[])));
    let letters = stage.dead_letters(2, PATIENCE);
    assert!(letters.iter().all(|letter| letter.header("ringback.reason") == "refused"));
    assert_eq!(scene.wait_for("delivered", 1)[0]["webhook"], "of-30");
    let disabled = scene.wait_for("endpoint_disabled", 2);
    assert!(disabled.iter().all(|event| event["cause"] == "gone"), "{disabled:?}");
    // The endpoint that only ended its delivery gets the next one.
    stage.kafka.produce(&[28, 29, 30].map(|id| record(&stage, &format!("v-{id}"), id, &[])));
    let letters = stage.dead_letters(5, PATIENCE);
    let with =
        |reason: &str| letters.iter().filter(|it| it.header("ringback.reason") == reason).count();
    assert_eq!((with("refused"), with("endpoint_disabled")), (3, 2));
    scene.daemon.stop();
    let count = |path: &str| {
        stage.receiver.requests().iter().filter(|request| request.path == path).count()
    };
    assert_eq!([count("/abort"), count("/disable"), count("/accepted")], [2, 1, 1]);
}
