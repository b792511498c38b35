//! The hash of a record's decoded content. Equal content has an equal hash, however it is spelt.
//!
//! White space, the order of members, escapes and the spelling of numbers have no effect. A member that is null counts
//! as absent, because Avro's optional fields arrive as null. The hashes are stored, so the seeds below must never
//! change.

use xxhash_rust::xxh3::xxh3_64_with_seed;

const TEXT: u64 = 0x7465_7874_0000_0001;
const NUMBER: u64 = 0x6e75_6d62_0000_0002;
const ARRAY: u64 = 0x6172_7261_0000_0003;
const OBJECT: u64 = 0x6f62_6a65_0000_0004;
const MEMBER: u64 = 0x6d65_6d62_0000_0005;

/// The hash of `null`.
pub(super) const NULL: u64 = 0x6e75_6c6c_9e37_79b9;
/// The hash of `true`.
pub(super) const TRUE: u64 = 0x7472_7565_7f4a_7c15;
/// The hash of `false`.
pub(super) const FALSE: u64 = 0x6661_6c73_bf58_476d;

/// Returns the hash of the string that decodes to `text`.
pub(super) fn text(text: &[u8]) -> u64 {
    xxh3_64_with_seed(text, TEXT)
}

/// The hash of an array. Items are added in their order.
pub(super) struct Array(u64);

impl Array {
    pub(super) const EMPTY: Self = Self(ARRAY);

    pub(super) fn push(&mut self, item: u64) {
        self.0 = pair(self.0, item, ARRAY);
    }

    pub(super) const fn finish(self) -> u64 {
        self.0
    }
}

/// The hash of an object. Members are added in any order.
pub(crate) struct Object {
    sum: u64,
    members: u64,
}

impl Object {
    pub(super) const EMPTY: Self = Self { sum: 0, members: 0 };

    pub(super) fn push(&mut self, name: u64, value: u64) {
        if value != NULL {
            self.sum = self.sum.wrapping_add(pair(name, value, MEMBER));
            self.members += 1;
        }
    }

    /// Counts the member `name` as the text `to`. So far it counted as the text `from`.
    pub(crate) fn replace(&mut self, name: &str, from: &str, to: &str) {
        let member = |value: &str| pair(text(name.as_bytes()), text(value.as_bytes()), MEMBER);
        self.sum = self.sum.wrapping_sub(member(from)).wrapping_add(member(to));
    }

    pub(crate) fn finish(self) -> u64 {
        pair(self.sum, self.members, OBJECT)
    }
}

fn pair(a: u64, b: u64, seed: u64) -> u64 {
    let mut bytes = [0; 16];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&a.to_le_bytes());
    second.copy_from_slice(&b.to_le_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

/// The parts of a valid JSON number.
pub(super) struct Number<'a> {
    pub(super) negative: bool,
    /// The digits before the point.
    pub(super) integer: &'a [u8],
    /// The digits after the point.
    pub(super) fraction: &'a [u8],
    /// The digits after the `e`, with their sign.
    pub(super) exponent: &'a [u8],
}

/// Returns the hash of the value of `number`, from its significant digits and a power of ten. It is exact for any
/// length.
pub(super) fn number(number: &Number<'_>) -> u64 {
    if number.fraction.is_empty() {
        significant(number.negative, number.integer, exponent(number.exponent))
    } else {
        let digits = [number.integer, number.fraction].concat();
        let places = i64::try_from(number.fraction.len()).unwrap_or(i64::MAX);
        significant(number.negative, &digits, exponent(number.exponent).saturating_sub(places))
    }
}

fn significant(negative: bool, digits: &[u8], exponent: i64) -> u64 {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(zeros..).unwrap_or_default();
    let trailing = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(..digits.len() - trailing).unwrap_or_default();
    if digits.is_empty() {
        // Zero has neither sign nor exponent.
        return xxh3_64_with_seed(b"", NUMBER);
    }
    let exponent = exponent.saturating_add(i64::try_from(trailing).unwrap_or(i64::MAX));
    let sign = u64::from(negative);
    pair(xxh3_64_with_seed(digits, NUMBER), exponent.cast_unsigned(), NUMBER ^ (sign << 63))
}

/// Parses an exponent. One that exceeds 64 bits saturates: no measured quantity has such an exponent.
fn exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let size = digits.iter().fold(0_i64, |size, digit| {
        size.saturating_mul(10).saturating_add(i64::from(digit.wrapping_sub(b'0')))
    });
    if negative { -size } else { size }
}
