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

/// What phones, by name and UDID, are called so that each is known from the others: by its name, and where several have the same
/// name with the end of its UDID.
#[must_use]
pub fn told_apart(phones: &[(&str, &str)]) -> Vec<String> {
    let called = |(name, udid): &(&str, &str)| {
        let rivals =
            phones.iter().filter(|(n, u)| folded(n) == folded(name) && !same_udid(u, udid));
        let rivals: Vec<&str> = rivals.map(|(_, udid)| *udid).collect();
        if rivals.is_empty() {
            return (*name).to_owned();
        }
        let end = end_of(udid);
        let is_enough = !end.is_empty() && rivals.iter().all(|rival| end_of(rival) != end);
        if is_enough { format!("{name} (…{end})") } else { format!("{name} ({udid})") }
    };
    phones.iter().map(called).collect()
}

/// The last four characters of a UDID.
fn end_of(udid: &str) -> &str {
    udid.len().checked_sub(4).and_then(|at| udid.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_of_one_name_are_told_apart_by_what_differs() {
        let (a, b, c) = ("00008110-0000AAAA", "00008110-0000BBBB", "00008120-0000AAAA");
        assert_eq!(told_apart(&[("Blue", a), ("Red", b)]), ["Blue", "Red"]);
        assert_eq!(told_apart(&[("Blue", a), ("blue", b)]), ["Blue (…AAAA)", "blue (…BBBB)"]);
        let long = [format!("Blue ({a})"), format!("Blue ({c})")];
        assert_eq!(told_apart(&[("Blue", a), ("Blue", c)]), long);
        assert_eq!(told_apart(&[("Blue", a), ("Blue", a)]), ["Blue", "Blue"], "it is one phone");
    }

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
