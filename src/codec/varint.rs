//! Avro's numbers: zig-zag, seven bits per byte, the lowest first.

/// Why a number can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// The bytes end before the number does.
    BreaksOff,
    /// The number has more than 64 bits. This is the value of the lowest 64.
    Overflows(i64),
    /// The number does not end with its tenth byte.
    Endless,
}

/// Reads the number at the beginning of `rest`, and removes it from `rest`.
#[inline]
pub(super) fn read(rest: &mut &[u8]) -> Result<i64, Unread> {
    match **rest {
        // Most numbers of a row are lengths and choices of one byte.
        [byte, ref tail @ ..] if byte < 0x80 => {
            *rest = tail;
            Ok(signed(byte.into()))
        }
        _ => read_long(rest),
    }
}

fn read_long(rest: &mut &[u8]) -> Result<i64, Unread> {
    if let Some(number) = read_eight(rest) {
        return Ok(number);
    }
    let mut bits = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first().ok_or(Unread::BreaksOff)?;
        *rest = tail;
        bits |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let number = signed(bits);
            let overflows = shift == 63 && *byte > 1;
            return if overflows { Err(Unread::Overflows(number)) } else { Ok(number) };
        }
    }
    Err(Unread::Endless)
}

/// Reads a number that ends within the next eight bytes, such as a time, without a loop. Returns `None` and reads nothing
/// if it does not, or if fewer bytes are left.
fn read_eight(rest: &mut &[u8]) -> Option<i64> {
    let bits = u64::from_le_bytes(*rest.first_chunk()?);
    // The highest bit of each byte that may be the last one.
    let ends = !bits & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let (_, tail) = rest.split_at_checked(ends.trailing_zeros() as usize / 8 + 1)?;
    *rest = tail;
    let bits = bits & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
    // Groups of 7 bits become groups of 14, 28 and 56.
    let bits = (bits & 0x007f_007f_007f_007f) | ((bits & 0x7f00_7f00_7f00_7f00) >> 1);
    let bits = (bits & 0x0000_3fff_0000_3fff) | ((bits & 0x3fff_0000_3fff_0000) >> 2);
    let bits = (bits & 0x0000_0000_0fff_ffff) | ((bits & 0x0fff_ffff_0000_0000) >> 4);
    Some(signed(bits))
}

/// Undoes Avro's zigzag encoding.
const fn signed(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Unread, read};

    #[test]
    fn numbers_of_each_length_are_read_alike_wherever_the_bytes_end() {
        for bit in 0..63 {
            for number in
                [1_i64 << bit, (1 << bit) - 1, -(1 << bit), i64::MAX >> bit, i64::MIN >> bit]
            {
                let mut zigzag = ((number << 1) ^ (number >> 63)).cast_unsigned();
                let mut bytes = Vec::new();
                while zigzag >= 0x80 {
                    bytes.push(zigzag.to_le_bytes()[0] | 0x80);
                    zigzag >>= 7;
                }
                bytes.push(zigzag.to_le_bytes()[0]);
                for more in [0, 1, 7, 20] {
                    let all = [bytes.as_slice(), &vec![0xff; more]].concat();
                    let mut rest = all.as_slice();
                    assert_eq!((read(&mut rest), rest.len()), (Ok(number), more), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_read_to_their_end_and_not_beyond_64_bits() {
        for (bytes, wanted, left) in [
            (&[0x01, 7][..], Ok(-1), 1),
            (&[0xac, 0x02], Ok(150), 0),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(i64::MIN), 0),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3],
                Err(Unread::Overflows(i64::MIN)),
                0,
            ),
            (&[0x80; 12], Err(Unread::Endless), 2),
            (&[0x80], Err(Unread::BreaksOff), 0),
        ] {
            let mut rest = bytes;
            assert_eq!((read(&mut rest), rest.len()), (wanted, left), "{bytes:?}");
        }
    }
}
