//! Lengths that never change: docs/format-cut.md §8.
