//! Writes the numbers and ids that Avro stores as bytes.

use super::Fault;

/// The most bytes of a decimal's digits. The work grows with the square of them.
const DIGIT_BYTES_MAX: usize = 256;
/// The largest distance between a decimal's digits and its point.
pub(super) const SCALE_MAX: usize = 4096;

/// Writes the decimal number with the digits `bytes` (two's complement, the highest byte first), divided by
/// ten to the power of `scale`. Keeps the zeros at its end.
pub(super) fn decimal(out: &mut Vec<u8>, bytes: &[u8], scale: i64) -> Result<(), Fault> {
    let places = usize::try_from(scale.unsigned_abs()).unwrap_or(usize::MAX);
    if bytes.len() > DIGIT_BYTES_MAX || places > SCALE_MAX {
        return Err(Fault::TooLong);
    }
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut digits = digits(magnitude(bytes, negative));
    let is_zero = digits.iter().all(|digit| *digit == b'0');
    if negative {
        out.push(b'-');
    }
    if scale <= 0 {
        out.extend_from_slice(&digits);
        if !is_zero {
            out.extend(std::iter::repeat_n(b'0', places));
        }
        return Ok(());
    }
    if digits.len() <= places {
        let missing = places + 1 - digits.len();
        digits.splice(..0, std::iter::repeat_n(b'0', missing));
    }
    let (whole, fraction) = digits.split_at(digits.len() - places);
    out.extend_from_slice(whole);
    out.push(b'.');
    out.extend_from_slice(fraction);
    Ok(())
}

/// Returns the absolute value of a number in two's complement.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u8> {
    if !negative {
        return bytes.to_vec();
    }
    let mut carry = true;
    let mut inverted: Vec<u8> = bytes
        .iter()
        .rev()
        .map(|byte| {
            let (sum, overflows) = (!byte).overflowing_add(u8::from(carry));
            carry = overflows;
            sum
        })
        .collect();
    if carry {
        inverted.push(1);
    }
    inverted.reverse();
    inverted
}

/// Returns the decimal digits of a number, without zeros in front.
fn digits(bytes: Vec<u8>) -> Vec<u8> {
    // The number in base 10^9, the lowest digit first.
    let mut base: Vec<u32> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(byte);
        for digit in &mut base {
            let value = u64::from(*digit) * 256 + carry;
            *digit = u32::try_from(value % 1_000_000_000).unwrap_or(0);
            carry = value / 1_000_000_000;
        }
        if carry > 0 {
            base.push(u32::try_from(carry).unwrap_or(0));
        }
    }
    let text: String = base.iter().rev().map(|digit| format!("{digit:09}")).collect();
    let digits = text.trim_start_matches('0');
    if digits.is_empty() { b"0".to_vec() } else { digits.as_bytes().to_vec() }
}

/// Writes a UUID in its usual form, as a JSON string.
pub(super) fn uuid(out: &mut Vec<u8>, bytes: &[u8; 16]) {
    out.push(b'"');
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend([byte >> 4, byte & 0xf].map(hex_digit));
    }
    out.push(b'"');
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) }
}

#[cfg(test)]
mod tests {
    use super::{decimal, uuid};
    use proptest::prelude::*;

    fn written(bytes: &[u8], scale: i64) -> String {
        let mut out = Vec::new();
        decimal(&mut out, bytes, scale).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_their_digits_and_the_zeros_at_their_end() {
        for (bytes, scale, text) in [
            (&[10][..], 2, "0.10"),
            (&[0], 0, "0"),
            (&[], 2, "0.00"),
            (&[0xff], 0, "-1"),
            (&[0x80], 1, "-12.8"),
            (&[0xff, 0x00], 3, "-0.256"),
            (&[0x00, 0xff], 0, "255"),
            (&[5], -3, "5000"),
            (&[0], -3, "0"),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0], 4, "1844674407370955.1616"),
        ] {
            assert_eq!(written(bytes, scale), text, "{bytes:?} {scale}");
        }
        assert!(decimal(&mut Vec::new(), &[1; 257], 0).is_err());
        assert!(decimal(&mut Vec::new(), &[1], 4097).is_err());
    }

    proptest! {
        #[test]
        fn each_number_of_128_bits_is_written_as_rust_writes_it(number: i128) {
            prop_assert_eq!(written(&number.to_be_bytes(), 0), number.to_string());
        }
    }

    #[test]
    fn a_uuid_has_its_usual_form() {
        let mut out = Vec::new();
        uuid(&mut out, &0xbd70_6f90_aa14_47ea_9844_3d1e_1123_f4ee_u128.to_be_bytes());
        assert_eq!(out, br#""bd706f90-aa14-47ea-9844-3d1e1123f4ee""#);
    }
}
