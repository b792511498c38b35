//! How texts of gateways are read, and which words decide.

use super::{STATUS_BYTES_MAX, Status, StatusClass, StatusMeaning, StatusTable, status_word};
use StatusClass::{Final, Intermediate};

fn of(word: &str, class: StatusClass, status: Option<&str>) -> (String, StatusMeaning) {
    (word.to_owned(), StatusMeaning { class, status: status.map(Into::into) })
}

const RECEIPT: &str = "id:0123 sub:001 dlvrd:001 submit date:2601010100 done date:2601010101 stat:DELIVRD err:000 text:none";

#[test]
fn blanks_around_a_word_never_count() {
    let table = StatusTable::default();
    for text in ["SENT", " SENT", "sent \t", "\r\nSent\n", "\u{a0}SENT\u{3000}"] {
        let Status { name, class, is_known } = table.read(text);
        assert!(name.eq_ignore_ascii_case("SENT"), "{text:?}");
        assert_eq!((class, is_known), (Intermediate, true), "{text:?}");
    }
    assert!(!table.read("SE NT").is_known);
}

#[test]
fn two_spellings_are_one_status_for_rules() {
    let table = StatusTable::default();
    let same = |word: &str, text: &str| table.is_same(word, table.read(text).name);
    assert!(same("DELIVERED", "DELIVRD") && same("DELIVRD", "DELIVERED"));
    assert!(same("delivered", " delivrd ") && same("DELIVRD", "DELIVRD"));
    assert!(same("ODD", "odd") && !same("ODD", "DELIVRD") && !same("SENT", "QUEUED"));
    assert!(same("DELIVERED", RECEIPT) && !same("FAILED", RECEIPT));
}

#[test]
fn a_receipt_is_read_as_its_stat() {
    for (text, word) in [
        (RECEIPT, "DELIVRD"),
        (
            "id:1 sub:001 dlvrd:000 submit date:1 done date:2 stat:UNDELIV err:075 Text:-PROFILE",
            "UNDELIV",
        ),
        ("  id:1 STAT:EXPIRED err:1  ", "EXPIRED"),
        ("stat: ACCEPTD err:000", "ACCEPTD"),
        ("stat:REJECTD", "REJECTD"),
        ("id:1\tstat:ENROUTE\terr:0", "ENROUTE"),
        // The text is the customer's: it says nothing about the status.
        ("id:1 err:000 text:hi stat:DELIVRD", "id:1 err:000 text:hi stat:DELIVRD"),
        ("id:1 stat:FAILED err:1 text:stat:DELIVRD", "FAILED"),
        // No value, and texts that are no receipt.
        ("id:1 stat: err:000", "id:1 stat: err:000"),
        ("id:1 stat:", "id:1 stat:"),
        ("estat:DELIVRD", "estat:DELIVRD"),
        ("FAILED: absent subscriber", "FAILED: absent subscriber"),
        (":", ":"),
        ("", ""),
    ] {
        assert_eq!(status_word(text), word, "{text:?}");
    }
    assert_eq!(StatusTable::default().read(RECEIPT).class, Final);
}

#[test]
fn the_configuration_decides_before_the_documented_words_and_whole_words_before_patterns() {
    let documented = StatusTable::documented([
        of("PENDING_*", Intermediate, None),
        of("PENDING_DEAD", Final, None),
        of("SENT", Intermediate, None),
    ]);
    let class = |table: &StatusTable, word| table.meaning(word).map(|meaning| meaning.class);
    assert_eq!(class(&documented, "PENDING_x"), Some(Intermediate));
    assert_eq!(class(&documented, "pending_dead"), Some(Final));
    assert_eq!(class(&documented, "PENDING"), None);
    let table = documented.configured(
        [
            of("S*", Final, None),
            of("SE*", Intermediate, None),
            of("S*D", Final, None),
            of("T*", Intermediate, None),
            of("TO*", Final, None),
            of("sold", Intermediate, None),
            of("8", Intermediate, Some("SUBMITTED")),
            of("err_*", Final, Some("FAILED")),
        ],
        Intermediate,
    );
    // The longest pattern decides; of two that are as long, the intermediate one.
    for (word, wanted) in [
        ("SENT", Intermediate),
        ("SEND", Intermediate),
        ("SUBMITTED", Final),
        ("TOLD", Final),
        ("TALK", Intermediate),
        ("SOLD", Intermediate),
        ("PENDING_DEAD", Final),
    ] {
        assert_eq!(class(&table, word), Some(wanted), "{word}");
    }
    assert_eq!(
        table.read(" 8 "),
        Status { name: "SUBMITTED", class: Intermediate, is_known: true }
    );
    assert_eq!(table.read("ERR_7"), Status { name: "FAILED", class: Final, is_known: true });
    assert_eq!(table.read("ODD"), Status { name: "ODD", class: Intermediate, is_known: false });
    assert_eq!(documented.read("ODD").class, Final);
}

#[test]
fn a_word_that_is_too_long_is_unknown() {
    let table = StatusTable::documented([of("A*", Intermediate, None)]);
    assert!(table.read(&"A".repeat(STATUS_BYTES_MAX)).is_known);
    assert!(!table.read(&"A".repeat(STATUS_BYTES_MAX + 1)).is_known);
}
