//! Reads the headers of a record with any bytes as names. rust-rdkafka panics at a name that is not UTF-8.
#![expect(
    unsafe_code,
    reason = "librdkafka is asked for names as bytes, which the library does not offer"
)]

use rdkafka::bindings as native;
use rdkafka::message::{BorrowedHeaders, Headers as _};
use std::borrow::Cow;
use std::ffi::CStr;

/// Returns names and values in their order. Bytes of a name that are not UTF-8 are replaced, as other clients do. A
/// value may be null.
pub(super) fn each(
    headers: &BorrowedHeaders,
) -> impl Iterator<Item = (Cow<'_, str>, Option<&[u8]>)> {
    (0..headers.count()).map_while(move |index| at(headers, index))
}

fn at(headers: &BorrowedHeaders, index: usize) -> Option<(Cow<'_, str>, Option<&[u8]>)> {
    let list = std::ptr::from_ref(headers).cast::<native::rd_kafka_headers_t>();
    let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: `headers` is a list of librdkafka under another type, as rust-rdkafka casts it, and lives as long as the
    // returned references. librdkafka ends each name with a NUL, and reports the length of each value that is not null.
    unsafe {
        let error =
            native::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut length);
        if error != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        let name = String::from_utf8_lossy(CStr::from_ptr(name).to_bytes());
        let value =
            (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), length));
        Some((name, value))
    }
}

/// Returns the value of the header `name`, if it exists and is UTF-8 text.
pub(super) fn text<'a>(headers: &'a BorrowedHeaders, name: &str) -> Option<&'a str> {
    let (_, value) = each(headers).find(|(own, _)| own == name)?;
    std::str::from_utf8(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::{Header, OwnedHeaders};

    fn add(headers: OwnedHeaders, name: &str, value: Option<&[u8]>) -> OwnedHeaders {
        headers.insert(Header { key: name, value })
    }

    #[test]
    fn names_and_values_keep_their_bytes_and_order() {
        let mut headers = OwnedHeaders::new();
        for (name, value) in
            [("b", Some(&b"1"[..])), ("a", None), ("b", Some(b"")), ("", Some(b"\xff"))]
        {
            headers = add(headers, name, value);
        }
        let found: Vec<_> = each(headers.as_borrowed()).collect();
        let expected: [(Cow<'_, str>, Option<&[u8]>); 4] = [
            ("b".into(), Some(b"1")),
            ("a".into(), None),
            ("b".into(), Some(b"")),
            ("".into(), Some(b"\xff")),
        ];
        assert_eq!(found, expected);
        assert_eq!(text(headers.as_borrowed(), "b"), Some("1"));
        assert_eq!(text(headers.as_borrowed(), "a"), None);
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_read_with_replacements() {
        let headers = OwnedHeaders::new();
        let list = std::ptr::from_ref(headers.as_borrowed()).cast::<native::rd_kafka_headers_t>();
        let (name, value) = (b"x\xffy", b"1");
        // SAFETY: the owner of the list outlives the call, and name and value have the given lengths.
        unsafe {
            native::rd_kafka_header_add(
                list.cast_mut(),
                name.as_ptr().cast(),
                3,
                value.as_ptr().cast(),
                1,
            );
        }
        let found: Vec<_> = each(headers.as_borrowed()).collect();
        assert_eq!(found, [(Cow::Borrowed("x\u{fffd}y"), Some(&b"1"[..]))]);
    }
}
