//! Phones that are connected: finding the one that a person means, and having it trust this computer.
//!
//! Invariant: nothing here writes to a repository or keeps anything of a phone.

pub use crate::capture::device::connect::{
    Attached, ConnectError, Connection, Muxer, MuxerAddress, PairState, Phone, Values, pair,
    same_udid,
};

use crate::snapshot::select::folded;

/// Whether a word means this phone: its name, whole and in any case, or the beginning of its UDID, dash or not.
#[must_use]
pub fn matches(word: &str, attached: &Attached, name: Option<&str>) -> bool {
    let plain = |text: &str| text.replace('-', "").to_lowercase();
    let udid_begins = word.len() >= 4 && plain(&attached.udid).starts_with(&plain(word));
    udid_begins || name.is_some_and(|name| folded(name) == folded(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_is_known_by_its_name_and_by_the_beginning_of_its_udid() {
        let attached = Attached {
            udid: "00008110-000A1B2C3D4E5F60".to_owned(),
            connection: Connection::Usb,
            device_id: 1,
            product_id: None,
        };
        let is = |word: &str| matches(word, &attached, Some("Blue iPhone"));
        assert!(is("blue iphone") && is("00008110-000a") && is("00008110000A1B"));
        assert!(matches("owner's phone", &attached, Some("Owner\u{2019}s Phone")));
        assert!(!is("blue") && !is("000") && !is("00008111") && !is(""));
    }
}
