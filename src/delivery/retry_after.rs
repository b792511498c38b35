//! How long an endpoint asks to be left alone: its `Retry-After`.

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use std::time::SystemTime;

/// What an answer asks for, in milliseconds from `now`, as far as its status gives it the right to ask. A date that is over
/// asks for nothing, which is 0; a value that is neither a number nor a date was not said. Nothing is clamped.
#[must_use]
pub fn retry_after_ms(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // All that can be wrong with digits is that they are too many.
        return Some(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let left = date.duration_since(now).unwrap_or_default();
    Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::retry_after_ms;
    use http::header::RETRY_AFTER;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use std::time::{Duration, UNIX_EPOCH};

    /// Sun, 06 Nov 1994 08:49:37 GMT, the specification's example.
    const EXAMPLE: Duration = Duration::from_secs(784_111_777);

    /// What `value` asks for, a minute and a half before the example.
    fn asked(status: u16, value: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
        let now = UNIX_EPOCH + EXAMPLE - Duration::from_millis(90_500);
        retry_after_ms(StatusCode::from_u16(status).unwrap(), &headers, now)
    }

    #[test]
    fn seconds_count_from_now() {
        for (value, wanted) in [
            ("0", 0),
            ("120", 120_000),
            ("007", 7000),
            ("864000", 864_000_000),
            ("18446744073709551615", u64::MAX),
            ("1000000000000000000000000000000", u64::MAX),
        ] {
            assert_eq!(asked(429, value), Some(wanted), "{value}");
            assert_eq!(asked(503, value), Some(wanted), "{value}");
        }
    }

    #[test]
    fn a_date_may_have_each_of_its_three_forms() {
        for value in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(asked(503, value), Some(90_500), "{value}");
        }
        assert_eq!(asked(503, "Sun, 06 Nov 1994 08:48:06 GMT"), Some(0), "just over");
        assert_eq!(asked(503, "Thu, 01 Jan 1970 00:00:00 GMT"), Some(0), "long over");
        let far = asked(503, "Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(far > 8000 * 365 * 86_400_000, "{far}");
    }

    #[test]
    fn what_is_neither_was_not_said() {
        let values = [
            "",
            "soon",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "10 s",
            "0x10",
            "１",
            "1, 2",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ];
        for value in values {
            assert_eq!(asked(429, value), None, "{value}");
        }
        let bytes = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, bytes)]);
        assert_eq!(retry_after_ms(StatusCode::TOO_MANY_REQUESTS, &headers, UNIX_EPOCH), None);
        let nothing = HeaderMap::new();
        assert_eq!(retry_after_ms(StatusCode::TOO_MANY_REQUESTS, &nothing, UNIX_EPOCH), None);
    }

    #[test]
    fn only_429_and_503_may_ask() {
        for status in [200, 301, 400, 408, 425, 500, 502, 504] {
            assert_eq!(asked(status, "5"), None, "{status}");
        }
    }
}
