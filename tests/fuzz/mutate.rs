//! Mutations of an input. All of them follow from the seed.

/// A random generator: SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a number below `bound`, or 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0).checked_rem(bound).unwrap_or(0)
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Returns a random range within `length`, mostly of at most 16 bytes.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 16 };
        let run = self.below(most.min(length - start) + 1);
        start..start + run
    }
}

/// The largest input in bytes.
pub(crate) const INPUT_BYTES_MAX: usize = 16 << 10;

/// Texts and numbers that parsers often handle wrongly.
const TEXTS: &[&[u8]] = &[
    b"0",
    b"-0",
    b"-1",
    b"1e400",
    b"-1e-400",
    b"1E+9223372036854775808",
    b"0.1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551616",
    b"4294967296",
    b"2147483648",
    b"65536",
    b"256",
    b"128",
    b"127",
    b"0x10",
    b"1_000",
    b"+1",
    b"01",
    b"NaN",
    b"inf",
    b"null",
    b"true",
    b"false",
    b"\"\"",
    b"{}",
    b"[]",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\u0000",
    b"\\ud83d\\ude00",
    b"\\ud800",
    b"\\udfff",
    b"\\uD800\\u0041",
    b"\\n",
    b"\\/",
    b"\0",
    b"\x7f",
    b"\xc3\x01",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff",
    "\u{202e}".as_bytes(),
    "\u{fffd}".as_bytes(),
    "\u{1f600}".as_bytes(),
    "\u{937}".as_bytes(),
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\x0b",
    b"=",
    b"'",
    b"'''",
    b"\"\"\"",
    b"#",
    b"%",
    b"%00",
    b"%zz",
    b"@",
    b"/",
    b"//",
    b"?",
    b"..",
    b"-",
    b"+",
    b".",
    b";",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    // Zig-zag varints at their bounds, and longer than permitted.
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xfe\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x10",
    b"\x01",
    b"\x02\x00",
];

/// Mutates `input` once to eight times. Parts may come from `others`.
pub(crate) fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let times = 1 << random.below(4);
    for _ in 0..times {
        once(input, others, words, random);
        input.truncate(INPUT_BYTES_MAX);
    }
}

fn once(input: &mut Vec<u8>, others: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let length = input.len();
    match random.below(13) {
        0 if length > 0 => input[random.below(length)] ^= 1 << random.below(8),
        1 if length > 0 => input[random.below(length)] = random.byte(),
        2 if length > 0 => {
            let by = if random.below(2) == 0 { 1 } else { u8::MAX };
            let at = random.below(length);
            input[at] = input[at].wrapping_add(by);
        }
        3 => {
            let byte = random.byte();
            input.insert(random.below(length + 1), byte);
        }
        4 => drop(input.drain(random.range(length))),
        // Repeats a block once or often: repeated members, deep nesting, long texts.
        5 => {
            let range = random.range(length);
            let block = input[range.clone()].to_vec();
            let times = if random.below(8) == 0 { random.below(300) } else { 1 };
            let times = times.min(INPUT_BYTES_MAX / block.len().max(1));
            put(input, range.end..range.end, &block.repeat(times));
        }
        6 => {
            let text = *random.pick(TEXTS);
            let at = random.range(length);
            let at = if random.below(2) == 0 { at } else { at.start..at.start };
            put(input, at, text);
        }
        7 | 8 if !words.is_empty() => {
            let word = random.pick(words).as_bytes();
            let at = random.range(length);
            let at = if random.below(2) == 0 { at } else { at.start..at.start };
            put(input, at, word);
        }
        9 => {
            let other = random.pick(others);
            let part = other[random.range(other.len())].to_vec();
            put(input, random.range(length), &part);
        }
        // The beginning of this input and the end of another one.
        10 => {
            let other = random.pick(others);
            let (at, from) = (random.below(length + 1), random.below(other.len() + 1));
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        11 => number(input, random),
        12 => {
            let word = random.next();
            let bytes = match random.below(3) {
                0 => word.to_be_bytes(),
                1 => (word >> random.below(64)).to_le_bytes(),
                _ => [0xff; 8],
            };
            let wide = 1 << random.below(4);
            let at = random.below(length + 1);
            let end = (at + wide).min(length);
            put(input, at..end, &bytes[..wide]);
        }
        _ => input.truncate(random.below(length + 1)),
    }
}

/// Replaces a number in digits by one at a bound, or by one next to it.
fn number(input: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(input.len() + 1);
    let digit = |byte: &u8| byte.is_ascii_digit();
    let Some(found) = input[from..].iter().position(digit) else { return };
    let start = from + found;
    let end =
        input[start..].iter().position(|byte| !digit(byte)).map_or(input.len(), |n| start + n);
    let was = std::str::from_utf8(&input[start..end]).ok().and_then(|t| t.parse::<u64>().ok());
    let number = match (was, random.below(4)) {
        (Some(was), 0) => was.wrapping_add(1).to_string().into_bytes(),
        (Some(was), 1) => was.wrapping_sub(1).to_string().into_bytes(),
        (_, 2) => (1_u64 << random.below(64)).to_string().into_bytes(),
        _ => random.pick(&TEXTS[..22]).to_vec(),
    };
    put(input, start..end, &number);
}

fn put(input: &mut Vec<u8>, at: std::ops::Range<usize>, bytes: &[u8]) {
    input.splice(at, bytes.iter().copied());
}
