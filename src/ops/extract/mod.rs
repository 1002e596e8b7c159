//! Writing files of a snapshot out under their real names and dates, as a person wants them and no phone does.
//!
//! Invariant: nothing is written outside the target, whatever a phone calls its files and whatever links lie in the target; nothing
//! that exists is changed; a file stands under its name only after all of it was checked. What could not be written is named
//! and costs itself only.

mod names;
mod wanted;
mod write;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use russet_store::repository::Repository;

use self::names::Places;
pub use self::wanted::Wanted;
use self::write::{Job, Writing};
use super::restore::RestoreError;
use super::rows::for_each_row;
use crate::apple::{FileId, MbFile, Row, RowFileId};
use crate::observe::{Observer, Phase};
use crate::snapshot::{Entry, Snapshot, TreeWalk, What};

/// How files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As on the phone: a folder for each domain, and its paths below.
    Domain,
    /// By year and month, without the phone's folders.
    Date,
}

/// How files are written out.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// The folder that gets them.
    pub target: PathBuf,
    /// Which.
    pub wanted: Wanted,
    /// Where they go in it.
    pub layout: Layout,
    /// Zone of the dates in the layout.
    pub zone: TimeZone,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files written and checked.
    pub file_count: u64,
    /// Their bytes.
    pub len: u64,
    /// Files that stood there already, with the same length and time.
    pub there_count: u64,
    /// Files that could not be written, or that something else stood in the way of.
    pub lost_count: u64,
    /// Files that are kept as the phone encrypted them.
    pub encrypted_count: u64,
    /// Files whose name is not quite the phone's.
    pub changed_count: u64,
    /// Links of the phone, which are left out.
    pub link_count: u64,
    /// Parts of the listing that could not be read.
    pub listing_lost_count: u64,
}

impl Extracted {
    /// Whether all that was meant is in the target.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lost_count == 0 && self.encrypted_count == 0 && self.listing_lost_count == 0
    }

    /// Whether nothing was meant.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.file_count == 0 && self.there_count == 0 && self.is_whole()
    }
}

/// The folder of files that the phone's list has in no domain. No phone calls one so; were it, they would share it.
const NO_DOMAIN: &[u8] = b"_without domain";

/// Files that are sorted by pack and written together.
const BATCH_COUNT: usize = 4096;

/// Writes files out.
///
/// # Errors
/// The target cannot be used or written, its drive is full, or `stop` said so; damage is no error but counted. What was written until
/// then is whole, and the next run goes on behind it.
pub fn extract(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &ExtractOptions,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Extracted, RestoreError> {
    observer.begin(Phase::Looking, 0, 0);
    let mut done = Extracted::default();
    let dates = Dates::of(repository, snapshot, options, observer, &mut done);
    let writing = Writing::new(repository, &options.target, observer, stop)?;
    let mut places = Places::default();
    let mut batch = Vec::new();
    observer.begin(Phase::Restoring, 0, 0);
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                done.listing_lost_count += 1;
                observer.problem("listing", &error.to_string());
                continue;
            }
        };
        let What::File(content) = &entry.what else { continue };
        // Without a row it is no file of the phone: its lists, and what others left in the folder.
        if entry.row.is_none() || !options.wanted.wants(&entry.domain, &entry.relative_path) {
            continue;
        }
        // A row names it, so its key was looked for: what is not opened is what Apple encrypted.
        if snapshot.record.encrypted == Some(true) && content.opened.is_none() {
            done.encrypted_count += 1;
            writing.tell(&entry, "it is kept as the phone encrypted it");
            continue;
        }
        let (modified, made) = dates.of_entry(&entry);
        let Some(place) = place(&mut places, &entry, made.unwrap_or(modified), options) else {
            writing.lose(&entry, "its path has too many folders");
            continue;
        };
        let content = content.clone();
        batch.push(Job { entry, content, place, modified });
        if batch.len() >= BATCH_COUNT {
            writing.write(std::mem::take(&mut batch))?;
        }
    }
    writing.write(batch)?;
    writing.finish(&mut done);
    done.changed_count = places.changed_count;
    Ok(done)
}

fn place(
    places: &mut Places,
    entry: &Entry,
    date: i64,
    options: &ExtractOptions,
) -> Option<PathBuf> {
    let mut names: Vec<&[u8]> = entry.relative_path.split(|byte| *byte == b'/').collect();
    let name = names.pop().unwrap_or_default();
    match options.layout {
        Layout::Domain => {
            names.insert(0, if entry.domain.is_empty() { NO_DOMAIN } else { &entry.domain });
            places.give(&names, name)
        }
        Layout::Date => {
            let date = jiff::Timestamp::from_second(date).ok().filter(|_| date > 0);
            let Some(date) = date.map(|date| date.to_zoned(options.zone.clone())) else {
                return places.give(&[b"without date"], name);
            };
            let (year, month) =
                (date.strftime("%Y").to_string(), date.strftime("%Y-%m").to_string());
            places.give(&[year.as_bytes(), month.as_bytes()], name)
        }
    }
}

/// When files were changed and made, as their rows have it: the files of a backup have the times of the backup.
struct Dates(HashMap<[u8; 20], (Option<i64>, Option<i64>)>);

impl Dates {
    fn of(
        repository: &Repository,
        snapshot: &Snapshot,
        options: &ExtractOptions,
        observer: &dyn Observer,
        done: &mut Extracted,
    ) -> Self {
        let mut dates = HashMap::new();
        let mut visit = |row: Row| {
            if !options.wanted.wants(&row.domain, &row.relative_path) {
                return ControlFlow::Continue(());
            }
            done.link_count += u64::from(row.flags == 4);
            let file = MbFile::parse(&row.file).ok();
            if let (1, RowFileId::Id(id), Some(file)) = (row.flags, &row.file_id, file) {
                dates.insert(*id.as_bytes(), (file.mtime, file.birth));
            }
            ControlFlow::Continue(())
        };
        if let Err(error) = for_each_row(repository, snapshot, &mut visit) {
            observer.remark(&format!(
                "the phone's list of files cannot be read ({error}): files get the dates of the backup"
            ));
        }
        Self(dates)
    }

    /// When a file was changed, and when it was made if its row says it.
    fn of_entry(&self, entry: &Entry) -> (i64, Option<i64>) {
        let id = entry.stored_path.get(3..).and_then(FileId::parse);
        let known = id.and_then(|id| self.0.get(id.as_bytes()).copied());
        let (modified, made) = known.unwrap_or_default();
        let is_real = |secs: &i64| *secs > 0;
        let made = made.filter(is_real);
        (modified.filter(is_real).or(made).unwrap_or(entry.mtime_secs), made)
    }
}
