//! What its maker calls such a phone in the shop: `iPhone 13`, where lockdown says `iPhone14,5`.
//!
//! Invariant: it is the phone's own word, or none: no table of ours grows old. Phones before iOS 17.4 tell it; since then they
//! refuse, and no other question is known that gets it.

use super::message::{self, dictionary, text};
use super::muxer::ANSWER_IDLE;
use super::{ConnectError, Phone};
use plist::{Dictionary, Value};
use std::io::{Read, Write};

const SERVICE: &str = "com.apple.mobile.diagnostics_relay";
const GROUP: &str = "MobileGestalt";
const KEY: &str = "marketing-name";
/// Longest name believed.
const LEN_MAX: usize = 100;

/// Asks the phone; none: it does not tell.
///
/// # Errors
/// The service could not be reached, or answered what it must not.
pub(super) fn product_name(phone: &mut Phone) -> Result<Option<String>, ConnectError> {
    let mut stream = phone.start_service(SERVICE, true)?;
    stream.set_idle(ANSWER_IDLE);
    ask(&mut stream)
}

fn ask(stream: &mut (impl Read + Write)) -> Result<Option<String>, ConnectError> {
    let keys = Value::Array(vec![KEY.into()]);
    message::send(stream, dictionary([("Request", GROUP.into()), ("MobileGestaltKeys", keys)]))?;
    let answer = message::receive(stream, "the phone's diagnostics")?;
    let inner = |list: &Dictionary, key: &str| list.get(key)?.as_dictionary().cloned();
    let told = inner(&answer, "Diagnostics").and_then(|all| inner(&all, GROUP));
    let name = told.map(|told| text(&told, KEY).to_owned());
    Ok(name.filter(|name| (1..=LEN_MAX).contains(&name.len())))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Talk;
    use super::*;

    /// What is made of an answer.
    fn of(told: Value) -> Option<String> {
        let diagnostics = dictionary([(GROUP, told)]);
        let mut talk = Talk::of(dictionary([("Diagnostics", diagnostics.into())]));
        ask(&mut talk).unwrap_or_default()
    }

    #[test]
    fn a_name_is_believed_up_to_a_length_and_nothing_else_is() {
        let name = |name: &str| Value::Dictionary(dictionary([(KEY, name.into())]));
        assert_eq!(of(name("iPhone 13")).as_deref(), Some("iPhone 13"));
        assert_eq!(of(name("")), None);
        assert_eq!(of(name(&"x".repeat(101))), None);
        assert_eq!(of(dictionary([(KEY, 13.into())]).into()), None);
        assert_eq!(of(dictionary([("Status", "MobileGestaltDeprecated".into())]).into()), None);
        assert_eq!(of("no dictionary".into()), None);
    }
}
