//! What happens on a phone between two backups.
//!
//! Invariant: what changes gets a new version, an mtime in that week, and is first stored in that week's backup; all
//! else is left alone. The shares are assumptions: no measurement of real phones is public.

use super::population::paragraph;
use super::{Phone, PhoneFile, Role, Spread, WEEK_SECS};
use crate::content::{Content, Fill};
use crate::random::Random;
use crate::write_error::WriteError;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Phone {
    /// One ordinary week: photos come and go, databases are edited, some files change, move, appear or vanish.
    pub fn advance_week(&mut self) -> Result<(), WriteError> {
        self.week += 1;
        self.live_databases()?;
        self.live_media();
        self.live_small_files();
        if self.week.is_multiple_of(2) {
            self.add_app(self.options.app_count + u64::from(self.week));
        }
        Ok(())
    }

    /// A week in which nothing happens.
    pub fn rest_a_week(&mut self) {
        self.week += 1;
    }

    /// A week in which nothing happens but that `share` (0 to 1) of the small files are rewritten. Returns their number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rough share"
    )]
    pub fn touch_share(&mut self, share: f64, spread: Spread) -> usize {
        self.week += 1;
        let mut small: Vec<usize> =
            self.indexes(|file| matches!(file.role, Role::Small | Role::PropertyList));
        let count = ((small.len() as f64) * share.clamp(0.0, 1.0)).round() as usize;
        match spread {
            Spread::Random => self.random.shuffle(&mut small),
            Spread::FewApps => {
                let mut domains: Vec<Arc<str>> = self.directories.keys().cloned().collect();
                self.random.shuffle(&mut domains);
                // Apps first: other domains are too small to make a share of few.
                domains.sort_by_key(|domain| !domain.starts_with("AppDomain-"));
                let ranks: std::collections::BTreeMap<_, _> =
                    domains.into_iter().zip(0_usize..).collect();
                small.sort_by_key(|&index| {
                    self.files.get(index).and_then(|file| ranks.get(&file.domain))
                });
            }
        }
        small.truncate(count);
        for index in small {
            self.rewrite(index);
        }
        count
    }

    fn live_databases(&mut self) -> Result<(), WriteError> {
        let now = self.now() - 300;
        for position in 0..self.databases.len() {
            // Most are in daily use; an app that nobody opened leaves its own alone.
            if position >= 6 && self.random.chance(0.3) {
                continue;
            }
            let mut random = Random::of_parts(&[self.random.next_u64()]);
            let Some(database) = self.databases.get_mut(position) else {
                continue;
            };
            database.live_a_week(now, &mut random)?;
            let path = database.path.clone();
            for index in
                self.indexes(|file| matches!(&file.content, Content::Database(own) if *own == path))
            {
                self.change(index, |_, _| ());
            }
        }
        Ok(())
    }

    fn live_media(&mut self) {
        let growth = self.options.media_len / 70;
        let mut added = 0;
        while added < growth {
            let time = self.time_this_week();
            added += self.add_media(time);
        }
        let media = self.indexes(|file| file.role == Role::Media);
        let gone = self.some_of(&media, 300);
        for &index in self.some_of(&media, 400).difference(&gone) {
            // An edited photo has nothing in common with the old one.
            self.change(index, |file, random| {
                let len = file.content.len().unwrap_or(0);
                file.content = Content::generated(
                    Fill::Noise,
                    random.next_u64(),
                    len + random.below(1 + len / 10),
                );
            });
        }
        for &index in self.some_of(&media, 400).difference(&gone) {
            self.move_file(index);
        }
        self.remove(&gone);
    }

    fn live_small_files(&mut self) {
        let texts = self.indexes(|file| file.role == Role::Small);
        for &index in &self.some_of(&texts, 40) {
            self.change(index, |file, random| {
                let len = file.content.len().unwrap_or(0);
                let offset = if random.chance(0.5) { len } else { random.below(len + 1) };
                let new_len = 1 + random.below(1 + len / 8);
                file.content.insert(offset, paragraph(random, new_len));
            });
        }
        for &index in &self.some_of(&texts, 100) {
            // Only the mtime moves: the phone sends such a file again, under a new key.
            self.change(index, |_, _| ());
        }
        for index in self.some_of(&self.indexes(|file| file.role == Role::PropertyList), 10) {
            self.rewrite(index);
        }
        for index in self.some_of(&texts, 200) {
            self.move_file(index);
        }
        let gone = self.some_of(&texts, 150);
        self.remove(&gone);
        let mean = self.options.small_len / self.options.small_file_count.max(1);
        for _ in 0..self.options.small_file_count / 100 {
            let time = self.time_this_week();
            self.add_small(mean, time);
        }
    }

    fn rewrite(&mut self, index: usize) {
        self.change(index, |file, random| {
            let len = file.content.len().unwrap_or(0).max(24);
            file.content = match (file.role, &file.content) {
                (Role::PropertyList, _) => Content::settings(random.next_u64(), len),
                (_, Content::Pieces(pieces)) => {
                    let fill = pieces.first().map_or(Fill::Text, |piece| piece.fill);
                    let fill = if fill == Fill::Zero { Fill::Text } else { fill };
                    Content::generated(fill, random.next_u64(), len)
                }
                (_, other) => other.clone(),
            };
        });
    }

    fn move_file(&mut self, index: usize) {
        let Some(file) = self.files.get_mut(index) else {
            return;
        };
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let name = format!("{folder}/moved/{}-{name}", self.week);
        let name = name.trim_start_matches('/').to_owned();
        file.path.clone_from(&name);
        // The phone sees a path it never sent: a new upload of old bytes with their old mtime.
        file.version += 1;
        file.stored_week = self.week;
        let domain = Arc::clone(&file.domain);
        let time = self.time_this_week();
        self.add_parents(&domain, &name, time);
    }

    fn change(&mut self, index: usize, how: impl FnOnce(&mut PhoneFile, &mut Random)) {
        let time = self.time_this_week();
        let mut random = Random::of_parts(&[self.random.next_u64()]);
        let Some(file) = self.files.get_mut(index) else {
            return;
        };
        how(file, &mut random);
        file.version += 1;
        file.modified = time;
        file.stored_week = self.week;
    }

    fn remove(&mut self, gone: &BTreeSet<usize>) {
        for &index in gone.iter().rev() {
            self.files.swap_remove(index);
        }
    }

    fn indexes(&self, wanted: impl Fn(&PhoneFile) -> bool) -> Vec<usize> {
        self.files
            .iter()
            .enumerate()
            .filter(|(_, file)| wanted(file))
            .map(|(index, _)| index)
            .collect()
    }

    /// About one in `every` of the files, at least one if there are any.
    fn some_of(&mut self, indexes: &[usize], every: usize) -> BTreeSet<usize> {
        let count = indexes.len().div_ceil(every);
        (0..count).filter_map(|_| indexes.get(self.random.index(indexes.len())).copied()).collect()
    }

    fn time_this_week(&mut self) -> u64 {
        self.now() - 60 - self.random.below(WEEK_SECS - 60)
    }
}
