//! The log: what is said later about a snapshot or the repository, and its fold (docs/format.md §10).
//!
//! Invariant: the fold of a set of records is the same in whatever order they arrive; where two records disagree and neither saw
//! the other, the one that keeps data wins. Knows snapshots only as ids.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{RecordId, WriterId};

/// A record's place in the chain of its writer. Snapshots and log records share one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Who wrote it.
    pub writer: WriterId,
    /// Its number, from 1.
    pub seq: u64,
    /// The writer's record before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<RecordId>,
    /// Highest number seen of every other writer.
    #[serde(default)]
    pub heads: BTreeMap<WriterId, u64>,
}

impl Link {
    /// Whether the writer of `self` had seen `other` when it wrote.
    #[must_use]
    pub fn saw(&self, other: &Self) -> bool {
        if self.writer == other.writer {
            return self.seq > other.seq;
        }
        self.heads.get(&other.writer).is_some_and(|seq| *seq >= other.seq)
    }
}

/// One log record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Version of this JSON, 1.
    pub v: u32,
    /// Place in the chain.
    #[serde(flatten)]
    pub link: Link,
    /// Unix seconds.
    pub time: u64,
    /// What is said.
    pub what: Said,
}

/// What a log record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "docs/format.md §10 names each member")]
pub enum Said {
    Tag {
        snapshot: RecordId,
        tag: String,
        on: bool,
    },
    Pin {
        snapshot: RecordId,
        on: bool,
    },
    Note {
        snapshot: RecordId,
        text: String,
    },
    Forgotten {
        snapshot: RecordId,
    },
    KeyslotRevoked {
        keyslot: RecordId,
    },
    SecretForgotten {
        secret: RecordId,
    },
    Setting {
        name: String,
        value: String,
    },
    Verified {
        #[serde(default)]
        snapshot: Option<RecordId>,
        read_len: u64,
        pack_count: u64,
        damaged_count: u64,
    },
    #[serde(other)]
    Unknown,
}

/// What is known of one snapshot from the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotState {
    /// Never forgotten while pinned.
    pub pinned: bool,
    /// Its record may be deleted.
    pub forgotten: bool,
    /// Words put on it.
    pub tags: BTreeSet<String>,
    /// A sentence put on it.
    pub note: Option<String>,
    /// Last time its data was verified, Unix seconds.
    pub verified: Option<u64>,
}

/// The fold of all records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// What is known of snapshots.
    pub snapshots: BTreeMap<RecordId, SnapshotState>,
    /// Keyslots that must not be used or brought back.
    pub revoked_keyslots: BTreeSet<RecordId>,
    /// Remembered secrets that must not be used or brought back.
    pub forgotten_secrets: BTreeSet<RecordId>,
    /// Settings.
    pub settings: BTreeMap<String, String>,
    /// Last verification of the whole repository, Unix seconds.
    pub verified: Option<u64>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Topic<'a> {
    Tag(RecordId, &'a str),
    Keep(RecordId),
    Note(RecordId),
    Setting(&'a str),
}

/// Folds records into the state. The id is the record's file name and breaks ties.
#[must_use]
pub fn fold(records: &[(RecordId, LogRecord)]) -> State {
    let mut state = State::default();
    let mut topics: BTreeMap<Topic<'_>, Vec<&(RecordId, LogRecord)>> = BTreeMap::new();
    for item in records {
        let topic = match &item.1.what {
            Said::Tag { snapshot, tag, .. } => Topic::Tag(*snapshot, tag),
            Said::Pin { snapshot, .. } | Said::Forgotten { snapshot } => Topic::Keep(*snapshot),
            Said::Note { snapshot, .. } => Topic::Note(*snapshot),
            Said::Setting { name, .. } => Topic::Setting(name),
            Said::KeyslotRevoked { keyslot } => {
                state.revoked_keyslots.insert(*keyslot);
                continue;
            }
            Said::SecretForgotten { secret } => {
                state.forgotten_secrets.insert(*secret);
                continue;
            }
            Said::Verified { snapshot, .. } => {
                let time = match snapshot {
                    Some(id) => &mut state.snapshots.entry(*id).or_default().verified,
                    None => &mut state.verified,
                };
                *time = (*time).max(Some(item.1.time));
                continue;
            }
            Said::Unknown => continue,
        };
        topics.entry(topic).or_default().push(item);
    }
    for (topic, said) in topics {
        decide(&mut state, &topic, &last_words(&said));
    }
    state
}

/// Records that no other record about the same thing had seen.
fn last_words<'a>(said: &[&'a (RecordId, LogRecord)]) -> Vec<&'a (RecordId, LogRecord)> {
    let unseen = |item: &&&(RecordId, LogRecord)| !said.iter().any(|o| o.1.link.saw(&item.1.link));
    let mut last: Vec<_> = said.iter().filter(unseen).copied().collect();
    last.sort_by_key(|(id, record)| (record.time, *id));
    last
}

fn decide(state: &mut State, topic: &Topic<'_>, last: &[&(RecordId, LogRecord)]) {
    let of = |state: &mut State, id: &RecordId, set: &dyn Fn(&mut SnapshotState)| {
        set(state.snapshots.entry(*id).or_default());
    };
    match topic {
        Topic::Tag(id, tag) => {
            if last.iter().any(|(_, r)| matches!(r.what, Said::Tag { on: true, .. })) {
                of(state, id, &|s| s.tags.extend([(*tag).to_owned()]));
            }
        }
        Topic::Keep(id) => {
            let pinned = last.iter().any(|(_, r)| matches!(r.what, Said::Pin { on: true, .. }));
            let forgotten = last.iter().any(|(_, r)| matches!(r.what, Said::Forgotten { .. }));
            of(state, id, &|s| {
                s.pinned = pinned;
                s.forgotten = forgotten && !pinned;
            });
        }
        Topic::Note(id) => {
            if let Some((_, LogRecord { what: Said::Note { text, .. }, .. })) = last.last() {
                of(state, id, &|s| s.note = Some(text.clone()).filter(|t| !t.is_empty()));
            }
        }
        Topic::Setting(name) => {
            if let Some((_, LogRecord { what: Said::Setting { value, .. }, .. })) = last.last() {
                state.settings.insert((*name).to_owned(), value.clone());
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SNAPSHOT: RecordId = RecordId::decode([1; 32]);

    fn record(writer: u8, seq: u64, saw: &[(u8, u64)], what: Said) -> (RecordId, LogRecord) {
        let heads = saw.iter().map(|(w, n)| (WriterId::decode([*w; 16]), *n)).collect();
        let link = Link { writer: WriterId::decode([writer; 16]), seq, prev: None, heads };
        let id = *blake3::hash(format!("{writer}/{seq}").as_bytes()).as_bytes();
        (RecordId::decode(id), LogRecord { v: 1, link, time: seq, what })
    }

    fn pin(on: bool) -> Said {
        Said::Pin { snapshot: SNAPSHOT, on }
    }

    #[test]
    fn who_saw_the_other_wins() {
        let state = fold(&[record(1, 1, &[], pin(true)), record(2, 1, &[(1, 1)], pin(false))]);
        assert!(!state.snapshots[&SNAPSHOT].pinned);
    }

    #[test]
    fn a_pin_and_a_forgetting_that_did_not_see_each_other_keep_the_snapshot() {
        let forgotten = Said::Forgotten { snapshot: SNAPSHOT };
        let state = fold(&[record(1, 1, &[], pin(true)), record(2, 9, &[], forgotten)]);
        assert!(state.snapshots[&SNAPSHOT].pinned && !state.snapshots[&SNAPSHOT].forgotten);
    }

    #[test]
    fn an_unknown_type_is_kept_out_of_the_way() {
        let json = r#"{"v":1,"writer":"01010101010101010101010101010101","seq":1,"time":3,"what":{"type":"replica","x":[1]}}"#;
        let record: LogRecord = serde_json::from_str(json).unwrap();
        assert_eq!(record.what, Said::Unknown);
        assert_eq!(fold(&[(SNAPSHOT, record)]), State::default());
    }

    fn said() -> impl Strategy<Value = Said> {
        prop_oneof![
            any::<bool>().prop_map(pin),
            Just(Said::Forgotten { snapshot: SNAPSHOT }),
            any::<bool>().prop_map(|on| Said::Tag { snapshot: SNAPSHOT, tag: "t".to_owned(), on }),
            "[ab]{0,2}".prop_map(|text| Said::Note { snapshot: SNAPSHOT, text }),
        ]
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            what in proptest::collection::vec((said(), 1u8..4, 0u64..4, 0u64..4), 0..10), order in any::<u64>()
        ) {
            let mut seqs = BTreeMap::new();
            let mut records: Vec<_> = what.into_iter().map(|(said, writer, a, b)| {
                let seq = seqs.entry(writer).and_modify(|s| *s += 1).or_insert(1u64);
                let others = [(writer % 3 + 1, a), ((writer + 1) % 3 + 1, b)];
                record(writer, *seq, &others, said)
            }).collect();
            let folded = fold(&records);
            let len = records.len().max(1);
            records.rotate_left(usize::try_from(order % len as u64).unwrap());
            records.reverse();
            prop_assert_eq!(fold(&records), folded);
        }
    }
}
