//! The keyring: id key, cut seed and the data key of each epoch, sealed under the master key (docs/format.md §3.2).
//!
//! Invariant: id key and cut seed never change; epochs only grow. Key bytes pass through JSON only inside wiped buffers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{IdKeys, SealBroken, Secret, derive};
use crate::ambient::{Ambient, NoRandomness, draw};
use crate::ids::{RepositoryId, hex, unhex};

/// Number of a data key.
pub type Epoch = u32;

#[derive(Serialize, Deserialize)]
struct Json {
    v: u32,
    generation: u64,
    id_key: String,
    cut_seed: String,
    epochs: Vec<EpochJson>,
}

#[derive(Serialize, Deserialize)]
struct EpochJson {
    epoch: Epoch,
    data_key: String,
    created: u64,
}

impl Drop for Json {
    fn drop(&mut self) {
        self.id_key.zeroize();
        self.cut_seed.zeroize();
        for epoch in &mut self.epochs {
            epoch.data_key.zeroize();
        }
    }
}

/// The opened keyring.
pub struct Keyring {
    /// Grows with each keyring written; the highest counts.
    pub generation: u64,
    id_key: Secret,
    cut_seed: Secret,
    epochs: BTreeMap<Epoch, (Secret, u64)>,
}

/// The data key of every epoch.
pub struct DataKeys {
    keys: BTreeMap<Epoch, Secret>,
}

impl Keyring {
    /// Draws a new one with epoch 1.
    ///
    /// # Errors
    /// No random numbers.
    pub(crate) fn draw(ambient: &dyn Ambient) -> Result<Self, NoRandomness> {
        let first = (Secret::new(draw(ambient)?), ambient.now_secs());
        Ok(Self {
            generation: 1,
            id_key: Secret::new(draw(ambient)?),
            cut_seed: Secret::new(draw(ambient)?),
            epochs: BTreeMap::from([(1, first)]),
        })
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let json = Json {
            v: 1,
            generation: self.generation,
            id_key: hex(self.id_key.bytes()),
            cut_seed: hex(self.cut_seed.bytes()),
            epochs: self
                .epochs
                .iter()
                .map(|(epoch, (key, created))| EpochJson {
                    epoch: *epoch,
                    data_key: hex(key.bytes()),
                    created: *created,
                })
                .collect(),
        };
        Zeroizing::new(serde_json::to_vec(&json).unwrap_or_default())
    }

    /// Reads the JSON; None if it is not a keyring of format 1 with at least one epoch.
    pub(crate) fn decode(json: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(json).ok().filter(|json: &Json| json.v == 1)?;
        let secret = |text: &str| unhex(text).map(Secret::new);
        let mut epochs = BTreeMap::new();
        for epoch in &json.epochs {
            epochs.insert(epoch.epoch, (secret(&epoch.data_key)?, epoch.created));
        }
        if epochs.is_empty() || epochs.contains_key(&0) {
            return None;
        }
        Some(Self {
            generation: json.generation,
            id_key: secret(&json.id_key)?,
            cut_seed: secret(&json.cut_seed)?,
            epochs,
        })
    }

    /// The key that seals the keyring itself.
    pub(crate) fn sealing_key(master: &Secret, repository: RepositoryId) -> Secret {
        derive("russet format 1 keyring", &[master.bytes(), repository.as_bytes()])
    }

    /// Splits into the keys that are used every day.
    pub(crate) fn into_keys(self) -> (IdKeys, DataKeys) {
        let keys = self.epochs.into_iter().map(|(epoch, (key, _))| (epoch, key)).collect();
        (IdKeys::new(&self.id_key, self.cut_seed), DataKeys { keys })
    }
}

impl DataKeys {
    /// The key of an epoch.
    ///
    /// # Errors
    /// The keyring has no such epoch: nothing sealed under it can be opened.
    pub(crate) fn of(&self, epoch: Epoch) -> Result<&Secret, SealBroken> {
        self.keys.get(&epoch).ok_or(SealBroken)
    }

    /// The epoch that new things are sealed under, and its key.
    pub(crate) fn current(&self) -> Result<(Epoch, &Secret), SealBroken> {
        self.keys.last_key_value().map(|(epoch, key)| (*epoch, key)).ok_or(SealBroken)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ambient::System;
    use proptest::prelude::*;

    #[test]
    fn a_keyring_comes_back_from_its_json() {
        let ring = Keyring::draw(&System).unwrap();
        let back = Keyring::decode(&ring.encode()).unwrap();
        assert_eq!(back.id_key.bytes(), ring.id_key.bytes());
        assert_eq!(back.cut_seed.bytes(), ring.cut_seed.bytes());
        assert_eq!(back.epochs[&1].0.bytes(), ring.epochs[&1].0.bytes());
    }

    #[test]
    fn a_keyring_of_another_version_is_not_read() {
        let json = Keyring::draw(&System).unwrap().encode();
        let newer = String::from_utf8(json.to_vec()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
        assert!(Keyring::decode(newer.as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn every_prefix_is_refused(at in any::<proptest::sample::Index>()) {
            let json = Keyring::draw(&System).unwrap().encode();
            prop_assert!(Keyring::decode(&json[..at.index(json.len())]).is_none());
        }
    }
}
