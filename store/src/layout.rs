//! Where each file of a repository lies (docs/format.md §2).
//!
//! Invariant: names are made here and nowhere else, and what a listing shows is sorted into rooms here and nowhere else; names
//! that are not ours are counted, never touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::{Listed, Name};
use crate::header::Kind;
use crate::ids::{DraftId, PackId, RecordId};

/// The three places of a file with copies; the first is the file itself.
pub const COPY_ROOTS: [&str; 3] = ["", "copy1/", "copy2/"];
/// The config's name.
pub const CONFIG: &str = "config";

/// Rooms whose files are named by the BLAKE3 of their bytes and stand in three copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Keyslots and keyrings.
    Keys,
    /// Snapshot records.
    Snapshots,
    /// Log records.
    Log,
    /// What a person had remembered, until it is forgotten.
    Secrets,
}

impl Room {
    /// All rooms.
    pub const ALL: [Self; 4] = [Self::Keys, Self::Snapshots, Self::Log, Self::Secrets];

    /// The folder.
    #[must_use]
    pub fn dir(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Snapshots => "snapshots",
            Self::Log => "log",
            Self::Secrets => "secrets",
        }
    }

    /// The room of a kind of record.
    #[must_use]
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Keyslot | Kind::Keyring => Some(Self::Keys),
            Kind::Snapshot => Some(Self::Snapshots),
            Kind::Log => Some(Self::Log),
            Kind::Secret => Some(Self::Secrets),
            Kind::Config | Kind::Pack | Kind::Segment | Kind::Draft => None,
        }
    }
}

/// Makes a name from text that is one by construction: fixed folders and hex.
fn name(text: &str) -> Name {
    #[expect(clippy::expect_used, reason = "fixed folder names and hex digits only")]
    Name::parse(text).expect("folder names and hex digits make a name")
}

/// A pack's file.
#[must_use]
pub fn pack_name(id: &PackId) -> Name {
    let hex = id.to_string();
    name(&format!("packs/{}/{hex}", hex.get(..2).unwrap_or("00")))
}

/// An index segment's file.
#[must_use]
pub fn segment_name(id: &RecordId) -> Name {
    name(&format!("index/{id}"))
}

/// Folder of drafts.
pub const DRAFTS: &str = "drafts";

/// A checkpoint of a draft.
#[must_use]
pub fn draft_name(id: &DraftId, number: u64) -> Name {
    name(&format!("{DRAFTS}/{id}/{number:016x}"))
}

/// The three names of a file in a room with copies.
#[must_use]
pub fn copy_names(room: Room, id: &RecordId) -> [Name; 3] {
    COPY_ROOTS.map(|root| name(&format!("{root}{}/{id}", room.dir())))
}

/// The three folders of a room with copies.
#[must_use]
pub fn copy_dirs(room: Room) -> [String; 3] {
    COPY_ROOTS.map(|root| format!("{root}{}", room.dir()))
}

/// The three names of the config.
#[must_use]
pub fn config_names() -> [Name; 3] {
    COPY_ROOTS.map(|root| name(&format!("{root}{CONFIG}")))
}

/// A document's name: `RUSSET.txt` or `docs/…`; None if the text is not such a name.
#[must_use]
pub fn document_name(text: &str) -> Option<Name> {
    let ours =
        text == "RUSSET.txt" || text.strip_prefix("docs/").is_some_and(|rest| !rest.contains('/'));
    Name::parse(text).ok().filter(|_| ours)
}

/// A file of a room with copies: which copies there are and how long each is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopiesListed(pub [Option<u64>; 3]);

/// Everything a listing showed, sorted.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Packs and the lengths of their files.
    pub packs: BTreeMap<PackId, u64>,
    /// Index segments and the lengths of their files.
    pub segments: BTreeMap<RecordId, u64>,
    /// Files with copies.
    pub rooms: BTreeMap<(Room, RecordId), CopiesListed>,
    /// Copies of the config.
    pub config: CopiesListed,
    /// Checkpoints of drafts and the lengths of their files.
    pub drafts: BTreeMap<DraftId, BTreeMap<u64, u64>>,
    /// Documents.
    pub documents: BTreeSet<String>,
    /// Names that are not ours.
    pub foreign_count: u64,
}

impl Inventory {
    /// Sorts a listing of the whole repository.
    #[must_use]
    pub fn sort(files: &[Listed]) -> Self {
        let mut inventory = Self::default();
        for file in files {
            if !inventory.take(file) {
                inventory.foreign_count += 1;
            }
        }
        inventory
    }

    fn take(&mut self, file: &Listed) -> bool {
        for (number, root) in COPY_ROOTS.iter().enumerate().rev() {
            let Some(rest) = file.name.strip_prefix(root) else { continue };
            if let Some(slot) = self.slot(rest) {
                if let Some(copy) = slot.0.get_mut(number) {
                    *copy = Some(file.len);
                }
                return true;
            }
        }
        self.take_single(file)
    }

    fn slot(&mut self, rest: &str) -> Option<&mut CopiesListed> {
        if rest == CONFIG {
            return Some(&mut self.config);
        }
        let (dir, id) = rest.split_once('/')?;
        let room = Room::ALL.into_iter().find(|room| room.dir() == dir)?;
        let id = RecordId::parse(id)?;
        Some(self.rooms.entry((room, id)).or_default())
    }

    fn take_single(&mut self, file: &Listed) -> bool {
        if let Some(rest) = file.name.strip_prefix("packs/") {
            let id = rest.split_once('/').and_then(|(shard, id)| {
                PackId::parse(id).filter(|_| id.starts_with(shard) && shard.len() == 2)
            });
            return id.is_some_and(|id| self.packs.insert(id, file.len).is_none());
        }
        if let Some(id) = file.name.strip_prefix("index/").and_then(RecordId::parse) {
            return self.segments.insert(id, file.len).is_none();
        }
        if let Some(rest) = file.name.strip_prefix("drafts/") {
            return self.take_draft(rest, file.len).is_some();
        }
        document_name(&file.name).is_some_and(|_| self.documents.insert(file.name.clone()))
    }

    fn take_draft(&mut self, rest: &str, len: u64) -> Option<()> {
        let (id, number) = rest.split_once('/')?;
        let id = DraftId::parse(id)?;
        let parsed = u64::from_str_radix(number, 16).ok()?;
        // One more than any must be a number as well.
        (format!("{parsed:016x}") == number && parsed < u64::MAX >> 1).then_some(())?;
        self.drafts.entry(id).or_default().insert(parsed, len);
        Some(())
    }

    /// The ids in a room.
    pub fn ids(&self, room: Room) -> impl Iterator<Item = RecordId> + '_ {
        self.rooms.keys().filter(move |(r, _)| *r == room).map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: String, len: u64) -> Listed {
        Listed { name, len }
    }

    #[test]
    fn every_name_is_sorted_back_into_its_room_and_foreign_ones_are_counted() {
        let pack = PackId::decode([0xab; 32]);
        let record = RecordId::decode([0xcd; 32]);
        let draft = DraftId::decode([7; 16]);
        let mut files = vec![
            listed(draft_name(&draft, 10).to_string(), 9),
            listed(format!("drafts/{draft}/+00000000000000b"), 9),
            listed(format!("drafts/{draft}/ffffffffffffffff"), 9),
            listed(pack_name(&pack).to_string(), 1),
            listed(segment_name(&record).to_string(), 2),
            listed("RUSSET.txt".to_owned(), 3),
            listed("docs/format.md".to_owned(), 3),
            listed("packs/cd/".to_owned() + &pack.to_string(), 4),
            listed("._packs".to_owned(), 4),
            listed("copy1/packs/ab/".to_owned() + &pack.to_string(), 4),
        ];
        files.extend(copy_names(Room::Log, &record).map(|n| listed(n.to_string(), 5)));
        files.extend(config_names().map(|n| listed(n.to_string(), 6)));
        let inventory = Inventory::sort(&files);
        assert_eq!(inventory.packs, BTreeMap::from([(pack, 1)]));
        assert_eq!(inventory.segments, BTreeMap::from([(record, 2)]));
        assert_eq!(inventory.rooms[&(Room::Log, record)], CopiesListed([Some(5); 3]));
        assert_eq!(inventory.config, CopiesListed([Some(6); 3]));
        assert_eq!(inventory.documents.len(), 2);
        assert_eq!(inventory.drafts, BTreeMap::from([(draft, BTreeMap::from([(10, 9)]))]));
        assert_eq!(inventory.foreign_count, 5);
    }
}
