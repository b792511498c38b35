//! What an endpoint asks for with the header `webhook-delivery` of its answer.

use http::HeaderMap;

const HEADER: &str = "webhook-delivery";

/// The wishes in an answer. Unknown words are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// `disable`: the endpoint gets no more deliveries, as after a 410.
    pub(super) disables: bool,
    /// `abort-message`: this delivery is not retried.
    pub(super) aborts: bool,
}

impl Control {
    /// Reads the headers of an answer. One header may list several words.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let values = headers.get_all(HEADER).into_iter().filter_map(|value| value.to_str().ok());
        for word in values.flat_map(|value| value.split(',')).map(str::trim) {
            control.disables |= word.eq_ignore_ascii_case("disable");
            control.aborts |= word.eq_ignore_ascii_case("abort-message");
        }
        control
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, HEADER};
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn words_are_read_from_all_headers_and_unknown_ones_are_ignored() {
        for (values, disables, aborts) in [
            (&[][..], false, false),
            (&["disable"][..], true, false),
            (&[" Disable "][..], true, false),
            (&["abort-message"][..], false, true),
            (&["later, abort-message"][..], false, true),
            (&["abort-message", "disable"][..], true, true),
            (&["disabled", "abort", ""][..], false, false),
            (&["dis\u{e9}able"][..], false, false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(Control::read(&headers), Control { disables, aborts }, "{values:?}");
        }
    }
}
