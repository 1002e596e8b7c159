//! Speed, spread and resynchronisation of the cut and of the rules it was weighed against.
//!
//! `cargo bench -p russet-chunker -- [FOLDER]`: the folder's files are measured beside the generated kinds. Times are
//! those of this thread alone (Linux), because machines are shared.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod data;
mod rivals;

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use russet_chunker::{Chunks, Cut, Cutter, Sizes, SizesError};

use crate::rivals::{EveryPosition, Gear};

const LEN: usize = 32 << 20;
const ENOUGH_SECS: f64 = 0.5;
const EDITS_COUNT: usize = 200;

/// Length of the first chunk of what is left of a stream.
type FirstLen = Box<dyn Fn(&[u8]) -> usize>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut kinds = vec![
        ("media", vec![data::media(LEN)]),
        ("sqlite", vec![data::sqlite(LEN)]),
        ("plist", vec![data::plist(LEN)]),
        ("zeros", vec![vec![0; LEN]]),
    ];
    if let Some(folder) = env::args().skip(1).find(|arg| !arg.starts_with("--")) {
        let mut files = Vec::new();
        data::files(Path::new(&folder), &mut files)?;
        kinds.push(("folder", files));
    }
    for avg in [16 << 10, 64 << 10, 1 << 20] {
        let sizes = Sizes::new(avg / 4, avg, avg * 4)?;
        println!(
            "avg {} KiB: rule, data, MB/s, mean/avg, sd/mean, share at max, new chunks per edit",
            avg >> 10
        );
        for (rule, first_len) in rules(sizes) {
            for (kind, streams) in &kinds {
                let (speed, lens) = timed(&first_len, streams);
                let spread = spread(&lens, sizes);
                let edits = if *kind == "zeros" {
                    "-".into()
                } else {
                    format!("{:.2}", resync(&first_len, streams))
                };
                println!("{rule:9} {kind:7} {speed:6.0} {spread} {edits:>5}");
            }
        }
    }
    seeds(&kinds)?;
    stream(&kinds[0].1[0])?;
    Ok(())
}

fn rules(sizes: Sizes) -> Vec<(&'static str, FirstLen)> {
    let seed = [7; 32];
    let (cutter, gear, lanes, every) = (
        Cutter::new(&seed, sizes),
        Gear::new(&seed, sizes),
        Gear::new(&seed, sizes),
        EveryPosition::new(&seed, sizes),
    );
    vec![
        ("two-level", Box::new(move |data| cutter.first_cut(data, true).unwrap_or(0))),
        ("gear", Box::new(move |data| gear.first_len(data))),
        ("gear x4", Box::new(move |data| lanes.first_len_in_lanes(data))),
        ("every", Box::new(move |data| every.first_len(data))),
    ]
}

fn lens(first_len: &FirstLen, mut data: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while !data.is_empty() {
        let len = first_len(data);
        lens.push(len);
        data = &data[len..];
    }
    lens
}

/// MB/s, and the lengths of all chunks but the last of each stream.
fn timed(first_len: &FirstLen, streams: &[Vec<u8>]) -> (f64, Vec<usize>) {
    let total: usize = streams.iter().map(Vec::len).sum();
    let mut all = Vec::new();
    let secs = secs_a_round(|| {
        all.clear();
        for stream in streams {
            let lens = lens(first_len, stream);
            all.extend(&lens[..lens.len().saturating_sub(1)]);
        }
    });
    (total as f64 / secs / 1e6, all)
}

/// Seconds of one round, over as many as take long enough: the thread's clock moves in steps of 4 ms.
fn secs_a_round(mut round: impl FnMut()) -> f64 {
    let clock = Clock::start();
    let mut rounds_count = 0;
    while clock.secs() < ENOUGH_SECS {
        round();
        rounds_count += 1;
    }
    clock.secs() / f64::from(rounds_count)
}

fn spread(lens: &[usize], sizes: Sizes) -> String {
    let count = lens.len().max(1) as f64;
    let mean = lens.iter().sum::<usize>() as f64 / count;
    let variance = lens.iter().map(|len| (*len as f64 - mean).powi(2)).sum::<f64>() / count;
    let at_max = lens.iter().filter(|len| **len == sizes.max() as usize).count() as f64 / count;
    format!(
        "{:5.2} {:5.2} {:5.1}%",
        mean / f64::from(sizes.avg()),
        variance.sqrt() / mean,
        at_max * 100.0
    )
}

/// How many chunks are new after an insertion of seven bytes, on average over places in the longest stream.
fn resync(first_len: &FirstLen, streams: &[Vec<u8>]) -> f64 {
    let longest = streams.iter().max_by_key(|stream| stream.len()).map_or(&[][..], |stream| stream);
    let data = &longest[..longest.len().min(LEN / 4)];
    let lens_before = lens(first_len, data);
    let starts: Vec<usize> =
        lens_before.iter().scan(0, |at, len| Some(std::mem::replace(at, *at + len))).collect();
    let before: HashSet<usize> = starts.iter().copied().collect();
    let mut new_count = 0;
    for edit in 0..EDITS_COUNT {
        let at = data.len() / EDITS_COUNT * edit + edit * 37 % 1000;
        let from = starts[starts.partition_point(|start| *start <= at).saturating_sub(1)];
        let edited = [&data[from..at.max(from)], b"seven!!", &data[at.max(from)..]].concat();
        let mut end = 0;
        while end < edited.len() {
            end += first_len(&edited[end..]);
            new_count += 1;
            // In step again once a chunk starts where one did before, with only old bytes behind it.
            if end >= 7 && end + from >= at + 7 && before.contains(&(end + from - 7)) {
                break;
            }
        }
    }
    new_count as f64 / EDITS_COUNT as f64
}

/// How much the mean length depends on the seed, where few distinct words occur.
fn seeds(kinds: &[(&str, Vec<Vec<u8>>)]) -> Result<(), SizesError> {
    let sizes = Sizes::new(16 << 10, 64 << 10, 256 << 10)?;
    println!("mean/avg over 100 seeds at 64 KiB: least, median, greatest");
    for (kind, streams) in kinds {
        let streams: Vec<Vec<u8>> =
            streams.iter().map(|s| s[..s.len().min(LEN / 4)].to_vec()).collect();
        let mut means: Vec<f64> = (0..100)
            .map(|seed| {
                let cutter = Cutter::new(&[seed; 32], sizes);
                let first: FirstLen =
                    Box::new(move |data| cutter.first_cut(data, true).unwrap_or(0));
                let lens: Vec<usize> = streams
                    .iter()
                    .flat_map(|s| {
                        let mut lens = lens(&first, s);
                        lens.pop();
                        lens
                    })
                    .collect();
                lens.iter().sum::<usize>() as f64
                    / lens.len().max(1) as f64
                    / f64::from(sizes.avg())
            })
            .collect();
        means.sort_by(f64::total_cmp);
        println!("{kind:7} {:.2} {:.2} {:.2}", means[0], means[50], means[99]);
    }
    Ok(())
}

fn stream(data: &[u8]) -> Result<(), SizesError> {
    let cut = Cut::Content(Cutter::new(&[7; 32], Sizes::new(16 << 10, 64 << 10, 256 << 10)?));
    let secs = secs_a_round(|| {
        let mut chunks = Chunks::new(io::Cursor::new(data), cut.clone());
        let mut len = 0;
        while let Ok(Some(chunk)) = chunks.next_chunk() {
            len += chunk.len();
        }
        assert_eq!(len, data.len(), "the stream form lost bytes");
    });
    println!("stream form, media, avg 64 KiB: {:.0} MB/s", data.len() as f64 / secs / 1e6);
    Ok(())
}

/// Time this thread ran; where the system does not tell, time that went by.
struct Clock(Option<f64>, Instant);

impl Clock {
    fn start() -> Self {
        Self(Self::ran_secs(), Instant::now())
    }

    fn secs(&self) -> f64 {
        match (self.0, Self::ran_secs()) {
            (Some(before), Some(after)) => after - before,
            _ => self.1.elapsed().as_secs_f64(),
        }
    }

    fn ran_secs() -> Option<f64> {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        stat.split(' ').next()?.parse::<f64>().ok().map(|nanos| nanos / 1e9)
    }
}
