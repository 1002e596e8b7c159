//! What russet does, one file a verb. Tests and `cli` both come in here.
//!
//! Invariant: nothing here prints, prompts or reads the environment; every verb says through its result what was done and
//! through an observer what went wrong on the way.
