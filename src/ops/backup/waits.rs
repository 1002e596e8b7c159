//! Before an encrypted phone begins: whether what it sends is to be opened, and where it waits for its keys.
//!
//! Invariant: nothing is asked of a phone whose backup nobody could open or keep: no password and nobody's word that it may stay
//! encrypted, or a drive that is plainly too small.

use std::sync::Arc;

use russet_store::backend::beside;

use super::{BackupError, Run, shown_free};
use crate::capture::device::begin::Begun;
use crate::capture::device::connect::{Values, same_udid};
use crate::capture::device::space::room_of;
use crate::capture::device::spool::{Spool, SpoolError, SpoolRecord};
use crate::observe::{Observer, size};
use crate::ops::phone_keys::Unopened;
use crate::ops::rows::draft_manifest;
use crate::snapshot::Snapshot;

impl Run<'_> {
    /// What an encrypted phone sends waits for its keys, if something may open it.
    pub(super) fn with_spool(
        &self,
        mut begun: Begun,
        values: &Values,
        called: &str,
        observer: &dyn Observer,
    ) -> Result<Begun, BackupError> {
        let is_on = values.will_encrypt == Some(true);
        if is_on {
            self.keys.add_remembered(self.repository, &begun.record.udid, None);
        }
        let goes_on = begun.record.spool.is_some() || self.was_stored(&begun.record.udid);
        let unopened = match is_on && !self.keys.is_given() {
            true if goes_on => Some(Unopened::Store),
            true => self.keys.ask_first(called),
            false => None,
        };
        let is_opened = is_on && unopened.is_none();
        if unopened == Some(Unopened::Refuse) {
            return Err(BackupError::NoPassword);
        }
        if unopened.is_some() && begun.record.spool.is_none() {
            observer.remark(
                "without the iPhone backup password everything is stored as the phone encrypted it: a file that changes is new as a whole, and after a full backup all of them. It stays so for this iPhone until the password is given once (`--phone-password-file FILE`)",
            );
        }
        if is_opened {
            self.warn(&begun, observer);
        }
        let ambient = Arc::clone(self.repository.ambient());
        let known = begun.record.spool.take();
        let is_spooled = is_opened || known.is_some();
        begun.spool = match known.and_then(|record| self.stays(record, observer)) {
            Some(record) => {
                let is_empty = record.end == 0;
                let resumed = Spool::resume(record, &self.keys.spool, ambient);
                let (spool, cut_len) = resumed.map_err(|error| match is_empty {
                    true => BackupError::NoSpool(error),
                    false => BackupError::Spool(error),
                })?;
                if cut_len > 0 {
                    observer.remark(&format!(
                        "{} that were not yet safe when the last backup was interrupted are asked for again",
                        size(cut_len)
                    ));
                }
                Some(spool)
            }
            None if is_spooled => {
                self.has_room(&begun, values, observer)?;
                let made = Spool::create(&self.keys.spool, self.repository.id(), ambient);
                Some(made.map_err(BackupError::NoSpool)?)
            }
            None => None,
        };
        // Until it is gone the draft says where it is.
        begun.record.spool = begun.spool.as_ref().map(|spool| spool.record().clone());
        Ok(begun)
    }

    /// The spool of an interrupted backup. None: nothing waits in it, and a new one would be put elsewhere.
    fn stays(&self, spool: SpoolRecord, observer: &dyn Observer) -> Option<SpoolRecord> {
        let place = &self.keys.spool;
        if spool.end == 0 {
            // Another copy's stays as it is. One that cannot be removed is found, empty, by a later run.
            let own = spool.located(place)?;
            if place.is_elsewhere(&own) {
                let _left = own.remove();
                return None;
            }
        }
        self.tell_where(&spool, observer);
        Some(spool)
    }

    /// Says that what waits stays where it is, if another folder was named.
    pub(super) fn tell_where(&self, spool: &SpoolRecord, observer: &dyn Observer) {
        if self.keys.spool.is_elsewhere(spool) {
            observer.remark(&format!(
                "what came before waits in {} and stays there; the folder that was named is for backups that begin anew",
                spool.folder.display()
            ));
        }
    }

    /// Whether the phone's last encrypted backup was stored as it was.
    fn was_stored(&self, udid: &str) -> bool {
        let of_phone = |s: &&Snapshot| same_udid(&s.record.udid, udid);
        let encrypted =
            |s: &&Snapshot| s.record.encrypted == Some(true) && s.record.kind != "folder";
        let mut encrypted = self.snapshots.iter().filter(of_phone).filter(encrypted);
        encrypted.next_back().is_some_and(|s| s.record.counts.opened == 0)
    }

    /// The keys come last: that no password opens the last backup may mean that it was changed since.
    fn warn(&self, begun: &Begun, observer: &dyn Observer) {
        let udid = &begun.record.udid;
        let Some(bytes) = draft_manifest(self.repository, &begun.draft) else { return };
        if self.keys.opens(&bytes) {
            return;
        }
        let base = begun.record.base.as_ref();
        let base = base.and_then(|base| self.snapshots.iter().find(|s| s.id == base.snapshot));
        let of_day = base.map_or(String::new(), |base| {
            format!(", of {}", self.keys.moment(base.record.backup_time))
        });
        observer.remark(&format!(
            "{} not open this iPhone's last backup{of_day}. If its password was changed since, all is well; if not, what it sends is kept all the same, and `russet reopen --phone-password-file FILE` with the right one makes the snapshot, without the iPhone",
            self.keys.named(self.repository, udid),
        ));
    }

    /// Whether the spool can hold what a whole backup brings, as far as the phone tells.
    fn has_room(
        &self,
        begun: &Begun,
        values: &Values,
        observer: &dyn Observer,
    ) -> Result<(), BackupError> {
        let dir = self.keys.spool.dir.clone();
        let free_len = match beside::free_len(&dir) {
            Ok(free_len) => free_len,
            Err(source) => return Err(BackupError::NoSpool(SpoolError::Io { path: dir, source })),
        };
        let room_len = room_of(free_len);
        let free_len = free_len.unwrap_or(room_len);
        let base = begun.record.base.as_ref().filter(|_| !self.options.full);
        let base = base.and_then(|base| self.snapshots.iter().find(|s| s.id == base.snapshot));
        let is_whole = base.is_none_or(|base| base.record.encrypted != Some(true));
        let (Some(total_len), Some(unused_len)) = (values.total_data_len, values.free_data_len)
        else {
            return Ok(());
        };
        let need_len = total_len.saturating_sub(unused_len);
        if !is_whole || need_len <= room_len {
            return Ok(());
        }
        // Apps and what lies in iCloud are counted, and not sent: less than half of it is plainly too small.
        if need_len / 2 > room_len {
            return Err(BackupError::SpoolTooSmall { need_len, free_len, dir });
        }
        observer.remark(&format!(
            "the iPhone holds about {}, and {} has {}: what it sends may not fit",
            size(need_len),
            dir.display(),
            shown_free(free_len),
        ));
        Ok(())
    }
}
