//! What russet does, one file a verb. Tests and `cli` both come in here.
//!
//! Invariant: nothing here prints, prompts or reads the environment; every verb says through its result what was done and
//! through an observer what went wrong on the way.

mod awake;
pub mod backup;
mod beside;
pub mod commit;
pub mod doctor;
pub mod extract;
pub mod forget;
pub mod host;
pub mod import;
pub mod init;
pub mod list;
pub mod mark;
pub mod open;
pub mod phone_keys;
pub mod phone_password;
pub mod phones;
pub mod remembered;
pub mod reopen;
pub mod restore;
pub mod restore_phone;
mod rows;
pub mod verify;
pub mod verify_apple;
