//! The way to a phone: the mux daemon, pairing, lockdown, and the services around a backup.
//!
//! Invariant: everything offered here blocks, and for a bounded time: each wait ends after its patience, or soon after the
//! caller's stop. Nothing a daemon or a phone sends is taken on its word: lengths are capped before they are read. The pair
//! record is a key to the phone; it appears in no message and no `Debug`. Sockets are waited for with tokio, and only here;
//! `idevice` makes the keys of a pairing, and sees no socket. Source: docs/scripted-phone.md.

mod address;
mod apps;
mod around;
mod error;
mod info;
mod lockdown;
mod media;
mod message;
mod muxer;
mod notify;
mod pair;
mod phone;
mod phones;
mod product_name;
mod record;
mod stream;
mod tls;
mod values;
mod wire;

#[cfg(test)]
mod tests;

pub use address::{AddressError, MuxerAddress};
pub use apps::{App, Purchase, add_icons, browse, installed_apps};
pub use around::{Heartbeat, SyncGuard};
pub use error::ConnectError;
pub use info::{ITunesFiles, Piece, Pieces, Remark, gather, info_plist};
pub use media::Media;
pub use muxer::Muxer;
pub use notify::Notification;
pub use pair::{PairState, pair};
pub use phone::Phone;
pub use phones::{Attached, Connection, same_udid};
pub use stream::PhoneStream;
pub use values::Values;
pub use wire::{Stop, is_stopped};
