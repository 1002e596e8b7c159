//! Keyslots: the master key wrapped under a password or the recovery key (docs/format.md §3.1).
//!
//! Invariant: parameters are checked before any memory is taken; the commitment is compared before the seal is tried, so that one
//! slot can never open under two passwords. A slot is one fixed-length file, written once.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Password, RecoveryKey, Secret, mac, mac_key, open_record, seal_record};
use crate::ambient::{Ambient, NoRandomness, draw};
use crate::header::{Header, HeaderError, Kind};
use crate::ids::{RecordId, RepositoryId, hash_of_file};

/// Length of a keyslot's file.
pub const KEYSLOT_LEN: usize = 456;
const SEALED_AT: usize = 152;
const MAC_AT: usize = 424;
const PLAIN_LEN: usize = 256;
const LABEL_LEN_MAX: usize = 200;
const MEMORY_KIB_MAX: u32 = 2 << 20;

/// How a keyslot's secret becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kdf {
    /// Argon2id of a password.
    Argon2id {
        /// Memory in KiB, at most 2 GiB.
        memory_kib: u32,
        /// Passes, 1 to 64.
        passes: u32,
        /// Lanes, 1 to 16.
        lanes: u32,
    },
    /// A recovery key: random already, only derived.
    Recovery,
}

/// What opens a keyslot.
pub enum SlotSecret {
    /// The repository password.
    Password(Password),
    /// The recovery key.
    Recovery(RecoveryKey),
}

/// Why a keyslot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyslotError {
    /// Not a keyslot's file.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The KDF or its parameters are outside what format 1 allows.
    #[error(
        "it asks for a key derivation outside the allowed bounds (memory {memory_kib} KiB, {passes} passes, {lanes} lanes)"
    )]
    Bounds {
        /// Memory asked for, KiB.
        memory_kib: u32,
        /// Passes asked for.
        passes: u32,
        /// Lanes asked for.
        lanes: u32,
    },
    /// A KDF this program does not know.
    #[error("it uses key derivation {0}, which this program does not know")]
    UnknownKdf(u8),
    /// The secret is for another kind of slot.
    #[error("it is for the other kind of secret")]
    OtherSecret,
    /// The secret does not open it.
    #[error("the secret does not open it")]
    Wrong,
    /// Not enough memory for the KDF.
    #[error("there is not enough memory to derive the key ({memory_kib} KiB are needed)")]
    Memory {
        /// Memory asked for, KiB.
        memory_kib: u32,
    },
    /// No random numbers.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The secret opened it, but it was changed.
    #[error("it was changed after it was written")]
    Changed,
}

/// What a keyslot says about itself once it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyslotFacts {
    /// The slot's id: the name of its file.
    pub id: RecordId,
    /// Password or recovery key, with parameters.
    pub kdf: Kdf,
}

/// One keyslot, as read or made.
#[derive(Clone)]
pub struct Keyslot {
    bytes: [u8; KEYSLOT_LEN],
    kdf: Kdf,
    repository: RepositoryId,
}

impl Keyslot {
    /// Reads a keyslot's file.
    ///
    /// # Errors
    /// It is not one, or asks for more than the format allows.
    pub fn decode(file: &[u8], repository: Option<RepositoryId>) -> Result<Self, KeyslotError> {
        let header = Header::of_file(file, Kind::Keyslot, repository)?;
        let bytes: &[u8; KEYSLOT_LEN] = file.try_into().map_err(|_| HeaderError::Length {
            wanted: KEYSLOT_LEN as u64,
            actual: file.len() as u64,
        })?;
        let word = |at: usize| {
            bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let (memory_kib, passes, lanes) = (word(52), word(56), word(60));
        let kdf = match bytes[48] {
            1 => Kdf::Argon2id { memory_kib, passes, lanes },
            2 => Kdf::Recovery,
            other => return Err(KeyslotError::UnknownKdf(other)),
        };
        kdf.check()?;
        Ok(Self { bytes: *bytes, kdf, repository: header.repository })
    }

    /// Wraps the master key under a secret.
    ///
    /// # Errors
    /// Bounds, memory, randomness.
    pub(crate) fn create(
        master: &Secret,
        repository: RepositoryId,
        secret: &SlotSecret,
        kdf: Kdf,
        label: &str,
        ambient: &dyn Ambient,
    ) -> Result<Self, KeyslotError> {
        kdf.check()?;
        let mut bytes = [0u8; KEYSLOT_LEN];
        let header = Header {
            kind: Kind::Keyslot,
            algorithm: 1,
            pack_type: 0,
            epoch: 0,
            repository,
            file_len: KEYSLOT_LEN as u64,
        };
        bytes[..48].copy_from_slice(&header.encode());
        let (number, memory_kib, passes, lanes) = match kdf {
            Kdf::Argon2id { memory_kib, passes, lanes } => (1, memory_kib, passes, lanes),
            Kdf::Recovery => (2, 0, 0, 0),
        };
        bytes[48] = number;
        bytes[52..56].copy_from_slice(&memory_kib.to_le_bytes());
        bytes[56..60].copy_from_slice(&passes.to_le_bytes());
        bytes[60..64].copy_from_slice(&lanes.to_le_bytes());
        let salt: [u8; 32] = draw(ambient)?;
        let nonce: [u8; 24] = draw(ambient)?;
        bytes[64..96].copy_from_slice(&salt);
        let (kek, commitment) = kdf.derive(secret, &salt)?;
        bytes[96..128].copy_from_slice(&commitment);
        bytes[128..152].copy_from_slice(&nonce);
        let plain = slot_plaintext(master, ambient.now_secs(), label);
        let sealed = seal_record(&kek, &nonce, &bytes[..SEALED_AT], plain);
        bytes[SEALED_AT..MAC_AT].copy_from_slice(&sealed);
        let sum = mac(&mac_key(master, repository), &bytes[..MAC_AT]);
        bytes[MAC_AT..].copy_from_slice(&sum);
        Ok(Self { bytes, kdf, repository })
    }

    /// Opens the slot: the master key, the time the slot was made (Unix seconds) and its label.
    ///
    /// # Errors
    /// [`KeyslotError::Wrong`] for a wrong secret; others as they say.
    pub(crate) fn open(&self, secret: &SlotSecret) -> Result<(Secret, u64, String), KeyslotError> {
        let salt: &[u8; 32] = self.bytes[64..].first_chunk().ok_or(KeyslotError::Wrong)?;
        let nonce: &[u8; 24] = self.bytes[128..].first_chunk().ok_or(KeyslotError::Wrong)?;
        let (kek, commitment) = self.kdf.derive(secret, salt)?;
        if !bool::from(commitment.ct_eq(&self.bytes[96..128])) {
            return Err(KeyslotError::Wrong);
        }
        let sealed = &self.bytes[SEALED_AT..MAC_AT];
        let plain = open_record(&kek, nonce, &self.bytes[..SEALED_AT], sealed)
            .map_err(|_| KeyslotError::Changed)?;
        let plain = Zeroizing::new(plain);
        let master = Secret::new(*plain.first_chunk().ok_or(KeyslotError::Changed)?);
        if !self.is_of(&master) {
            return Err(KeyslotError::Changed);
        }
        let created = plain[32..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let label_len =
            plain[40..].first_chunk().map_or(0, |b| usize::from(u16::from_le_bytes(*b)));
        let label = plain.get(42..42 + label_len.min(LABEL_LEN_MAX)).unwrap_or_default();
        Ok((master, created, String::from_utf8_lossy(label).into_owned()))
    }

    /// Whether whoever knew this master key wrote these bytes: no password is needed to tell.
    pub(crate) fn is_of(&self, master: &Secret) -> bool {
        let sum = mac(&mac_key(master, self.repository), &self.bytes[..MAC_AT]);
        sum.ct_eq(&self.bytes[MAC_AT..]).into()
    }

    /// Id and parameters.
    #[must_use]
    pub fn facts(&self) -> KeyslotFacts {
        KeyslotFacts { id: self.id(), kdf: self.kdf }
    }

    /// The slot's id: BLAKE3 of its file.
    #[must_use]
    pub fn id(&self) -> RecordId {
        RecordId::decode(hash_of_file(&self.bytes))
    }

    /// The repository it says it belongs to.
    #[must_use]
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; KEYSLOT_LEN] {
        &self.bytes
    }
}

fn slot_plaintext(master: &Secret, created: u64, label: &str) -> Vec<u8> {
    let mut cut = label.len().min(LABEL_LEN_MAX);
    while !label.is_char_boundary(cut) {
        cut -= 1;
    }
    let label = label.get(..cut).unwrap_or_default().as_bytes();
    let mut plain = Vec::with_capacity(PLAIN_LEN + 16);
    plain.extend_from_slice(master.bytes());
    plain.extend_from_slice(&created.to_le_bytes());
    plain.extend_from_slice(&u16::try_from(label.len()).unwrap_or(0).to_le_bytes());
    plain.extend_from_slice(label);
    plain.resize(PLAIN_LEN, 0);
    plain
}

impl Kdf {
    fn check(self) -> Result<(), KeyslotError> {
        let Self::Argon2id { memory_kib, passes, lanes } = self else { return Ok(()) };
        let good = (1..=16).contains(&lanes)
            && (1..=64).contains(&passes)
            && (8 * lanes..=MEMORY_KIB_MAX).contains(&memory_kib);
        if good { Ok(()) } else { Err(KeyslotError::Bounds { memory_kib, passes, lanes }) }
    }

    /// KEK and commitment.
    pub(crate) fn derive(
        self,
        secret: &SlotSecret,
        salt: &[u8; 32],
    ) -> Result<(Secret, [u8; 32]), KeyslotError> {
        let mut out = Zeroizing::new([0u8; 64]);
        match (self, secret) {
            (Self::Argon2id { memory_kib, passes, lanes }, SlotSecret::Password(password)) => {
                let refuse = |_| KeyslotError::Bounds { memory_kib, passes, lanes };
                let params = Params::new(memory_kib, passes, lanes, Some(64)).map_err(refuse)?;
                let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon
                    .hash_password_into(password.bytes(), salt, out.as_mut_slice())
                    .map_err(|_| KeyslotError::Memory { memory_kib })?;
            }
            (Self::Recovery, SlotSecret::Recovery(key)) => {
                let mut hasher = blake3::Hasher::new_derive_key("russet format 1 recovery key");
                hasher.update(key.bytes()).update(salt);
                hasher.finalize_xof().fill(out.as_mut_slice());
            }
            _ => return Err(KeyslotError::OtherSecret),
        }
        let half = |at: usize| out[at..].first_chunk::<32>().copied().unwrap_or([0; 32]);
        Ok((Secret::new(half(0)), half(32)))
    }
}

/// Finds Argon2id parameters that take about `aim` on this machine: 256 MiB to 1 GiB, at least two passes.
#[must_use]
pub fn calibrate(aim: Duration) -> Kdf {
    let cost = |memory_kib, passes| Kdf::Argon2id { memory_kib, passes, lanes: 1 };
    let Ok(password) = Password::new("calibration") else { return cost(256 << 10, 3) };
    let secret = SlotSecret::Password(password);
    let started = Instant::now();
    if cost(64 << 10, 1).derive(&secret, &[0; 32]).is_err() {
        return cost(256 << 10, 3);
    }
    // 64 MiB once was measured; time grows with memory × passes.
    let units = (aim.as_millis() / started.elapsed().as_millis().max(1)).clamp(8, 48);
    let units = u32::try_from(units).unwrap_or(8);
    let memory_mib = if units >= 24 { 512 } else { 256 };
    cost(memory_mib << 10, (units * 64 / memory_mib).clamp(2, 8))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ambient::System;
    use proptest::prelude::*;

    const CHEAP: Kdf = Kdf::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };

    fn slot(password: &str) -> (Keyslot, Secret) {
        let master = Secret::new([3; 32]);
        let secret = SlotSecret::Password(Password::new(password).unwrap());
        let id = RepositoryId::decode([1; 16]);
        (Keyslot::create(&master, id, &secret, CHEAP, "kitchen", &System).unwrap(), master)
    }

    fn typed(password: &str) -> SlotSecret {
        SlotSecret::Password(Password::new(password).unwrap())
    }

    #[test]
    fn the_password_opens_its_slot_and_another_does_not() {
        let (slot, master) = slot("secret");
        let slot = Keyslot::decode(slot.bytes(), None).unwrap();
        let (opened, _, label) = slot.open(&typed("secret")).unwrap();
        assert_eq!(opened.bytes(), master.bytes());
        assert_eq!(label, "kitchen");
        assert!(matches!(slot.open(&typed("Secret")), Err(KeyslotError::Wrong)));
    }

    #[test]
    fn a_recovery_key_opens_its_slot_without_argon2() {
        let master = Secret::new([3; 32]);
        let key = RecoveryKey::draw(&System).unwrap();
        let words = key.words();
        let id = RepositoryId::decode([1; 16]);
        let slot =
            Keyslot::create(&master, id, &SlotSecret::Recovery(key), Kdf::Recovery, "", &System)
                .unwrap();
        let typed = SlotSecret::Recovery(RecoveryKey::parse(&words).unwrap());
        assert_eq!(slot.open(&typed).unwrap().0.bytes(), master.bytes());
    }

    #[test]
    fn a_slot_that_asks_for_terabytes_is_refused_before_any_memory_is_taken() {
        let (slot, _) = slot("secret");
        for (at, value) in [(52, u32::MAX), (56, 0), (56, 65), (60, 0), (60, 17), (52, 7)] {
            let mut bytes = *slot.bytes();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert!(
                matches!(Keyslot::decode(&bytes, None), Err(KeyslotError::Bounds { .. })),
                "{at}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_flipped_bit_makes_a_slot_useless_or_names_the_change(bit in 0usize..KEYSLOT_LEN * 8) {
            let (slot, master) = slot("secret");
            let mut bytes = *slot.bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = Keyslot::decode(&bytes, None) {
                prop_assert!(!changed.is_of(&master));
                // Memory may have been flipped to 2 GiB; only cheap ones are opened here.
                if changed.kdf == CHEAP {
                    prop_assert!(changed.open(&typed("secret")).is_err());
                }
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Keyslot::decode(&bytes, None);
        }
    }
}
