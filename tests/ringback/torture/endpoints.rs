//! Endpoints that behave in different ways, each with its own account.

use crate::harness::receiver::{Answer, Received};
use crate::harness::rude::{self, Words};
use crate::harness::samples::{ACCOUNT, Random};
use crate::harness::stage::Stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Endpoints that answer by the receiver's script, and the accounts that send to them.
const SCRIPTED: [(&str, i64); 5] =
    [("failing", 101), ("busy", 102), ("hanging", 103), ("slow", 104), ("gone", 105)];
/// Endpoints that do not speak HTTP: they send nothing or garbage.
const RUDE: [(&str, i64, &str); 3] = [
    ("silent", 106, ""),
    ("garbled", 107, "HTTP/0.7 fine\r\n\r\n"),
    ("foreign", 108, "220 ready\r\n"),
];

/// Adds these endpoints beside the stage's own, which works. Once the returned flag is set, the scripted ones work,
/// except `gone`.
pub(super) fn add(stage: &mut Stage) -> Arc<AtomicBool> {
    for (name, account) in SCRIPTED {
        let url = stage.receiver.url(&format!("/{name}"));
        stage.add_account(account);
        stage.add_webhook(name, account, &url);
    }
    for (name, account, words) in RUDE {
        let port = rude::start(Words::only(words));
        stage.add_account(account);
        stage.add_webhook(name, account, &format!("http://127.0.0.1:{port}/"));
    }
    let healed = Arc::new(AtomicBool::new(false));
    let better = Arc::clone(&healed);
    stage.receiver.script(move |request, nth| answer(request, nth, better.load(Ordering::SeqCst)));
    healed
}

/// Returns a random account. The one whose endpoint works is more likely than all others together.
pub(super) fn account(random: &mut Random) -> i64 {
    let others: Vec<i64> = SCRIPTED
        .iter()
        .map(|(_, account)| *account)
        .chain(RUDE.iter().map(|(_, account, _)| *account))
        .collect();
    let draw = usize::try_from(random.within(0..20)).expect("small");
    others.get(draw).copied().unwrap_or(ACCOUNT)
}

fn answer(request: &Received, nth: usize, healed: bool) -> Answer {
    let draw = request.id().bytes().fold(nth, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
    let draw = draw % 100;
    let fine = Answer::status(200);
    match request.path.as_str() {
        "/gone" => Answer::status(410),
        _ if healed => fine,
        "/failing" if draw < 40 => Answer::status(if draw < 20 { 500 } else { 503 }),
        "/busy" if draw < 5 => Answer::status(429).header("retry-after", "1"),
        "/hanging" if draw < 10 => Answer::never(),
        "/slow" => fine.after(Duration::from_millis(300)),
        _ => fine.after(Duration::from_millis(draw as u64 % 5)),
    }
}
