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

/// Undoes Avro's zigzag encoding.
const fn signed(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Unread, read};

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
