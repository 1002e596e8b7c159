//! The rule itself: bounds, determinism, edits, dull data, and that fast equals naive.

use std::collections::HashSet;

use proptest::prelude::*;
use russet_chunker::Cutter;

use crate::naive::Naive;
use crate::{cutter, lens, noise, sizes, text};

/// Stretches of noise, of one byte, and of short cycles, in turn.
fn mixed() -> impl Strategy<Value = Vec<u8>> {
    let stretch = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..3000),
        (any::<u8>(), 0..3000usize).prop_map(|(byte, len)| vec![byte; len]),
        (proptest::collection::vec(any::<u8>(), 1..40), 0..80usize)
            .prop_map(|(cycle, count)| cycle.repeat(count)),
        proptest::collection::vec(0..4u8, 0..3000),
    ];
    proptest::collection::vec(stretch, 0..6).prop_map(|stretches| stretches.concat())
}

fn any_sizes() -> impl Strategy<Value = russet_chunker::Sizes> {
    (7..13u32, 64..4000u32, 1..20_000u32).prop_map(|(bits, min, more)| {
        let avg = 1 << bits;
        sizes(min.min(avg - 1), avg, avg + more)
    })
}

proptest! {
    #[test]
    fn the_fast_cut_equals_the_naive_one(seed: [u8; 32], sizes in any_sizes(), data in mixed()) {
        prop_assert_eq!(lens(&Cutter::new(&seed, sizes), &data), Naive::new(&seed, sizes).lens(&data));
    }

    #[test]
    fn pieces_concatenate_to_the_input(seed: [u8; 32], sizes in any_sizes(), data in mixed()) {
        let pieces: Vec<&[u8]> = Cutter::new(&seed, sizes).cuts(&data).collect();
        prop_assert_eq!(pieces.concat(), data);
    }

    #[test]
    fn every_length_but_the_last_lies_between_min_and_max(seed: [u8; 32], sizes in any_sizes(), data in mixed()) {
        let lens = lens(&Cutter::new(&seed, sizes), &data);
        let (last, others) = lens.split_last().unwrap_or((&1, &[]));
        prop_assert!(*last >= 1 && *last <= sizes.max() as usize);
        for len in others {
            prop_assert!((sizes.min() as usize..=sizes.max() as usize).contains(len), "{}", len);
        }
    }

    #[test]
    fn a_cut_found_before_the_end_is_the_cut_of_the_whole(data in mixed(), seen in 0..20_000usize) {
        let cutter = cutter();
        let seen = &data[..seen.min(data.len())];
        match cutter.first_cut(seen, false) {
            Some(cut) => prop_assert_eq!(Some(cut), cutter.first_cut(&data, true)),
            None => prop_assert!(seen.len() < 16384),
        }
    }
}

#[test]
fn the_fast_cut_equals_the_naive_one_on_long_data() {
    for (name, data) in [("noise", noise("long", 3 << 20)), ("text", text(3 << 20))] {
        for sizes in
            [sizes(64, 128, 4096), sizes(16384, 65536, 262_144), sizes(1000, 1 << 20, 1 << 22)]
        {
            let fast = lens(&Cutter::new(&[9; 32], sizes), &data);
            assert_eq!(fast, Naive::new(&[9; 32], sizes).lens(&data), "{name} {sizes:?}");
        }
    }
}

#[test]
fn no_bytes_have_no_chunk() {
    assert_eq!(cutter().first_cut(&[], true), None);
    assert_eq!(cutter().first_cut(&[], false), None);
    assert_eq!(cutter().cuts(&[]).count(), 0);
}

#[test]
fn other_seeds_cut_elsewhere() {
    let data = noise("seeds", 1 << 20);
    let ends = |seed: u8| -> HashSet<usize> {
        let cutter = Cutter::new(&[seed; 32], sizes(1024, 4096, 16384));
        let mut end = 0;
        lens(&cutter, &data)
            .into_iter()
            .map(|len| {
                end += len;
                end
            })
            .filter(|end| *end < data.len())
            .collect()
    };
    let shared = ends(1).intersection(&ends(2)).count();
    assert!(ends(1).len() > 200 && shared <= 5, "{shared} of {} cuts are shared", ends(1).len());
}

#[test]
fn an_edit_changes_few_chunks() {
    let cutter = cutter();
    for (name, data) in [("noise", noise("edit", 1 << 20)), ("text", text(1 << 20))] {
        let old: HashSet<&[u8]> = cutter.cuts(&data).collect();
        let mut changed = 0;
        for edit in 0..100 {
            let at = 5000 + edit * 10_000;
            let mut edited = data.clone();
            match edit % 3 {
                0 => drop(edited.splice(at..at, *b"inserted")),
                1 => drop(edited.drain(at..at + 5)),
                _ => edited[at] ^= 1,
            }
            changed += cutter.cuts(&edited).filter(|chunk| !old.contains(chunk)).count();
        }
        assert!((100..400).contains(&changed), "{name}: 100 edits made {changed} new chunks");
    }
}

#[test]
fn random_data_comes_out_near_the_average() {
    let data = noise("mean", 16 << 20);
    for seed in 0..4 {
        let count = Cutter::new(&[seed; 32], sizes(1024, 4096, 16384)).cuts(&data).count();
        let mean = data.len() / count;
        assert!((3700..4500).contains(&mean), "{mean}");
    }
}

#[test]
fn a_run_of_any_one_byte_is_cut_at_max_only() {
    for seed in 0..8 {
        // Sizes so small that every candidate is chosen: only the absence of candidates keeps such a run whole.
        let cutter = Cutter::new(&[seed; 32], sizes(64, 128, 1000));
        for byte in 0..=255 {
            assert_eq!(lens(&cutter, &[byte; 2500]), [1000, 1000, 500], "seed {seed}, byte {byte}");
        }
    }
}

#[test]
fn more_bytes_are_asked_for_only_below_max() {
    let run = [0; 16384];
    assert_eq!(cutter().first_cut(&run, false), Some(16384));
    assert_eq!(cutter().first_cut(&run[1..], false), None);
    assert_eq!(cutter().first_cut(&run[1..], true), Some(16383));
}

#[test]
fn a_short_cycle_is_cut_into_equal_lengths() {
    for period in 2..32usize {
        let cycle = noise(&format!("cycle {period}"), period);
        let lens = lens(&cutter(), &cycle.repeat(200_000 / period));
        let distinct: HashSet<&usize> = lens[..lens.len() - 1].iter().collect();
        assert!(distinct.len() <= period, "period {period}: {distinct:?}");
    }
}
