//! The way to a phone, walked against the scripted one.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod any_answers;
mod around;
mod hostile;
mod scripted;
mod trust;

use super::*;
