//! Reads `traceparent` and `tracestate` by W3C Trace Context, from the headers of a record or the members of a command.
//!
//! They come from outside and are only hints: what is invalid is ignored, and never a fault of the record.

use crate::domain::{Header, TraceContext};
use std::sync::Arc;

/// The name of the header with the trace, the producer's span and the flags.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header with the values of tracing systems.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00, the only one so far.
const PARENT_BYTES: usize = 55;
const MEMBERS_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 256;

/// Returns the trace that these headers of a record name. A record with several `traceparent` names none.
#[must_use]
pub fn of_headers(headers: &[Header]) -> Option<TraceContext> {
    let named = |name| headers.iter().filter(move |header| &*header.name == name);
    let mut parents = named(TRACEPARENT);
    let parent = parents.next()?.value.as_ref()?;
    if parents.next().is_some() {
        return None;
    }
    read(parent, named(TRACESTATE).filter_map(|header| header.value.as_deref()))
}

/// Returns the trace that `parent`, a `traceparent`, names. `states` are the parts of `tracestate`. An invalid
/// `tracestate` is left out.
#[must_use]
pub(super) fn read<'a>(
    parent: &[u8],
    states: impl Iterator<Item = &'a [u8]>,
) -> Option<TraceContext> {
    let (version, rest) = (hex(parent.get(..2)?)?, parent.get(2..PARENT_BYTES)?);
    let has_surplus = match parent.get(PARENT_BYTES) {
        None => false,
        // Later versions may add parts.
        Some(next) => version == 0 || *next != b'-',
    };
    let hyphens = [0, 33, 50].into_iter().all(|at| rest.get(at) == Some(&b'-'));
    if version == 0xff || has_surplus || !hyphens {
        return None;
    }
    let trace_id = hex(rest.get(1..33)?)?;
    let span_id = u64::try_from(hex(rest.get(34..50)?)?).ok()?;
    let flags = u8::try_from(hex(rest.get(51..53)?)?).ok()?;
    TraceContext::new(trace_id, span_id, flags, state(states))
}

/// Reads hexadecimal digits; W3C allows lower case only.
fn hex(digits: &[u8]) -> Option<u128> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = digits.iter().all(is_digit).then(|| std::str::from_utf8(digits).ok())??;
    u128::from_str_radix(text, 16).ok()
}

/// Returns the members of a `tracestate` that fit into the limits of W3C, the first of them first. `None`: there are
/// none, or one is invalid.
fn state<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Option<Arc<str>> {
    let mut kept = String::new();
    let mut count = 0;
    for part in parts {
        // Without this limit, a long header would be looked at in vain.
        let part = std::str::from_utf8(part.get(..PART_BYTES_MAX).unwrap_or(part)).ok()?;
        for member in part.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            let comma = usize::from(!kept.is_empty());
            let is_full = count == MEMBERS_MAX
                || kept.len() + comma + member.len() > TraceContext::STATE_BYTES_MAX;
            if is_full {
                return (!kept.is_empty()).then(|| kept.into());
            }
            if !is_member(member) {
                return None;
            }
            if comma == 1 {
                kept.push(',');
            }
            kept.push_str(member);
            count += 1;
        }
    }
    (!kept.is_empty()).then(|| kept.into())
}

/// The part of a header that is looked at: more than all that can be kept, with blanks around it.
const PART_BYTES_MAX: usize = 8 * TraceContext::STATE_BYTES_MAX;

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let in_key =
        |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let in_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=KEY_BYTES_MAX).contains(&key.len())
        && (1..=VALUE_BYTES_MAX).contains(&value.len())
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && key.bytes().all(in_key)
        && value.bytes().all(in_value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn header(name: &str, value: &str) -> Header {
        Header { name: name.into(), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
    }

    fn parent(value: &str) -> Option<TraceContext> {
        of_headers(&[header("other", "x"), header(TRACEPARENT, value)])
    }

    fn kept(states: &[&str]) -> Option<String> {
        let states = states.iter().map(|value| header(TRACESTATE, value));
        let headers: Vec<_> = [header(TRACEPARENT, PARENT)].into_iter().chain(states).collect();
        of_headers(&headers).unwrap().state().map(|state| state.to_string())
    }

    #[test]
    fn a_valid_traceparent_is_read_and_written_alike() {
        let context = parent(PARENT).unwrap();
        assert_eq!(context.to_string(), PARENT);
        assert!(context.is_sampled() && context.state().is_none());
        assert_eq!(context.span_id(), 0x00f0_67aa_0ba9_02b7);
        assert!(!parent(&PARENT.replace("-01", "-00")).unwrap().is_sampled());
        // Unknown flags are not passed on.
        assert_eq!(parent(&PARENT.replace("-01", "-ff")).unwrap().flags(), 3);
        // A later version may have more parts.
        for later in [PARENT.replace("00-4", "01-4"), format!("cc{}-what", &PARENT[2..])] {
            assert_eq!(parent(&later), Some(context.clone()), "{later}");
        }
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        let texts = [
            "".to_owned(),
            "00".to_owned(),
            zero_trace,
            zero_span,
            PARENT[..54].to_owned(),
            format!("{PARENT}-"),
            format!("{PARENT}0"),
            format!("01{}0", &PARENT[2..]),
            format!("ff{}", &PARENT[2..]),
            format!(" {PARENT}"),
            PARENT.to_uppercase(),
            PARENT.replace('-', "_"),
            PARENT.replace("4bf9", "+bf9"),
            PARENT.replace("4bf9", "4bg9"),
            PARENT.replace("4bf9", "é9"),
        ];
        for text in texts {
            assert_eq!(parent(&text), None, "{text}");
        }
        let null = Header { name: TRACEPARENT.into(), value: None };
        assert_eq!(of_headers(&[null]), None);
        assert_eq!(of_headers(&[header(TRACEPARENT, PARENT), header(TRACEPARENT, PARENT)]), None);
        assert_eq!(of_headers(&[header(TRACESTATE, "a=1")]), None);
    }

    #[test]
    fn a_tracestate_is_kept_within_its_limits() {
        assert_eq!(kept(&["a=1,b@c=x y"]).as_deref(), Some("a=1,b@c=x y"));
        assert_eq!(kept(&["a=1 ,\t b=2,,"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(kept(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        let many: Vec<String> = (0..40).map(|number| format!("k{number}=v")).collect();
        assert_eq!(kept(&[&many.join(",")]), Some(many[..32].join(",")));
        let long = format!("a={}", "x".repeat(254));
        assert_eq!(kept(&[&[&*long, &long, &long].join(",")]), Some(long.clone()));
        let shorter = format!("b={}", "x".repeat(253));
        assert_eq!(
            kept(&[&[&*long, &shorter, "c=1"].join(",")]),
            Some(format!("{long},{shorter}"))
        );
        let huge = "a=1,".repeat(1 << 20);
        assert!(kept(&[&huge]).unwrap().len() <= TraceContext::STATE_BYTES_MAX);
    }

    #[test]
    fn an_invalid_tracestate_is_left_out() {
        for bad in ["", ",", "a", "=1", "a=", "A=1", "a=1,b", "a=1=2", "a=\r\nb: c", "a=é", "a b=1"]
        {
            assert_eq!(kept(&[bad]), None, "{bad}");
        }
    }
}
