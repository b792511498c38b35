//! The SMS that a delivery is about, in events, dead letters and commands: `sms_id` if it is one, `sms` if it is several.

use crate::domain::{SharedList, SmsId};
use crate::json::Object;

/// Writes the member, or none if the delivery is about no SMS.
pub(super) fn write(object: &mut Object<'_>, sms: &[SmsId]) {
    match sms {
        [] => {}
        [one] => object.text("sms_id", one.as_str()),
        several => object.texts("sms", several.iter().map(SmsId::as_str)),
    }
}

/// Returns the SMS that the two members name, or `None` if one is no id.
pub(super) fn read(one: Option<&str>, several: &[String]) -> Option<SharedList<SmsId>> {
    one.into_iter().chain(several.iter().map(String::as_str)).map(SmsId::new).collect()
}
