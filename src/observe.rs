//! What long work tells while it runs: progress, and problems that do not stop it.
//!
//! Invariant: an observer cannot change the work, and what it is told is plain data. Rendering is for `cli`.

use std::sync::{Mutex, PoisonError};

/// A part of the work, as a person would call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking at folders and lists.
    Looking,
    /// Reading and storing files.
    Storing,
    /// The phone prepares its backup; it may ask for its passcode.
    Preparing,
    /// The phone sends its files.
    Receiving,
    /// Opening what the phone encrypted.
    Opening,
    /// Writing the listing and the record.
    Committing,
    /// Writing files back.
    Restoring,
    /// Checking packs.
    CheckingPacks,
    /// Checking snapshots.
    CheckingSnapshots,
    /// Moving what is kept out of packs that go.
    Repacking,
}

/// Something that only a person at the phone can do. The work waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Unlock the phone.
    Unlock,
    /// Tap Trust, and enter the passcode.
    Trust,
    /// Enter the passcode, if the phone asks for it.
    Passcode,
}

/// Told by long work.
pub trait Observer: Sync {
    /// A part begins, with what is known of its size.
    fn begin(&self, phase: Phase, total_len: u64, total_count: u64);
    /// So much more was done.
    fn advance(&self, len: u64, count: u64);
    /// Something went wrong with one item; the work goes on.
    fn problem(&self, item: &str, why: &str);
    /// Something a person should know, which costs nothing.
    fn remark(&self, text: &str);
    /// How much of this part is done, 0 to 1, where only somebody else knows how much there is.
    fn share(&self, _done: f64) {}
    /// Somebody has to do something at the phone. Told once each time.
    fn prompt(&self, _prompt: Prompt) {}
}

/// Keeps what it is told; for tests and for callers that look afterwards.
#[derive(Debug, Default)]
pub struct Collecting {
    told: Mutex<Told>,
}

/// What a [`Collecting`] was told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    /// Item and reason.
    pub problems: Vec<(String, String)>,
    /// Remarks.
    pub remarks: Vec<String>,
    /// What a person was asked to do.
    pub prompts: Vec<Prompt>,
    /// Bytes done.
    pub len: u64,
    /// Items done.
    pub count: u64,
}

impl Collecting {
    /// What it was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Observer for Collecting {
    fn begin(&self, _: Phase, _: u64, _: u64) {}

    fn advance(&self, len: u64, count: u64) {
        self.with(|told| {
            told.len += len;
            told.count += count;
        });
    }

    fn problem(&self, item: &str, why: &str) {
        self.with(|told| told.problems.push((item.to_owned(), why.to_owned())));
    }

    fn remark(&self, text: &str) {
        self.with(|told| told.remarks.push(text.to_owned()));
    }

    fn prompt(&self, prompt: Prompt) {
        self.with(|told| told.prompts.push(prompt));
    }
}
