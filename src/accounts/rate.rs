//! A rate of attempts: `rate_per_second = 0.5` or `rate = "30/min"`.

use crate::delivery::PerSecond;
use crate::document::{Context, Place};

/// The maximum, in attempts per second.
const MOST: f64 = 1_000_000.0;

/// Returns the rate of the table at `place`, or `None` if there is no limit or a fault, which is reported.
pub(crate) fn read(
    per_second: Option<f64>,
    rate: Option<&str>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<PerSecond> {
    let (number, text) = (place.key("rate_per_second"), place.key("rate"));
    if number.is_there() && text.is_there() {
        let problem = "means the same as `rate_per_second`, which is set too";
        context.fault(&text, problem, "keep one of them");
        return None;
    }
    let (attempts, place) = match rate {
        None => (per_second?, number),
        Some(rate) => match parse(rate) {
            Some(attempts) => (attempts, text),
            None => {
                let fix =
                    "write a number and a unit, such as \"5/s\", \"30/min\", \"100/h\" or \"1/d\"";
                context.fault(&text, "is not a rate", fix);
                return None;
            }
        },
    };
    let rate = PerSecond::new(attempts);
    if attempts > MOST {
        context.fault(&place, "is more than 1000000 a second", "write less, or 0 for no limit");
    } else if rate.is_none() && attempts != 0.0 {
        context.fault(&place, "is less than one a day", "write more, or 0 for no limit");
    }
    rate
}

/// Parses a rate and returns attempts per second.
fn parse(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" | "sec" | "second" => 1.0,
        "m" | "min" | "minute" => 60.0,
        "h" | "hour" => 3600.0,
        "d" | "day" => 86_400.0,
        _ => return None,
    };
    let number = number.trim();
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_plain)?;
    Some(number / seconds)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (text, seconds) in [
            ("30/min", 2.0),
            ("0.5/s", 2.0),
            ("1800/h", 2.0),
            (" 30 / minute ", 2.0),
            ("43200/d", 2.0),
            ("1/day", 86_400.0),
        ] {
            let rate = parse(text).unwrap();
            assert!((1.0 / rate - seconds).abs() < 1e-9, "{text}: {rate}");
        }
        assert_eq!(parse("0/h"), Some(0.0));
        for text in
            ["", "30", "/min", "30/", "30/week", "-1/s", "1e3/s", "inf/s", "30 per min", "1/2/s"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
