//! How long an endpoint asks the daemon to wait: `Retry-After`, or the headers that some servers send instead.

use http::{HeaderMap, StatusCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a header's value as milliseconds from now.
type Read = fn(&str, SystemTime) -> Option<u64>;

/// The headers that may hold a time. The first one with a valid time counts.
const HEADERS: [(&str, Read); 8] = [
    ("retry-after", time),
    ("retry-after-ms", milliseconds),
    ("x-ms-retry-after-ms", milliseconds),
    ("ratelimit-reset", time),
    ("x-ratelimit-reset-after", time),
    ("x-ratelimit-reset", time),
    ("x-rate-limit-reset", time),
    ("ratelimit", reset),
];

/// A number from here on is a point in time, in seconds since 1970; as a duration it would be 31 years.
const EPOCH_S: f64 = 1e9;
/// A number from here on is in milliseconds since 1970.
const EPOCH_MS: f64 = 1e11;
/// A number from here on is neither.
const NO_TIME: f64 = 1e14;

/// Returns how long an answer asks to wait, in milliseconds from `now`, if its status permits the request. A time in
/// the past is 0. An invalid value is ignored. Nothing is clamped.
#[must_use]
pub fn retry_after_ms(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    HEADERS.iter().find_map(|(name, read)| {
        let mut values = headers.get_all(*name).iter();
        values.find_map(|value| read(value.to_str().ok()?.trim(), now))
    })
}

/// Reads a date, a duration or a number; of a list, the first item.
fn time(value: &str, now: SystemTime) -> Option<u64> {
    let value = value.trim_matches('"');
    // A date contains a comma itself.
    let beginnings = value.match_indices(',').filter_map(|(at, _)| value.get(..at));
    let mut dates = std::iter::once(value).chain(beginnings);
    dates.find_map(|text| date(text.trim(), now)).or_else(|| {
        let first = value.split([',', ';']).next()?.trim();
        number(first, now).or_else(|| span(first))
    })
}

/// Reads a number of milliseconds.
fn milliseconds(value: &str, _: SystemTime) -> Option<u64> {
    Some(whole(decimal(value.trim_matches('"'))?))
}

/// Reads the `reset` of `limit=10, remaining=0, reset=5`, or the `t` of `"default";r=0;t=5`.
fn reset(value: &str, now: SystemTime) -> Option<u64> {
    let parts = value.split([',', ';']).map(str::trim);
    let times = parts.filter_map(|it| it.strip_prefix("reset=").or(it.strip_prefix("t=")));
    times.map(str::trim).find_map(|text| number(text, now))
}

/// Reads seconds from now, rounded up, or a time since 1970.
fn number(text: &str, now: SystemTime) -> Option<u64> {
    let number = decimal(text)?;
    if !(EPOCH_S..NO_TIME).contains(&number) {
        return Some(whole(number.ceil() * 1000.0));
    }
    let since_1970_ms = if number < EPOCH_MS { number * 1000.0 } else { number };
    Some(left(UNIX_EPOCH + Duration::from_millis(whole(since_1970_ms)), now))
}

/// Reads numbers with units: `3s`, `500 ms`, `1m30s`, `2 minutes`.
fn span(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum_ms = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(end)?;
        let number = decimal(number)?;
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(end)?;
        let part_ms = match unit.to_ascii_lowercase().as_str() {
            "ms" | "msec" | "millisecond" | "milliseconds" => number,
            "s" | "sec" | "secs" | "second" | "seconds" => number.ceil() * 1000.0,
            "m" | "min" | "mins" | "minute" | "minutes" => (number * 60.0).ceil() * 1000.0,
            "h" | "hr" | "hour" | "hours" => (number * 3600.0).ceil() * 1000.0,
            _ => return None,
        };
        sum_ms = sum_ms.saturating_add(whole(part_ms));
        rest = behind.trim_start();
    }
    (!text.is_empty()).then_some(sum_ms)
}

/// Reads a date in the format of HTTP, RFC 2822, `date` or RFC 3339.
fn date(text: &str, now: SystemTime) -> Option<u64> {
    let http = |text: &str| httpdate::parse_http_date(text).ok();
    // HTTP demands GMT, but many servers write UTC.
    let of_utc = || {
        let end = text.len().checked_sub(4)?;
        let (date, zone) = text.split_at_checked(end)?;
        zone.eq_ignore_ascii_case(" UTC").then(|| http(&format!("{date} GMT")))?
    };
    let of_command = || http(&text.replacen(" UTC ", " ", 1).replacen(" GMT ", " ", 1));
    let rfc_2822 = || {
        let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(SystemTime::from(zoned.timestamp()))
    };
    let rfc_3339 = || text.parse::<jiff::Timestamp>().ok().map(SystemTime::from);
    // No date is shorter, and most values are numbers.
    if text.len() < 16 {
        return None;
    }
    let date =
        http(text).or_else(of_utc).or_else(of_command).or_else(rfc_2822).or_else(rfc_3339)?;
    Some(left(date, now))
}

/// Returns the milliseconds from `now` to `time`, or 0 if it has passed.
fn left(time: SystemTime, now: SystemTime) -> u64 {
    let left = time.duration_since(now).unwrap_or_default();
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}

/// Reads digits with an optional fraction.
fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and none is negative"
    )]
    let whole = number.ceil() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::retry_after_ms;
    use http::header::RETRY_AFTER;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
    use std::time::{Duration, UNIX_EPOCH};

    /// Sun, 06 Nov 1994 08:49:37 GMT, the specification's example.
    const EXAMPLE: Duration = Duration::from_secs(784_111_777);

    /// Returns how long `value` asks to wait, 90 seconds before the example.
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
        assert_eq!(asked(503, "Sun, 06 Nov 1994 08:48:06 GMT"), Some(0), "a moment ago");
        assert_eq!(asked(503, "Thu, 01 Jan 1970 00:00:00 GMT"), Some(0), "long ago");
        let far = asked(503, "Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert!(far > 8000 * 365 * 86_400_000, "{far}");
    }

    #[test]
    fn values_that_are_no_time_are_ignored() {
        let values = [
            "",
            "soon",
            "-1",
            "+1",
            ".",
            "1.2.3",
            "1e3",
            "10 x",
            "s",
            "5s later",
            "3s-1s",
            "0x10",
            "１",
            ", 2",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37",
            "inf",
            "nan",
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
    fn fractions_are_rounded_up_and_the_first_value_of_a_list_counts() {
        for (value, wanted) in [
            ("0.7", 1000),
            ("1.0", 1000),
            ("1.5", 2000),
            ("0.0", 0),
            (".5", 1000),
            ("120, 60", 120_000),
            ("5;w=60", 5000),
            ("\"120\"", 120_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 09:49:37 GMT", 90_500),
            ("Sun, 06 Nov 1994 08:49:37 GMT, 5", 90_500),
        ] {
            assert_eq!(asked(429, value), Some(wanted), "{value}");
        }
    }

    #[test]
    fn a_number_may_have_a_unit() {
        for (value, wanted) in [
            ("3s", 3000),
            ("0.7s", 1000),
            ("10 s", 10_000),
            ("10 seconds", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("2 Minutes", 120_000),
            ("1h", 3_600_000),
            ("99999999999999999999999h", u64::MAX),
        ] {
            assert_eq!(asked(503, value), Some(wanted), "{value}");
        }
    }

    #[test]
    fn other_date_formats_are_parsed() {
        for value in [
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 utc",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sun Nov  6 08:49:37 UTC 1994",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 6 Nov 1994 09:49:37 +0100",
            "1994-11-06T08:49:37Z",
            "1994-11-06 09:49:37+01:00",
        ] {
            assert_eq!(asked(429, value), Some(90_500), "{value}");
        }
    }

    #[test]
    fn a_large_number_is_a_unix_time() {
        let headers =
            |value| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        for (value, wanted) in [
            ("1700000002", 1750),
            ("1700000002.5", 2250),
            ("1700000002000", 1750),
            ("1699999999", 0),
            ("999999999", 999_999_999_000),
        ] {
            let found = retry_after_ms(StatusCode::TOO_MANY_REQUESTS, &headers(value), now);
            assert_eq!(found, Some(wanted), "{value}");
        }
    }

    #[test]
    fn other_headers_count_without_a_readable_retry_after() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let found = |headers: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            let headers = HeaderMap::from_iter(headers.iter().map(pair));
            retry_after_ms(StatusCode::TOO_MANY_REQUESTS, &headers, now)
        };
        for (header, wanted) in [
            (("ratelimit-reset", "5"), 5000),
            (("ratelimit-reset", "5, 100"), 5000),
            (("x-ratelimit-reset", "5"), 5000),
            (("x-ratelimit-reset", "1700000005"), 5000),
            (("x-ratelimit-reset", "1700000005123"), 5123),
            (("x-rate-limit-reset", "1700000005"), 5000),
            (("x-ratelimit-reset", "2023-11-14T22:13:25Z"), 5000),
            (("x-ratelimit-reset-after", "4.2"), 5000),
            (("retry-after-ms", "1234.5"), 1235),
            (("x-ms-retry-after-ms", "1234"), 1234),
            (("ratelimit", "limit=10, remaining=0, reset=5"), 5000),
            (("ratelimit", "\"default\";r=0;t=5"), 5000),
        ] {
            assert_eq!(found(&[header]), Some(wanted), "{header:?}");
            assert_eq!(found(&[("retry-after", "soon"), header]), Some(wanted), "{header:?}");
            assert_eq!(found(&[header, ("retry-after", "9")]), Some(9000), "{header:?}");
        }
        assert_eq!(found(&[("x-ratelimit-remaining", "0"), ("ratelimit", "limit=5")]), None);
    }

    #[test]
    fn the_first_readable_of_several_lines_counts() {
        let mut headers = HeaderMap::new();
        for value in ["soon", "7", "9"] {
            headers.append(RETRY_AFTER, HeaderValue::from_static(value));
        }
        let found = retry_after_ms(StatusCode::TOO_MANY_REQUESTS, &headers, UNIX_EPOCH);
        assert_eq!(found, Some(7000));
    }

    #[test]
    fn only_429_and_503_may_ask_for_a_pause() {
        for status in [200, 301, 400, 408, 425, 500, 502, 504] {
            assert_eq!(asked(status, "5"), None, "{status}");
        }
    }
}
