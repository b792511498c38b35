//! `[statuses]` and `phase2_gather_s`: what they mean, and which of them have no effect.

use super::{Folder, check, settings};
use crate::domain::{Status, StatusClass};
use StatusClass::{Final, Intermediate};

#[test]
fn patterns_aliases_and_the_class_of_unknown_words_apply() {
    let statuses = settings(
        r#"
        [statuses]
        final = ["*_DEAD", " gone "]
        intermediate = ["held_*", "EXPIRED"]
        unknown = "intermediate"
        [statuses.aliases]
        8 = "SUBMITTED"
        "D" = "DELIVRD"
        "e_*" = "gone"
        "h" = "HELD_BACK"
        "#,
    )
    .statuses;
    for (text, name, class) in [
        ("HELD_BY_OPERATOR", "HELD_BY_OPERATOR", Intermediate),
        ("QUITE_DEAD", "QUITE_DEAD", Final),
        ("gone", "gone", Final),
        (" expired", "expired", Intermediate),
        ("8", "SUBMITTED", Intermediate),
        ("d", "DELIVERED", Final),
        ("E_42", "GONE", Final),
        ("H", "HELD_BACK", Intermediate),
        ("SENT_TO_QUEUE", "SENT_TO_QUEUE", Intermediate),
        ("PENDING_ACCEPTED", "PENDING_ACCEPTED", Intermediate),
        ("UNDELIV", "UNDELIVERED", Final),
    ] {
        assert_eq!(statuses.read(text), Status { name, class, is_known: true }, "{text}");
    }
    let unknown = Status { name: "VANISHED", class: Intermediate, is_known: false };
    assert_eq!(statuses.read("VANISHED"), unknown);
    assert_eq!(settings("").statuses.read("VANISHED").class, Final);
    assert!(statuses.is_same("8", "SUBMITTED") && statuses.is_same("D", "DELIVERED"));
}

#[test]
fn another_class_of_a_spelling_leaves_it_the_same_status() {
    let statuses = settings("[statuses]\nintermediate = ['UNDELIV']\n").statuses;
    let wanted = Status { name: "UNDELIVERED", class: Intermediate, is_known: true };
    assert_eq!(statuses.read("UNDELIV"), wanted);
    assert_eq!(statuses.read("UNDELIVERED").class, Final);
}

#[test]
fn words_that_can_not_be_meant_are_faults() {
    let long = "A".repeat(65);
    check(
        &format!(
            "[statuses]\nfinal = [' ', '**', 'a', 'A ', 'id:1 stat:ODD err:0', '{long}']\nintermediate = ['a']\n\
             unknown = 'never'\n[statuses.aliases]\n'a' = 'SENT'\n'b' = 'c'\n'c' = 'SENT'\n'd' = 'VANISHED'\n\
             'C ' = 'SENT'\n"
        ),
        "",
        &[
            "ringback.toml:2: statuses.final[#1]: is empty; write a status, as in \"SENT\"",
            "ringback.toml:2: statuses.final[#2]: matches every status; set `unknown` to the class of unknown statuses",
            "ringback.toml:2: statuses.final[#4]: `A` is listed twice; list it once",
            "ringback.toml:2: statuses.final[#5]: is a delivery receipt, which is read as its `stat`; write \"ODD\"",
            "ringback.toml:2: statuses.final[#6]: is too long; write at most 64 bytes, or a pattern as in \"PENDING_*\"",
            "ringback.toml:3: statuses.intermediate[#1]: `a` is also in the list of final words; keep it in one of the two \
             lists",
            "ringback.toml:4: statuses.unknown: unknown word `never`; write one of final, intermediate",
            "ringback.toml:6: statuses.aliases.a: is also in a list of words, and the alias decides; \
             keep one of the two",
            "ringback.toml:7: statuses.aliases.b: means `c`, which is an alias itself; write the status that is meant",
            "ringback.toml:9: statuses.aliases.d: means `VANISHED`, which is no known status; write a known one, or add \
             it to `final` or `intermediate`",
            "ringback.toml:10: statuses.aliases.C : is written twice; write it once",
        ],
    );
}

#[test]
fn a_setting_without_effect_is_a_fault() {
    check(
        "[statuses]\nfinal = ['DELIVERED', 'X*', 'XY*', 'XYZ']\nintermediate = ['sent', 'ABC*', 'AB*', 'A*', 'XQ']\n\
         [statuses.aliases]\n'DELIVRD' = 'DELIVERED'\n'sent' = 'SENT'\n",
        "",
        &[
            "ringback.toml:2: statuses.final[#1]: has no effect: `DELIVERED` is final without it; remove it",
            "ringback.toml:2: statuses.final[#3]: has no effect: another pattern makes `XY*` final; remove it",
            "ringback.toml:2: statuses.final[#4]: has no effect: another pattern makes `XYZ` final; remove it",
            "ringback.toml:3: statuses.intermediate[#1]: has no effect: `SENT` is intermediate without it; remove it",
            "ringback.toml:3: statuses.intermediate[#2]: has no effect: another pattern makes `ABC*` intermediate; \
             remove it",
            "ringback.toml:3: statuses.intermediate[#3]: has no effect: another pattern makes `AB*` intermediate; \
             remove it",
            "ringback.toml:5: statuses.aliases.DELIVRD: has no effect: `DELIVRD` is final without it; remove it",
            "ringback.toml:6: statuses.aliases.sent: is also in a list of words, and the alias \
             decides; keep one of the two",
        ],
    );
    // A pattern between two others of another class gives the longest one an effect.
    settings("[statuses]\nfinal = ['A*', 'ABC*']\nintermediate = ['AB*']\n");
}

#[test]
fn a_word_that_the_catalogue_has_learnt_is_a_warning() {
    let folder = Folder::new("[statuses]\nintermediate = ['PENDING_*', 'sending']\n", "");
    let warnings: Vec<String> = folder.warnings();
    let wanted = [
        "statuses.intermediate[#1]: has no effect any more: `PENDING_*` is intermediate without it; remove it",
        "statuses.intermediate[#2]: has no effect any more: `SENDING` is intermediate without it; remove it",
    ];
    assert_eq!(warnings.len(), wanted.len(), "{warnings:?}");
    for (warning, wanted) in warnings.iter().zip(wanted) {
        assert!(
            warning.ends_with(wanted) && warning.contains("ringback.toml:2: warning"),
            "{warning}"
        );
    }
}

#[test]
fn there_is_a_limit_on_patterns() {
    let patterns: Vec<String> = (0..101).map(|number| format!("'P{number}_*'")).collect();
    check(
        &format!("[statuses]\nfinal = [{}]\n", patterns.join(", ")),
        "",
        &[
            "ringback.toml:2: statuses.final[#101]: is one pattern more than the 100 that are possible; use fewer and \
           shorter patterns",
        ],
    );
}

#[test]
fn an_alias_can_come_from_the_environment() {
    let folder = Folder::new("", "").variable("RINGBACK__STATUSES__ALIASES__SENT_OK", "DELIVERED");
    let (settings, _) = folder.loaded();
    assert_eq!(settings.statuses.read("SENT_OK").name, "DELIVERED");
}

#[test]
fn a_time_for_gathering_that_ends_nothing_is_a_fault() {
    let gather = |more: &str| format!("[correlation]\nphase2_gather_s = 30\n{more}");
    assert_eq!(settings(&gather("")).correlation.phase2_gather_ms, 30_000);
    check(
        &gather("phase2_wait = 'each'\n"),
        "",
        &[
            "ringback.toml:2: correlation.phase2_gather_s: has no effect: with phase2_wait = \"each\", no webhook waits \
           for another SMS; remove it, or set phase2_wait = \"all\"",
        ],
    );
    check(
        &gather("report_timeout_s = 29\n"),
        "",
        &[
            "ringback.toml:2: correlation.phase2_gather_s: is longer than report_timeout_s, which ends the wait; write \
           29 or less",
        ],
    );
}
