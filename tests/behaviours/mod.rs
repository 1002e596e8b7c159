//! The behaviours, one file a theme. A new theme adds its one `mod` line here.

mod support;
