//! Delivery statuses as gateways write them, and the patterns of `[statuses]`.

use super::{seen, split};
use crate::target::{Seen, Target};
use ringback::definition::catalogue::statuses;
use ringback::domain::{StatusClass, StatusMeaning, StatusPattern, status_word};

/// A status, an empty line, then a pattern.
pub(super) const STATUS: Target = Target {
    name: "status",
    run: status,
    seeds: || {
        let receipt = "id:0123 sub:001 dlvrd:001 submit date:2601010100 done date:2601010101 stat:DELIVRD err:000 text:hi";
        [" DELIVRD \n\n*VR*", "PENDING_ENROUTE\n\nPENDING_*", "8\n\n8", &format!("{receipt}\n\n*")]
            .map(|seed| seed.as_bytes().to_vec())
            .into()
    },
    words: &[
        "stat:", "text:", "id:", " ", "*", "**", "_", "DELIVRD", "UNDELIV", "err:000", "\u{a0}",
    ],
    bytes_per_byte: 16,
};

fn status(input: &[u8]) -> Seen {
    let (text, pattern) = split(input);
    let (text, pattern) = (String::from_utf8_lossy(text), String::from_utf8_lossy(pattern));
    let word = status_word(&text);
    assert!(text.contains(word), "the word is a part of the text");
    assert_eq!(word.trim(), word, "no blanks are left around it");
    let read = statuses().read(&text);
    let shouted = text.to_ascii_uppercase();
    let again = statuses().read(&shouted);
    assert_eq!((read.class, read.is_known), (again.class, again.is_known), "case does not matter");
    assert!(read.name.eq_ignore_ascii_case(again.name));
    assert!(statuses().is_same(read.name, read.name));

    let matches = StatusPattern::parse(&pattern).map(|pattern| pattern.matches(word));
    let whole = pattern.eq_ignore_ascii_case(word);
    assert!(matches != Some(false) || !whole, "a pattern matches its own text");
    // A configured pattern decides before the documented words.
    let meaning = StatusMeaning { class: StatusClass::Intermediate, status: None };
    let table = statuses().configured([(pattern.into_owned(), meaning)], StatusClass::Final);
    let configured = table.read(&text);
    if matches == Some(true) && word.len() <= ringback::domain::STATUS_BYTES_MAX {
        assert_eq!(configured.class, StatusClass::Intermediate);
    }
    seen(format!("{read:?} {matches:?} {configured:?}"))
}
