//! How secrets are found in answers.

use super::Hidden;
use crate::domain::{ErrorReason, Mapped, Outcome, Verdict};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;

fn hidden(secrets: &[&str]) -> Hidden {
    let mut hidden = Hidden::default();
    for secret in secrets {
        hidden.add(secret);
    }
    hidden
}

/// Returns the answer that is kept of `answer`.
fn kept(hidden: &Hidden, answer: &[u8], response_truncated: bool) -> Vec<u8> {
    let outcome = Outcome {
        response: Bytes::copy_from_slice(answer),
        response_truncated,
        ..Outcome::unanswered(Verdict::Retry, ErrorReason::Refused, "")
    };
    hidden.outcome(outcome).response.to_vec()
}

#[track_caller]
fn check(secret: &str, answer: &str, shown: &str) {
    let kept = kept(&hidden(&[secret]), answer.as_bytes(), false);
    assert_eq!(String::from_utf8(kept).unwrap(), shown, "{secret} in {answer}");
}

#[test]
fn mapped_values_without_their_secret_are_json() {
    let hidden = hidden(&["12345678"]);
    for (value, shown) in [
        ("12345678", "\"***\""),
        ("\"a 12345678\"", "\"a ***\""),
        ("{\"a\":[12345678]}", "\"***\""),
        ("{\"a\":\"12345678\"}", "{\"a\":\"***\"}"),
        ("\"\\\\u003112345678\"", "\"\\\\u0031***\""),
        ("\"\\\\u00312345678\"", "\"***\""),
        ("7", "7"),
    ] {
        let mapped = Mapped { save_in: "$flow.key.a".into(), value: value.into() };
        assert_eq!(&*hidden.mapped(&[mapped])[0].value, shown, "{value}");
    }
}

#[test]
fn a_secret_is_found_as_it_is_and_escaped_as_json() {
    const SECRET: &str = "a\"b\\c/é<😀";
    check(SECRET, "1 a\"b\\c/é<😀 2", "1 *** 2");
    check(SECRET, r#"{"k":"a\"b\\c/é<😀"}"#, r#"{"k":"***"}"#);
    check(SECRET, r#"["a\"b\\c\/\u00e9\u003C\ud83d\ude00"]"#, r#"["***"]"#);
    check(SECRET, r#"{"body":"{\"k\":\"a\\\"b\\\\c/é<😀\"}"}"#, r#"{"body":"{\"k\":\"***\"}"}"#);
    check(
        SECRET,
        r#"["a\"b\\c\/\u00e9\u003D\ud83d\ude00"]"#,
        r#"["a\"b\\c\/\u00e9\u003D\ud83d\ude00"]"#,
    );
}

#[test]
fn a_secret_is_found_percent_encoded_and_escaped_as_xml() {
    const SECRET: &str = "p&ss w<rd%41+é'";
    check(SECRET, "a=p%26ss+w%3Crd%2541%2B%C3%A9%27&b=1", "a=***&b=1");
    check(SECRET, "a=p%26ss%20w%3crd%2541+%c3%a9'", "a=***");
    check(SECRET, "<a>p&amp;ss w&lt;rd%41+é&apos;</a>", "<a>***</a>");
    check(SECRET, "<a>p&#38;ss&#x20;w&#x3C;rd%41+&#233;&#39;</a>", "<a>***</a>");
    check(SECRET, "<a>p&amp;ss w&gt;rd%41+é&apos;</a>", "<a>p&amp;ss w&gt;rd%41+é&apos;</a>");
    // The pair of basic authentication in a query.
    check("dTpw+/==", "?auth=dTpw%2B%2F%3D%3D", "?auth=***");
}

#[test]
fn a_secret_that_looks_like_an_escape_is_found_as_it_is() {
    let of_all = "\\n%41&amp;";
    let secrets =
        ["%41bcd", "\\u0041bcd", "&amp;bcd", "+bcd", " bcd", "%25%25", "\\\\\\\\", of_all];
    for secret in secrets {
        check(secret, &format!("a{secret}b"), "a***b");
    }
}

#[test]
fn the_longest_secret_at_a_place_is_hidden_and_others_are_found_behind_it() {
    let hidden = hidden(&["abcd", "abcdefgh", "cdef", "1234"]);
    for (answer, shown) in [
        ("abcdefgh", "***"),
        ("abcdefg", "***efg"),
        ("xcdefgh", "x***gh"),
        ("1234abcd123", "******123"),
        ("", ""),
    ] {
        assert_eq!(kept(&hidden, answer.as_bytes(), false), shown.as_bytes(), "{answer}");
    }
    // Bytes that are no text stay as they are.
    assert_eq!(kept(&hidden, b"\xff1234\xfe", false), b"\xff***\xfe");
}

/// A secret of one letter would turn each answer into stars.
#[test]
fn a_secret_of_less_than_four_characters_is_not_hidden() {
    let hidden = hidden(&["", "1", "é😀é", "abc"]);
    let answer = "1 abc é😀é";
    assert_eq!(kept(&hidden, answer.as_bytes(), false), answer.as_bytes());
    check("é😀é1", "1 é😀é1", "1 ***");
}

#[test]
fn a_secret_that_the_end_of_a_long_answer_cuts_is_hidden() {
    let hidden = hidden(&["abcdefgh\"&é"]);
    for (answer, shown) in [
        ("1 abcdefg", "1 "),
        ("1 abcd", "1 "),
        ("1 abcdefgh\\", "1 "),
        ("1 abcdefgh\\u002", "1 "),
        ("1 abcdefgh%2", "1 "),
        ("1 abcdefgh&quo", "1 "),
        ("1 abcdefgh&quot;&am", "1 "),
        ("abcdefgh\"&é abcde", "*** "),
        ("1 abc", "1 abc"),
        ("abcdefgx", "abcdefgx"),
    ] {
        assert_eq!(kept(&hidden, answer.as_bytes(), true), shown.as_bytes(), "{answer}");
    }
    assert_eq!(kept(&hidden, b"1 abcdefg", false), b"1 abcdefg", "the answer is whole");
    assert_eq!(kept(&hidden, b"abcdefgh\"&\xc3", true), b"", "a character is cut");
}

/// An endpoint knows the secret, and could answer with beginnings of it. Each is compared once.
#[test]
fn a_long_beginning_of_a_secret_is_hidden() {
    let secret = format!("{}b", "a".repeat(60_000));
    check(&secret, &"a".repeat(65_000), "******");
    check(&secret, &format!("{}\\u0061c", "a".repeat(63)), "***c");
    let short = "a".repeat(63);
    check(&secret, &format!("{short}c"), &format!("{short}c"));
}

#[test]
fn tokens_and_rendered_credentials_are_hidden() {
    let pair = STANDARD.encode("user:pass:word");
    let basic = HeaderValue::try_from(format!("Basic {pair}")).unwrap();
    let bearer = HeaderValue::from_static("Bearer token-1");
    let all = hidden(&["other"]);
    let all = all.and(&[basic, bearer]);
    let answer = format!("{pair} user pass:word token-1 other token-2");
    let shown = "*** user *** *** *** token-2";
    assert_eq!(kept(&all, answer.as_bytes(), false), shown.as_bytes());
}
