//! Identifiers, and the partition that owns a key.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// The id of one execution of a flow: a text that is never empty.
///
/// A UUID has the same id in any case of letters, with or without braces. The id itself is in lower case and without
/// braces; the spelling of a record is kept beside it.
#[derive(Clone, Debug)]
pub struct PhononUuid {
    text: Arc<str>,
    /// The spelling, if it differs.
    spelling: Option<Arc<str>>,
}

/// The id of one SMS. UUIDs are compared as phonon-uuids are, and the spelling is kept.
#[derive(Clone, Debug)]
pub struct SmsId {
    text: Arc<str>,
    /// The form by which it is compared, if it differs.
    key: Option<Arc<str>>,
}

/// The unique name of a configured webhook and of its endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookName(Arc<str>);

macro_rules! text_id {
    ($name:ident, $bytes_max:expr, $field:tt) => {
        impl $name {
            /// The length of the longest valid id, in bytes.
            pub const BYTES_MAX: usize = $bytes_max;

            fn is_valid(text: &str) -> bool {
                !text.is_empty() && text.len() <= Self::BYTES_MAX
            }

            /// Returns the text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.$field
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// Compares ids by their keys.
macro_rules! compared_by_key {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.key() == other.key()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.key().cmp(other.key())
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, hasher: &mut H) {
                self.key().hash(hasher);
            }
        }
    };
}

text_id!(PhononUuid, 256, text);
text_id!(SmsId, 256, text);
text_id!(WebhookName, 64, 0);
compared_by_key!(PhononUuid);
compared_by_key!(SmsId);

impl PhononUuid {
    /// Returns the id with this text, or `None` if it is empty or longer than [`Self::BYTES_MAX`]. The text is not
    /// changed: a row that an earlier version wrote may have a key in upper case.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self { text: text.into(), spelling: None })
    }

    /// Returns the id of a record that spells it as `text`, or `None` if it is empty or too long.
    #[must_use]
    pub fn spelt(text: &str) -> Option<Self> {
        match canonical_uuid(text) {
            None => Self::new(text),
            Some(id) => Some(Self { text: id.into(), spelling: Some(text.into()) }),
        }
    }

    /// Returns the id as the record spelt it.
    #[must_use]
    pub fn spelling(&self) -> &str {
        self.spelling.as_ref().unwrap_or(&self.text)
    }

    /// Returns the spelling, if it differs from the id.
    #[must_use]
    pub fn other_spelling(&self) -> Option<&Arc<str>> {
        self.spelling.as_ref()
    }

    fn key(&self) -> &str {
        &self.text
    }
}

impl SmsId {
    /// Returns the id with this text, or `None` if it is empty or longer than [`Self::BYTES_MAX`].
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let key = || canonical_uuid(text).map(Into::into);
        Self::is_valid(text).then(|| Self { text: text.into(), key: key() })
    }

    /// Returns the form by which ids are compared.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_ref().unwrap_or(&self.text)
    }
}

impl WebhookName {
    /// Returns the name, or `None` if it is empty or longer than [`Self::BYTES_MAX`].
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self(text.into()))
    }
}

/// Returns the UUID `text` in lower case and without braces. `None`: it has this form already, or is no UUID.
#[must_use]
pub fn canonical_uuid(text: &str) -> Option<String> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let bare = match text.len() {
        // Without an exit in the middle, the compiler checks many bytes at once.
        36 if text.bytes().fold(false, |any, byte| any | byte.is_ascii_uppercase()) => text,
        38 => text.strip_prefix('{')?.strip_suffix('}')?,
        _ => return None,
    };
    let fits = |(index, byte): (usize, u8)| {
        if HYPHENS.contains(&index) { byte == b'-' } else { byte.is_ascii_hexdigit() }
    };
    bare.bytes().enumerate().all(fits).then(|| bare.to_ascii_lowercase())
}

/// The id of a customer account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub i64);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of an account's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub i64);

/// The stable id of a delivery: the `webhook-id` that its endpoint receives with every attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(u128);

impl DeliveryId {
    /// Returns the id of the delivery of `phase` for `uuid` about `sms`. The same input always gives the same id.
    #[must_use]
    pub fn derive<'a>(
        uuid: &PhononUuid,
        phase: u8,
        sms: impl IntoIterator<Item = &'a SmsId>,
    ) -> Self {
        Self::of(uuid, phase, sms.into_iter().map(|id| id.key().as_bytes()))
    }

    /// Returns the id of a rule's delivery for `uuid`. `parts` identify its target and what triggered it.
    #[must_use]
    pub fn of_rule<'a>(uuid: &PhononUuid, parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(uuid, 0, parts.into_iter().map(str::as_bytes))
    }

    /// Returns the id of a rule's delivery that the end of this one triggers. `parts` identify its target, the trigger
    /// and the life of this delivery.
    #[must_use]
    pub fn followed_by(self, parts: [&str; 3]) -> Self {
        let uuid = PhononUuid { text: self.to_string().into(), spelling: None };
        Self::of(&uuid, 0, parts.into_iter().map(str::as_bytes))
    }

    fn of<'a>(uuid: &PhononUuid, phase: u8, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut all = Parts::default();
        all.add(uuid.text.as_bytes());
        all.add(&[phase]);
        for bytes in parts {
            all.add(bytes);
        }
        Self(xxh3_128(all.bytes()))
    }

    /// Returns the id of the trace of its attempts: its own id, but never 0, which W3C forbids.
    #[must_use]
    pub fn trace_id(self) -> u128 {
        u128::from_be_bytes(self.to_bytes()).max(1)
    }

    /// Returns the id as it is stored.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Returns the id that was stored as `bytes`.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Parses an id in the form that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("msg_").filter(|hex| hex.len() == 32)?;
        u128::from_str_radix(hex, 16).ok().map(Self)
    }

    /// Returns 64 evenly spread bits, from which the jitter of retries is derived.
    #[must_use]
    pub fn spread(self) -> u64 {
        let [_, _, _, _, _, _, _, _, low @ ..] = self.0.to_be_bytes();
        u64::from_be_bytes(low)
    }
}

/// The parts of an id in one piece, each with its length, which distinguishes ("ab", "c") from ("a", "bc").
struct Parts {
    /// The usual parts fit into this buffer.
    short: [u8; 256],
    /// The number of bytes in use.
    used: usize,
    /// All parts, once they no longer fit.
    long: Vec<u8>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { short: [0; 256], used: 0, long: Vec::new() }
    }
}

impl Parts {
    fn add(&mut self, part: &[u8]) {
        let length = (part.len() as u64).to_le_bytes();
        let end = self.used + length.len() + part.len();
        match self.short.get_mut(self.used..end) {
            Some(free) if self.long.is_empty() => {
                let (of_length, of_part) = free.split_at_mut(length.len());
                of_length.copy_from_slice(&length);
                of_part.copy_from_slice(part);
                self.used = end;
            }
            Some(_) | None => {
                if self.long.is_empty() {
                    self.long.extend(self.short.iter().take(self.used));
                }
                self.long.extend_from_slice(&length);
                self.long.extend_from_slice(part);
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.long.is_empty() {
            return self.short.get(..self.used).unwrap_or_default();
        }
        &self.long
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |half: u8| half.wrapping_add(if half < 10 { b'0' } else { b'a' - 10 });
        let mut text = *b"msg_00000000000000000000000000000000";
        // Chunk by chunk, which is much faster than `{:032x}`.
        let (chunks, _) = text.as_chunks_mut::<2>();
        for (chunk, byte) in chunks.iter_mut().skip(2).zip(self.0.to_be_bytes()) {
            *chunk = [digit(byte >> 4), digit(byte & 0xf)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns which of `partitions` owns `key`, like Kafka's default partitioner: `murmur2(key) mod partitions`.
#[must_use]
pub fn owner(key: &[u8], partitions: u32) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) % partitions.max(1)).cast_signed()
}

/// Computes MurmurHash2 like the Java client of Apache Kafka (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut h = SEED ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * index);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::{PhononUuid, SmsId, murmur2, owner};
    use crate::domain::DeliveryId;

    /// The test vectors of Apache Kafka's `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafkas_own_vectors() {
        for (text, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()), hash.cast_unsigned(), "{text}");
        }
    }

    /// `Utils.toPositive` clears the sign bit; it does not negate.
    #[test]
    fn a_negative_hash_gives_the_same_partition_as_kafkas_own_partitioner() {
        assert_eq!(owner(b"21", 7), (973_932_308_i32.wrapping_neg() & 0x7fff_ffff) % 7);
        assert_ne!(owner(b"21", 7).cast_unsigned(), 973_932_308_u32.wrapping_neg() % 7);
    }

    #[test]
    fn ids_are_neither_empty_nor_too_long() {
        assert_eq!(SmsId::new(""), None);
        assert!(SmsId::new(&"x".repeat(SmsId::BYTES_MAX)).is_some());
        assert_eq!(SmsId::new(&"x".repeat(SmsId::BYTES_MAX + 1)), None);
    }

    /// Ids of any length are stored and sent, so that they must stay the same in every version.
    #[test]
    fn a_delivery_id_is_the_hash_of_its_parts_however_long_they_are() {
        for length in [0, 1, 7, 200, 222, 223, 224, 225, 256] {
            let uuid = PhononUuid::new("u").unwrap();
            let parts = ["x".repeat(length), "y".to_owned(), "z".repeat(length)];
            let mut hash = xxhash_rust::xxh3::Xxh3::new();
            for part in [b"u", [0].as_slice()].into_iter().chain(parts.iter().map(String::as_bytes))
            {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            let id = DeliveryId::of_rule(&uuid, parts.iter().map(String::as_str));
            assert_eq!(id.to_bytes(), hash.digest128().to_be_bytes(), "{length}");
        }
    }

    #[test]
    fn a_delivery_id_depends_on_uuid_phase_and_sms_and_reads_back() {
        let uuid = PhononUuid::new("u").unwrap();
        let sms = [SmsId::new("ab").unwrap(), SmsId::new("c").unwrap()];
        let other = [SmsId::new("a").unwrap(), SmsId::new("bc").unwrap()];
        let id = DeliveryId::derive(&uuid, 2, &sms);
        assert_ne!(id, DeliveryId::derive(&uuid, 1, &sms));
        assert_ne!(id, DeliveryId::derive(&uuid, 2, &other));
        assert_ne!(id, DeliveryId::derive(&PhononUuid::new("v").unwrap(), 2, &sms));
        assert!(!id.to_string().contains('.'));
        assert_eq!(DeliveryId::parse(&id.to_string()), Some(id));
        assert_eq!(DeliveryId::parse("msg_1234"), None);
        assert_eq!(DeliveryId::from_bytes(id.to_bytes()), id);
    }
}
