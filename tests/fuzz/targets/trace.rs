//! The headers with which producers send a trace.

use super::{seen, split};
use crate::target::{Seen, Target};
use bytes::Bytes;
use ringback::codec::trace_context::{TRACEPARENT, TRACESTATE, of_headers};
use ringback::domain::{Header, TraceContext};

/// A `traceparent`, an empty line, then a `tracestate`.
pub(super) const CONTEXT: Target = Target {
    name: "trace-context",
    run: context,
    seeds: || {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        ["vendor=1,other@x=y z", "a=1 ,\tb=2,,", ""]
            .map(|state| format!("{parent}\n\n{state}").into_bytes())
            .into()
    },
    words: &["00-", "ff-", "-", "-01", "-00", "=", ",", "a=1", "@", " ", "\t", "0000000000000000"],
    bytes_per_byte: 16,
};

fn context(input: &[u8]) -> Seen {
    let (parent, state) = split(input);
    let read = read(parent, state);
    if let Some(context) = &read {
        let state = context.state().map_or("", |state| state);
        assert!(state.len() <= TraceContext::STATE_BYTES_MAX);
        assert!(
            state.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "it can be sent as a header"
        );
        assert_eq!(context.to_string().len(), 55);
        let again = self::read(context.to_string().as_bytes(), state.as_bytes());
        assert_eq!(again.as_ref(), Some(context), "what is passed on is read alike");
    }
    seen(format!("{read:?}"))
}

fn read(parent: &[u8], state: &[u8]) -> Option<TraceContext> {
    let header = |name: &str, value: &[u8]| Header {
        name: name.into(),
        value: Some(Bytes::copy_from_slice(value)),
    };
    of_headers(&[header(TRACEPARENT, parent), header(TRACESTATE, state)])
}
