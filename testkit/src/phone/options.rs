//! How large a generated phone is and what it holds.
//!
//! Invariant: two equal `PhoneOptions` make two equal phones. Sizes are aims: a phone comes within a few percent.

const MIB: u64 = 1024 * 1024;

/// How large a phone is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneOptions {
    /// Decides everything that is not said here.
    pub seed: u64,
    /// The device's id, also the name of the backup's folder.
    pub udid: String,
    /// What its owner calls it.
    pub name: String,
    /// Bytes in photos, videos and their thumbnails.
    pub media_len: u64,
    /// Bytes in SQLite databases.
    pub database_len: u64,
    /// Number of other files.
    pub small_file_count: u64,
    /// Bytes in those other files.
    pub small_len: u64,
    /// Number of apps over which they are spread.
    pub app_count: u64,
    /// Bytes in one video longer than all others; 0 if there is none.
    pub long_len: u64,
}

impl PhoneOptions {
    /// About 10 MB in about 400 files: for tests.
    pub fn small() -> Self {
        Self::of(7 * MIB, 2 * MIB, 260, MIB, 12)
    }

    /// About 250 MB in about 4 000 files: for the demo.
    pub fn demo() -> Self {
        Self::of(188 * MIB, 33 * MIB, 3_700, 29 * MIB, 90)
    }

    /// `total_len` bytes: 75 % media, 13 % databases, the rest small files. For benches.
    pub fn bench(total_len: u64) -> Self {
        let hundredth = total_len / 100;
        let small_len = 12 * hundredth;
        Self::of(75 * hundredth, 13 * hundredth, (small_len / 20_000).max(1), small_len, 240)
    }

    /// `count` tiny files and nothing else: for what costs time per file.
    pub fn many_files(count: u64) -> Self {
        Self::of(0, 0, count, count * 48, (count / 500).max(4))
    }

    /// `total_len` bytes that no codec can shrink and of which none are alike, more than 4 GiB of them in one file if there
    /// are so many.
    pub fn huge(total_len: u64) -> Self {
        const LONG_LEN: u64 = (4 << 30) + 12_345;
        let long_len = if total_len >= LONG_LEN { LONG_LEN } else { 0 };
        Self { long_len, ..Self::of(total_len - long_len, 0, 200, 2 * MIB, 12) }
    }

    /// The same phone with another seed; its id follows.
    pub fn with_seed(self, seed: u64) -> Self {
        let mut random = crate::random::Random::of_parts(&[seed, 0x0075_6469_6400]);
        Self { seed, udid: format!("00008110-{:016X}", random.next_u64() >> 4), ..self }
    }

    fn of(
        media_len: u64,
        database_len: u64,
        small_file_count: u64,
        small_len: u64,
        app_count: u64,
    ) -> Self {
        let name = "Blue iPhone".to_owned();
        let (seed, udid) = (1, String::new());
        let long_len = 0;
        Self {
            seed,
            udid,
            name,
            media_len,
            database_len,
            small_file_count,
            small_len,
            app_count,
            long_len,
        }
        .with_seed(seed)
    }
}
