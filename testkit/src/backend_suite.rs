//! What every backend must do, whatever stands behind it.
//!
//! Invariant: nothing here knows which backend it tests. A check that only one kind of backend could pass
//! belongs to that backend's own tests. A failed check panics, naming what was expected.

use russet_store::backend::{Backend, BackendError, Listed, Name};

/// Runs every check, each on a backend of its own that holds nothing.
pub fn backend_suite(make: impl Fn() -> Box<dyn Backend>) {
    for check in [
        whole_files_come_back,
        ranges_come_back_exactly_or_not_at_all,
        missing_files_are_named_as_missing,
        long_files_are_refused_before_they_are_read,
        putting_again_keeps_or_mends,
        lists_are_complete_sorted_and_of_one_folder,
        a_folder_is_not_a_prefix_of_its_neighbour,
        deleting_is_final_and_may_be_repeated,
        a_barrier_changes_nothing_that_is_seen,
        threads_do_not_disturb_each_other,
        the_place_answers_questions_about_itself,
    ] {
        check(&*make());
    }
}

fn name(text: &str) -> Name {
    match Name::parse(text) {
        Ok(name) => name,
        Err(error) => panic!("{text:?}: {error}"),
    }
}

#[track_caller]
fn good<T>(result: Result<T, BackendError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}: {error:?}"),
    }
}

fn names(backend: &dyn Backend, dir: &str) -> Vec<String> {
    good(backend.list(dir)).files.into_iter().map(|file| file.name).collect()
}

fn whole_files_come_back(backend: &dyn Backend) {
    let long: Vec<u8> = (0..1_000_003_u32).map(|n| n.wrapping_mul(0x9e37_79b1) as u8).collect();
    let files = [("config", &b""[..]), ("packs/00/a", b"1"), ("drafts/a/b/2", &long)];
    for (file, bytes) in files {
        good(backend.put_new(&name(file), bytes));
    }
    for (file, bytes) in files {
        assert!(good(backend.get(&name(file), bytes.len() as u64)) == bytes, "{file} differs");
    }
}

fn ranges_come_back_exactly_or_not_at_all(backend: &dyn Backend) {
    let file = name("packs/00/a");
    good(backend.put_new(&file, b"0123456789"));
    for (offset, len) in [(0, 0), (0, 10), (3, 4), (9, 1), (10, 0)] {
        let range = good(backend.get_range(&file, offset, len));
        let start = offset as usize;
        assert_eq!(range, b"0123456789"[start..start + len as usize], "{offset} {len}");
    }
    let past = [(0, 11, 10), (10, 1, 0), (11, 1, 0), (u64::MAX, u32::MAX, 0), (8, u32::MAX, 2)];
    for (offset, len, left_len) in past {
        match backend.get_range(&file, offset, len) {
            Err(BackendError::ShortRead { name, wanted_len, got_len }) => {
                assert_eq!((wanted_len, got_len), (u64::from(len), left_len), "{offset} {len}");
                assert_eq!(name, file.as_str());
            }
            other => panic!("range {offset} {len} of 10 bytes: {other:?}"),
        }
    }
}

fn missing_files_are_named_as_missing(backend: &dyn Backend) {
    good(backend.put_new(&name("packs/00/a"), b"1"));
    for file in ["config", "packs/00/b", "packs/01/a", "keys/a"] {
        let errors = [
            backend.get(&name(file), 1).err(),
            backend.get_range(&name(file), 0, 0).err(),
            backend.get_range(&name(file), 0, 1).err(),
        ];
        for error in errors {
            let Some(BackendError::NotFound { name }) = error else {
                panic!("{file} is missing, but: {error:?}");
            };
            assert_eq!(name, file);
        }
    }
}

fn long_files_are_refused_before_they_are_read(backend: &dyn Backend) {
    let file = name("keys/a");
    good(backend.put_new(&file, b"12345"));
    assert_eq!(good(backend.get(&file, 5)), b"12345");
    match backend.get(&file, 4) {
        Err(BackendError::TooLong { got_len: 5, len_max: 4, .. }) => {}
        other => panic!("5 bytes where 4 are allowed: {other:?}"),
    }
}

fn putting_again_keeps_or_mends(backend: &dyn Backend) {
    let file = name("packs/00/a");
    for bytes in [&b"torn"[..], b"whole bytes", b"whole bytes", b"other bytes", b""] {
        good(backend.put_new(&file, bytes));
        assert_eq!(good(backend.get(&file, 99)), bytes);
        assert_eq!(names(backend, ""), ["packs/00/a"]);
    }
}

fn lists_are_complete_sorted_and_of_one_folder(backend: &dyn Backend) {
    assert_eq!(names(backend, ""), [""; 0]);
    for (file, len) in [("packs/01/a", 1), ("config", 2), ("packs/00/b", 3), ("packs/00/a", 4)] {
        good(backend.put_new(&name(file), &vec![7; len]));
    }
    let listed = |file: &str, len| Listed { name: file.to_owned(), len };
    let packs = [listed("packs/00/a", 4), listed("packs/00/b", 3), listed("packs/01/a", 1)];
    assert_eq!(good(backend.list("packs")).files, packs);
    assert_eq!(good(backend.list("packs/01")).files, packs[2..]);
    assert_eq!(names(backend, ""), ["config", "packs/00/a", "packs/00/b", "packs/01/a"]);
    assert_eq!(names(backend, "snapshots"), [""; 0], "a missing folder is empty");
    let listing = good(backend.list(""));
    assert_eq!((listing.skipped_count, listing.unreadable.len()), (0, 0));
    assert_eq!(good(listing.complete("here")).len(), 4);
}

fn a_folder_is_not_a_prefix_of_its_neighbour(backend: &dyn Backend) {
    for file in ["log/a", "log2/a", "logs"] {
        good(backend.put_new(&name(file), b"1"));
    }
    assert_eq!(names(backend, "log"), ["log/a"]);
}

fn deleting_is_final_and_may_be_repeated(backend: &dyn Backend) {
    good(backend.put_new(&name("packs/00/a"), b"1"));
    good(backend.put_new(&name("packs/00/b"), b"2"));
    for _ in 0..2 {
        good(backend.delete(&name("packs/00/a")));
        assert_eq!(names(backend, ""), ["packs/00/b"]);
    }
    good(backend.delete(&name("never/was")));
    good(backend.put_new(&name("packs/00/a"), b"3"));
    assert_eq!(good(backend.get(&name("packs/00/a"), 1)), b"3");
}

fn a_barrier_changes_nothing_that_is_seen(backend: &dyn Backend) {
    good(backend.barrier());
    good(backend.put_new(&name("packs/00/a"), b"1"));
    good(backend.barrier());
    good(backend.delete(&name("packs/00/a")));
    good(backend.put_new(&name("packs/00/b"), b"1"));
    good(backend.barrier());
    good(backend.barrier());
    assert_eq!(names(backend, ""), ["packs/00/b"]);
}

fn threads_do_not_disturb_each_other(backend: &dyn Backend) {
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || {
                for file in 0..16_u8 {
                    let file = name(&format!("packs/{file:02}/{thread}"));
                    good(backend.put_new(&file, &[thread; 100]));
                    assert_eq!(good(backend.get(&file, 100)), [thread; 100]);
                    // All threads put the same bytes here, as two captures of one phone do.
                    good(backend.put_new(&name("shared"), b"same"));
                }
                good(backend.barrier());
            });
        }
    });
    assert_eq!(names(backend, "packs").len(), 64);
    assert_eq!(good(backend.get(&name("shared"), 4)), b"same");
}

fn the_place_answers_questions_about_itself(backend: &dyn Backend) {
    assert!(!backend.location().is_empty());
    assert!(!good(backend.is_read_only()));
    assert_ne!(good(backend.free_len()), Some(0));
    assert_eq!(good(backend.sweep_temporaries()), 0);
    assert!(backend.lock_exclusive().is_ok());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::faults::{FaultBackend, RecordingBackend};
    use russet_store::backend::{Durability, LocalBackend, MemoryBackend};

    fn local_backends_pass(durability: Durability) {
        let folder = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        backend_suite(|| {
            count.set(count.get() + 1);
            let root = folder.path().join(format!("deep/r{}", count.get()));
            Box::new(LocalBackend::create(&root, durability).unwrap())
        });
    }

    #[test]
    fn a_local_folder_passes() {
        local_backends_pass(Durability { read_back: false });
    }

    #[test]
    fn a_local_folder_that_reads_back_passes() {
        local_backends_pass(Durability { read_back: true });
    }

    #[test]
    fn memory_passes() {
        backend_suite(|| Box::new(MemoryBackend::new()));
    }

    #[test]
    fn the_wrappers_change_nothing_unless_told() {
        backend_suite(|| {
            Box::new(RecordingBackend::new(FaultBackend::new(Box::new(MemoryBackend::new()))))
        });
    }

    #[test]
    #[should_panic(expected = "differs")]
    fn a_backend_that_flips_a_bit_does_not_pass() {
        backend_suite(|| {
            let backend = FaultBackend::new(MemoryBackend::new());
            Box::new(backend.fail_at(1, crate::faults::Fault::FlippedBit))
        });
    }
}
