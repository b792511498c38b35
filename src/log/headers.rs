//! The headers of a record, whatever their names are made of: the library panics at a name that is no UTF-8.
#![expect(
    unsafe_code,
    reason = "librdkafka is asked for names as bytes, which the library does not offer"
)]

use rdkafka::bindings as native;
use rdkafka::message::{BorrowedHeaders, Headers as _};
use std::borrow::Cow;
use std::ffi::CStr;

/// Names and values in their order. What is no UTF-8 in a name is replaced, as other clients do it; a value may be null.
pub(super) fn each(
    headers: &BorrowedHeaders,
) -> impl Iterator<Item = (Cow<'_, str>, Option<&[u8]>)> {
    (0..headers.count()).map_while(move |index| at(headers, index))
}

fn at(headers: &BorrowedHeaders, index: usize) -> Option<(Cow<'_, str>, Option<&[u8]>)> {
    let list = std::ptr::from_ref(headers).cast::<native::rd_kafka_headers_t>();
    let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: `headers` is a list of librdkafka's behind another name, as the library has it, and lives as long as what is
    // returned; librdkafka ends each name with a NUL, and each value that is not null has the length that it says.
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

/// The header `name`, if it is there and is text.
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
    fn names_order_and_values_are_what_they_are() {
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
    fn a_name_that_is_no_utf_8_is_read_all_the_same() {
        let headers = OwnedHeaders::new();
        let list = std::ptr::from_ref(headers.as_borrowed()).cast::<native::rd_kafka_headers_t>();
        let (name, value) = (b"x\xffy", b"1");
        // SAFETY: the list is its owner's, who lives on; name and value have the lengths that are said.
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
