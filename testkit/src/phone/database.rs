//! The phone's databases: made and edited by SQLite itself, so that pages change as they do in life.
//!
//! Invariant: between calls the file is closed, whole and without a journal; the same seed makes the same file.

use crate::content::words;
use crate::random::Random;
use crate::write_error::WriteError;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};

/// Which of Apple's or an app's databases this one is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    Messages,
    Photos,
    Calls,
    Health,
    App,
}

/// One table's names and how its rows look.
struct Shape {
    create: &'static str,
    table: &'static str,
    id: &'static str,
    /// The column that a week changes in old rows.
    state: &'static str,
    text_len: u64,
    blob_len: u64,
    /// Shares of the rows that a week adds, changes and deletes.
    weekly: [f64; 3],
}

impl DatabaseKind {
    fn shape(self) -> Shape {
        match self {
            Self::Messages => MESSAGES,
            Self::Photos => PHOTOS,
            Self::Calls => CALLS,
            Self::Health => HEALTH,
            Self::App => APP,
        }
    }
}

const MESSAGES: Shape = Shape {
    create: "CREATE TABLE message (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, text TEXT,
               attributedBody BLOB, handle_id INTEGER, date INTEGER, date_read INTEGER DEFAULT 0);
             CREATE TABLE handle (ROWID INTEGER PRIMARY KEY, id TEXT);
             CREATE INDEX message_idx_date ON message(date);
             CREATE INDEX message_idx_handle ON message(handle_id, date);",
    table: "message (ROWID, guid, text, attributedBody, handle_id, date)",
    id: "ROWID",
    state: "date_read",
    text_len: 90,
    blob_len: 160,
    weekly: [0.015, 0.010, 0.003],
};

const PHOTOS: Shape = Shape {
    create: "CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, ZUUID TEXT, ZFILENAME TEXT, ZADJUSTMENT BLOB,
               ZKIND INTEGER, ZDATECREATED INTEGER, ZMODIFICATIONDATE INTEGER DEFAULT 0);
             CREATE INDEX ZASSET_ZUUID ON ZASSET(ZUUID);
             CREATE INDEX ZASSET_ZDATECREATED ON ZASSET(ZDATECREATED);",
    table: "ZASSET (Z_PK, ZUUID, ZFILENAME, ZADJUSTMENT, ZKIND, ZDATECREATED)",
    id: "Z_PK",
    state: "ZMODIFICATIONDATE",
    text_len: 60,
    blob_len: 300,
    weekly: [0.010, 0.015, 0.002],
};

const CALLS: Shape = Shape {
    create: "CREATE TABLE ZCALLRECORD (Z_PK INTEGER PRIMARY KEY, ZUNIQUE_ID TEXT, ZADDRESS TEXT, ZLOCATION BLOB,
               ZDURATION INTEGER, ZDATE INTEGER, ZREAD INTEGER DEFAULT 0);
             CREATE INDEX ZCALLRECORD_ZDATE ON ZCALLRECORD(ZDATE);",
    table: "ZCALLRECORD (Z_PK, ZUNIQUE_ID, ZADDRESS, ZLOCATION, ZDURATION, ZDATE)",
    id: "Z_PK",
    state: "ZREAD",
    text_len: 24,
    blob_len: 20,
    weekly: [0.030, 0.005, 0.030],
};

const HEALTH: Shape = Shape {
    create:
        "CREATE TABLE samples (data_id INTEGER PRIMARY KEY, uuid TEXT, unit TEXT, metadata BLOB,
               data_type INTEGER, start_date INTEGER, sync_state INTEGER DEFAULT 0);
             CREATE INDEX samples_type_date ON samples(data_type, start_date);",
    table: "samples (data_id, uuid, unit, metadata, data_type, start_date)",
    id: "data_id",
    state: "sync_state",
    text_len: 10,
    blob_len: 48,
    weekly: [0.020, 0.001, 0.0],
};

const APP: Shape = Shape {
    create: "CREATE TABLE items (id INTEGER PRIMARY KEY, key TEXT UNIQUE, body TEXT, payload BLOB, kind INTEGER,
               created INTEGER, seen INTEGER DEFAULT 0);
             CREATE INDEX items_kind ON items(kind, created);",
    table: "items (id, key, body, payload, kind, created)",
    id: "id",
    state: "seen",
    text_len: 240,
    blob_len: 80,
    weekly: [0.020, 0.012, 0.008],
};

/// One database of the phone, in the phone's own folder of work files.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    pub(crate) kind: DatabaseKind,
    /// Ids are given out in order and never again.
    next_id: u64,
}

impl Database {
    /// Creates a database of about `len` bytes; rows are dated before `now`, Unix seconds.
    pub(crate) fn create(
        path: PathBuf,
        kind: DatabaseKind,
        len: u64,
        now: u64,
        random: &mut Random,
    ) -> Result<Self, WriteError> {
        let mut database = Self { path, kind, next_id: 1 };
        let file = database.path.clone();
        database.fill(len, now, random).map_err(WriteError::database(&file))?;
        Ok(database)
    }

    /// One week of use: old rows change in place all over the file, new ones come, some go.
    pub(crate) fn live_a_week(&mut self, now: u64, random: &mut Random) -> Result<(), WriteError> {
        let file = self.path.clone();
        self.edit(now, random).map_err(WriteError::database(&file))
    }

    fn fill(&mut self, len: u64, now: u64, random: &mut Random) -> rusqlite::Result<()> {
        let shape = self.kind.shape();
        let connection = open(&self.path)?;
        connection.execute_batch(shape.create)?;
        connection.execute_batch("BEGIN")?;
        loop {
            for _ in 0..64 {
                // Dates go up with ids, over about three years.
                let date = now - (100_000_000 - (self.next_id * 400).min(100_000_000));
                self.insert(&connection, &shape, date, random)?;
            }
            let pages: u64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            if pages * 4096 >= len {
                break;
            }
        }
        connection.execute_batch("COMMIT")
    }

    fn edit(&mut self, now: u64, random: &mut Random) -> rusqlite::Result<()> {
        let shape = self.kind.shape();
        let connection = open(&self.path)?;
        connection.execute_batch("BEGIN")?;
        let table = shape.table.split(' ').next().unwrap_or_default();
        let row_count: u64 =
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        let [added, changed, deleted] = shape.weekly.map(|share| share_of(row_count, share));
        let update = format!("UPDATE {table} SET {} = ?2 WHERE {} = ?1", shape.state, shape.id);
        for _ in 0..changed {
            let id = random.between(1..=self.next_id - 1);
            connection.prepare_cached(&update)?.execute(params![id, now])?;
        }
        let delete = format!("DELETE FROM {table} WHERE {} = ?1", shape.id);
        for _ in 0..deleted {
            connection
                .prepare_cached(&delete)?
                .execute(params![random.between(1..=self.next_id - 1)])?;
        }
        for _ in 0..added {
            let date = now - random.below(7 * 86_400);
            self.insert(&connection, &shape, date, random)?;
        }
        connection.execute_batch("COMMIT")
    }

    fn insert(
        &mut self,
        connection: &Connection,
        shape: &Shape,
        date: u64,
        random: &mut Random,
    ) -> rusqlite::Result<()> {
        let text_len = skewed(random, shape.text_len);
        let text = words(random, text_len);
        let mut blob = vec![0; skewed(random, shape.blob_len)];
        random.fill(&mut blob);
        let sql = format!("INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6)", shape.table);
        let id = self.next_id;
        self.next_id += 1;
        connection.prepare_cached(&sql)?.execute(params![
            id,
            random.uuid(),
            text,
            blob,
            random.below(120),
            date
        ])?;
        Ok(())
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;",
    )?;
    Ok(connection)
}

/// Mostly short, now and then long; the mean is about `mean`.
fn skewed(random: &mut Random, mean: u64) -> usize {
    let long = random.chance(0.1);
    let len = if long { random.between(mean..=mean * 9) } else { random.between(mean / 10..=mean) };
    usize::try_from(len).unwrap_or(0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rough share"
)]
fn share_of(count: u64, share: f64) -> u64 {
    (count as f64 * share).ceil() as u64
}
