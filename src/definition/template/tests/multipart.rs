//! Bodies in `multipart/form-data`.

use super::super::{BodyTemplate, Language};
use super::{given, mandatory, tokens};

/// Returns the rendered body with `B` for its boundary, and the boundary.
#[track_caller]
fn render(text: &str, values: &[(&str, &str)]) -> (String, String) {
    let template = BodyTemplate::parse(Language::Multipart, text, &tokens(), &mandatory).unwrap();
    let mut out = Vec::new();
    template.render(&given(values), &mut out).unwrap();
    let content_type = template.content_type_of(&out).into_owned();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap().to_owned();
    assert!((1..=70).contains(&boundary.len()), "{boundary}");
    let body = String::from_utf8(out).unwrap();
    assert!(body.ends_with(&format!("--{boundary}--\r\n")), "{body}");
    (body.replace(&format!("--{boundary}"), "--B"), boundary)
}

fn part(name: &str, value: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[test]
fn values_are_sent_as_they_are_and_names_are_escaped() {
    let (body, _) = render(
        "a=$flow.key.a&b+c=text %26+$flow.key.b%%ani%%&$flow.key.n=x&=&flag",
        &[("a", r#""x&y=z\r\n--B+ é""#), ("b", "0.10"), ("n", r#""q\"\r\n\\é""#)],
    );
    let parts = [
        part("a", "x&y=z\r\n--B+ é"),
        part("b c", "text & 0.10%ani%"),
        part("q%22%0D%0A\\é", "x"),
        part("", ""),
        part("flag", ""),
    ];
    assert_eq!(body, parts.concat() + "--B--\r\n");
}

#[test]
fn a_field_whose_only_variable_has_no_value_is_left_out() {
    let (body, _) = render("a=$flow.key.none&b=x$flow.key.none&c=", &[]);
    assert_eq!(body, [part("b", "x"), part("c", "")].concat() + "--B--\r\n");
    assert_eq!(render("a=$flow.key.none", &[]).0, "--B--\r\n");
    assert_eq!(render("", &[]).0, "--B--\r\n");
}

#[test]
fn the_boundary_depends_on_names_and_values_alone() {
    let of = |text: &str, value: &str| render(text, &[("a", value)]).1;
    assert_eq!(of("a=$flow.key.a", "1"), of("a=$flow.key.a", "1"));
    assert_eq!(of("a=$flow.key.a", "\"b\""), of("a=b", "1"));
    assert_ne!(of("a=$flow.key.a", "1"), of("a=$flow.key.a", "2"));
    assert_ne!(of("a=bc", "1"), of("ab=c", "1"));
    assert_ne!(of("a=&b=", "1"), of("a=", "1"));
}
