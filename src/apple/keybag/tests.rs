//! Keybags: known answers of another implementation, every hostile shape that was thought of, and any bytes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;
use crate::apple::property_list::fixtures::{binary, dictionary};

/// Made with Python's hashlib and the package cryptography: password `pässwörd`, 1000 and 100 rounds, salts 10…23 and 30…43,
/// class keys 4 = 80…9f, 3 = a0…bf, file key c0…df under class 3.
const BAG: &str = "5645525300000004000000055459504500000004000000015555494400000010000102030405060708090a0b0c0d0e0f484d434b000000280000000000000000000000000000000000000000000000000000000000000000000000000000000057524150000000040000000053414c5400000014303132333435363738393a3b3c3d3e3f404142434954455200000004000000644450575400000004000000014450494300000004000003e84450534c00000014101112131415161718191a1b1c1d1e1f20212223555549440000001004040404040404040404040404040404434c415300000004000000045752415000000004000000024b545950000000040000000057504b590000002807bc195783ccf61bdb5b274afb922cc3bf862726d063f8b669df5934cc5494ddb7779e6115fb49d4555549440000001003030303030303030303030303030303434c415300000004000000035752415000000004000000024b545950000000040000000057504b5900000028f0e17131874ea86cde7c4c0126d3c9149347d5d934c623d93a8c56ef28868b282736ba34e139fae8";
const ROW: &str =
    "0300000054900ad8fb1956b306ea8d95ff6a4e5c489d7a24436942f39f484b9e65dcf129a8ddd8d64827cc7b";
const PASSWORD: &str = "pässwörd";

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().as_chunks::<2>().0;
    pairs.iter().map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

fn passwords(all: &[&str]) -> Passwords {
    Passwords::new(all.iter().map(|text| PhonePassword::new(text).unwrap()).collect())
}

fn row() -> WrappedKey {
    WrappedKey::of_bytes(&hex(ROW))
}

/// The fields of the sample, to be changed and joined again.
fn sample() -> Vec<([u8; 4], Vec<u8>)> {
    let bag = hex(BAG);
    fields(&bag).map(|field| field.map(|(tag, value)| (*tag, value.to_vec())).unwrap()).collect()
}

fn join(fields: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, value) in fields {
        bytes.extend_from_slice(tag);
        bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

/// The sample with the first field of that tag changed.
fn with(tag: &[u8; 4], value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut fields = sample();
    fields.iter_mut().find(|(each, _)| each == tag).unwrap().1 = value.as_ref().to_vec();
    join(&fields)
}

fn refusal(bytes: &[u8]) -> KeybagError {
    Keybag::parse(bytes).unwrap_err()
}

#[test]
fn another_implementation_s_keybag_gives_its_file_key() {
    let keys = passwords(&[PASSWORD]).unlock(&Keybag::parse(&hex(BAG)).unwrap()).unwrap();
    let expected: Vec<u8> = (0xc0..0xe0).collect();
    assert_eq!(keys.file_key(&row()).unwrap().as_bytes()[..], expected);
}

#[test]
fn a_wrong_password_is_told_and_of_several_the_right_one_counts() {
    let bag = Keybag::parse(&hex(BAG)).unwrap();
    for wrong in [&[][..], &["passwort"], &["pässwörd "], &["a", "b"]] {
        assert!(passwords(wrong).unlock(&bag).is_err(), "{wrong:?}");
    }
    assert!(passwords(&["wrong", PASSWORD]).unlock(&bag).is_ok());
}

#[test]
fn ten_million_rounds_are_admitted_and_run() {
    let bag = Keybag::parse(&with(b"DPIC", 10_000_000_u32.to_be_bytes())).unwrap();
    assert!(passwords(&[PASSWORD]).unlock(&bag).is_err());
}

#[test]
fn two_keybags_with_the_same_salts_cost_one_derivation() {
    let bag = Keybag::parse(&hex(BAG)).unwrap();
    let mut passwords = passwords(&[PASSWORD]);
    for _ in 0..3 {
        passwords.unlock(&bag).unwrap();
    }
    assert_eq!(passwords.derived.len(), 1);
    let other = Keybag::parse(&with(b"DPIC", 7_u32.to_be_bytes())).unwrap();
    assert!(passwords.unlock(&other).is_err());
    // Composed, as it was given, and decomposed.
    assert_eq!(passwords.derived.len(), 3);
}

#[test]
fn rounds_beyond_any_phone_s_are_refused_unrun() {
    for tag in [b"DPIC", b"ITER"] {
        for rounds in [0, 1 << 31, u32::MAX] {
            let error = refusal(&with(tag, rounds.to_be_bytes()));
            assert!(matches!(error, KeybagError::Rounds { rounds: r } if r == rounds), "{error}");
        }
    }
}

#[test]
fn fields_of_a_wrong_length_are_refused_by_name() {
    for tag in [b"UUID", b"SALT", b"ITER", b"DPIC", b"DPSL", b"CLAS", b"WPKY"] {
        for len in [0, 65] {
            let error = refusal(&with(tag, vec![1; len]));
            let name = std::str::from_utf8(tag).unwrap();
            assert!(
                matches!(error, KeybagError::Length { tag, len: l } if tag == name && l == len),
                "{name} {len}: {error}"
            );
        }
    }
}

#[test]
fn fields_that_decide_keys_may_not_stand_twice() {
    for tag in [b"SALT", b"ITER", b"DPIC", b"DPSL"] {
        let mut fields = sample();
        let twin = fields.iter().find(|(each, _)| each == tag).unwrap().clone();
        fields.insert(3, twin);
        let error = refusal(&join(&fields));
        assert!(
            matches!(error, KeybagError::Repeated { tag: t } if t.as_bytes() == tag),
            "{error}"
        );
    }
    let mut fields = sample();
    let class = fields[fields.len() - 5..].to_vec();
    fields.extend(class);
    assert!(matches!(refusal(&join(&fields)), KeybagError::Repeated { tag: "WPKY" }));
    let mut fields = sample();
    let clas = fields.iter().position(|(tag, _)| tag == b"CLAS").unwrap();
    fields.insert(clas, (*b"CLAS", vec![0, 0, 0, 9]));
    assert!(matches!(refusal(&join(&fields)), KeybagError::Repeated { tag: "CLAS" }));
}

#[test]
fn fields_that_decide_keys_may_not_be_absent() {
    for tag in ["SALT", "ITER", "DPIC", "DPSL", "WPKY", "CLAS"] {
        let mut fields = sample();
        fields.retain(|(each, _)| each != tag.as_bytes());
        let error = refusal(&join(&fields));
        assert!(matches!(error, KeybagError::Lacks { tag: t } if t == tag), "{tag}: {error}");
    }
}

#[test]
fn a_keybag_derived_in_one_stage_is_known_as_old() {
    let mut fields = sample();
    fields.retain(|(tag, _)| !tag.starts_with(b"DP"));
    assert!(matches!(refusal(&join(&fields)), KeybagError::Old));
}

#[test]
fn fields_that_nobody_knows_are_passed_over() {
    let mut fields = sample();
    fields.insert(2, (*b"NEW1", vec![7; 300]));
    fields.push((*b"SIGN", Vec::new()));
    fields.push((*b"NEW1", Vec::new()));
    let bag = Keybag::parse(&join(&fields)).unwrap();
    assert!(passwords(&[PASSWORD]).unlock(&bag).unwrap().file_key(&row()).is_some());
}

#[test]
fn more_classes_than_any_phone_has_are_refused() {
    let mut fields = sample();
    for class in 100..200_u32 {
        fields.push((*b"UUID", vec![0; 16]));
        fields.push((*b"CLAS", class.to_be_bytes().to_vec()));
        fields.push((*b"WPKY", vec![0; 40]));
    }
    assert!(matches!(refusal(&join(&fields)), KeybagError::Classes));
    assert!(matches!(refusal(&vec![0; LEN_MAX + 1]), KeybagError::TooLong { .. }));
}

#[test]
fn a_damaged_class_costs_its_own_files_only() {
    let mut fields = sample();
    let (_, wrapped) = fields.iter_mut().find(|(tag, _)| tag == b"WPKY").unwrap();
    wrapped[5] ^= 1;
    let keys = passwords(&[PASSWORD]).unlock(&Keybag::parse(&join(&fields)).unwrap()).unwrap();
    assert!(keys.file_key(&row()).is_some());
    let mut of_class_4 = hex(ROW);
    of_class_4[0] = 4;
    assert!(keys.file_key(&WrappedKey::of_bytes(&of_class_4)).is_none());
}

#[test]
fn a_wrapped_key_that_was_changed_cut_or_lengthened_gives_nothing() {
    let keys = passwords(&[PASSWORD]).unlock(&Keybag::parse(&hex(BAG)).unwrap()).unwrap();
    let good = hex(ROW);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(keys.file_key(&WrappedKey::of_bytes(&bad)).is_none(), "{at}");
        assert!(keys.file_key(&WrappedKey::of_bytes(&good[..at])).is_none(), "{at}");
    }
    assert!(keys.file_key(&WrappedKey::of_bytes(&[&good[..], &[0]].concat())).is_none());
}

#[test]
fn the_same_letters_in_another_form_open_and_the_form_that_did_is_told() {
    let bag = Keybag::parse(&hex(BAG)).unwrap();
    // The sample's password is composed; another keyboard gives it in pieces, or mixed.
    for typed in ["pa\u{308}sswo\u{308}rd", "p\u{e4}sswo\u{308}rd"] {
        let mut typed = passwords(&["wrong", typed]);
        assert!(typed.unlock(&bag).is_ok());
        assert_eq!(typed.that_opens(&bag).unwrap().text(), PASSWORD);
    }
    assert!(passwords(&["pa\u{308}sswo\u{308}rt"]).that_opens(&bag).is_none());
}

#[test]
fn a_password_that_is_meant_for_a_keybag_is_tried_before_all_others() {
    let bag = Keybag::parse(&hex(BAG)).unwrap();
    let mut all = passwords(&["a", "b"]);
    all.add_known(PhonePassword::new("c").unwrap());
    all.add_meant(bag.id(), PhonePassword::new(PASSWORD).unwrap());
    assert!(all.unlock(&bag).is_ok());
    assert_eq!(all.derived.len(), 1);
    let mut meant_wrongly = passwords(&[PASSWORD]);
    meant_wrongly.add_meant(bag.id(), PhonePassword::new("old").unwrap());
    assert!(meant_wrongly.unlock(&bag).is_ok());
}

#[test]
fn the_keys_of_a_manifest_plist_are_found_and_never_shown() {
    let plist = binary(&dictionary([
        ("BackupKeyBag", plist::Value::Data(hex(BAG))),
        ("ManifestKey", plist::Value::Data(hex(ROW))),
    ]));
    let locked = LockedKeys::parse(&plist).unwrap();
    assert_eq!(locked.keybag.id().as_bytes(), blake3::hash(&hex(BAG)).as_bytes());
    assert_eq!(locked.manifest_key.as_ref().unwrap().as_bytes(), hex(ROW));
    assert_eq!(locked.unlock(&mut passwords(&[PASSWORD])).unwrap().manifest().as_bytes()[0], 0xc0);
    assert_eq!(locked.unlock(&mut passwords(&["x"])).err(), Some(WrongPassword.into()));
    let shown = format!("{locked:?}");
    assert!(!shown.contains("84") && !shown.contains("[") && shown.len() < 100, "{shown}");
    let without = dictionary([("BackupKeyBag", plist::Value::Data(hex(BAG)))]);
    let without = LockedKeys::parse(&binary(&without)).unwrap();
    let refused = without.unlock(&mut passwords(&[PASSWORD])).err();
    assert_eq!(refused, Some(UnlockError::ManifestKey));
    let none = binary(&dictionary([("BackupKeyBag", plist::Value::Data(Vec::new()))]));
    assert!(matches!(LockedKeys::parse(&none).unwrap_err(), KeybagError::Missing));
    assert!(matches!(LockedKeys::parse(b"x").unwrap_err(), KeybagError::Plist(_)));
}

proptest! {
    #[test]
    fn every_prefix_is_refused_or_has_fewer_classes(len in 0..412_usize) {
        let bag = hex(BAG);
        prop_assume!(len < bag.len());
        if let Ok(cut) = Keybag::parse(&bag[..len]) {
            prop_assert!(cut.classes.len() < 2);
        }
    }

    #[test]
    fn a_flipped_bit_gives_other_keys_fewer_keys_or_nothing(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bag = hex(BAG);
        let at = at.index(bag.len());
        bag[at] ^= 1_u8 << bit;
        if let Ok(parsed) = Keybag::parse(&bag) {
            // No waiting for millions of rounds.
            prop_assume!(parsed.derivation.first_rounds < 100_000 && parsed.derivation.second_rounds < 100_000);
            if let Ok(keys) = passwords(&[PASSWORD]).unlock(&parsed) {
                let expected: Vec<u8> = (0xc0..0xe0).collect();
                let right = keys.file_key(&row()).is_none_or(|key| key.as_bytes()[..] == expected);
                prop_assert!(right);
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Keybag::parse(&bytes);
        let _ = LockedKeys::parse(&bytes);
    }

    #[test]
    fn any_fields_never_panic(picks in prop::collection::vec((0..24_usize, any::<u32>(), 0..50_usize), 0..60)) {
        let sample = sample();
        let fields: Vec<_> = picks.into_iter().map(|(pick, number, len)| {
            let (tag, value) = sample[pick % sample.len()].clone();
            match len {
                4 => (tag, number.to_be_bytes().to_vec()),
                0..30 => (tag, value),
                len => (tag, vec![7; len]),
            }
        }).collect();
        let _ = Keybag::parse(&join(&fields));
    }
}
