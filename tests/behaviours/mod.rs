//! The behaviours, one file a theme. A new theme adds its one `mod` line here.

mod clones;
mod crash;
mod damage;
mod drive;
mod histories;
mod support;
