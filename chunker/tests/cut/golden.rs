//! Lengths that never change: docs/format-cut.md §8. They were computed by a reimplementation from that page alone, in
//! another language; when this fails, repositories in the field would store everything anew.

use russet_chunker::Cutter;

use crate::{lens, sizes};

const LEN: usize = 300_000;

fn noise() -> Vec<u8> {
    let mut x = 0u64;
    let step = |_| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 56) as u8
    };
    (0..LEN).map(step).collect()
}

fn lines() -> Vec<u8> {
    (0..40_000).flat_map(|item| format!("item {item}\n").into_bytes()).take(LEN).collect()
}

fn cut(data: &[u8], min: u32, avg: u32, max: u32) -> Vec<usize> {
    let seed = std::array::from_fn(|i| i as u8);
    lens(&Cutter::new(&seed, sizes(min, avg, max)), data)
}

#[test]
fn noise_at_16_kib_is_cut_as_written() {
    let lens = [
        16420, 16481, 10005, 12590, 19235, 10792, 14624, 19038, 25114, 32502, 20541, 13323, 13777,
        15712, 9605, 12647, 13651, 23943,
    ];
    assert_eq!(cut(&noise(), 4096, 16384, 65536), lens);
}

#[test]
fn noise_at_64_kib_is_cut_as_written() {
    let lens = [72579, 75816, 53043, 38716, 59846];
    assert_eq!(cut(&noise(), 16384, 65536, 262144), lens);
}

#[test]
fn lines_at_16_kib_are_cut_as_written() {
    let lens = [
        14467, 14691, 10708, 7043, 15823, 7825, 7197, 10228, 9119, 6935, 14023, 9921, 6592, 18327,
        9097, 14767, 13419, 10952, 13066, 14322, 16242, 7950, 12721, 26269, 8289, 7,
    ];
    assert_eq!(cut(&lines(), 4096, 16384, 65536), lens);
}

#[test]
fn lines_at_64_kib_are_cut_as_written() {
    let lens = [39866, 28317, 35853, 36232, 57759, 46737, 55132, 104];
    assert_eq!(cut(&lines(), 16384, 65536, 262144), lens);
}

#[test]
fn the_smallest_class_is_cut_as_written() {
    let lens = [258, 1000, 219, 153, 390, 170, 149, 96, 355, 154, 56];
    assert_eq!(cut(&noise()[..3000], 64, 256, 1000), lens);
}
