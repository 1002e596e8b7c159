//! A row of `Manifest.db`, whoever read it, and what may be odd about it.
//!
//! Invariant: every value that a database can hold gives a row; what is not as Apple writes it is named in the row's oddities, in
//! one order, so that two readers of one database give equal rows. Opens no file and knows no SQLite.

use super::FileId;

/// A column of the table of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `fileID`
    FileId,
    /// `domain`
    Domain,
    /// `relativePath`
    RelativePath,
    /// `flags`
    Flags,
    /// `file`
    File,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OddityKind {
    /// Not of the column's type, or `NULL`. Numbers in place of text are given as decimal digits.
    WrongType,
    /// Longer than accepted, and given as empty.
    TooLong {
        /// Bytes in the database.
        len: u64,
    },
    /// Not 40 lower-case hex digits.
    NotAFileId,
}

/// A value that is not what Apple writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// Where.
    pub column: Column,
    /// What.
    pub kind: OddityKind,
}

/// The `fileID` of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowFileId {
    /// A good one. Whether it is the hash of the row's path is not checked here.
    Id(FileId),
    /// Anything else, as it stands.
    Odd(Vec<u8>),
}

/// One row of the table of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Names the stored file.
    pub file_id: RowFileId,
    /// At most 4 KiB.
    pub domain: Vec<u8>,
    /// At most 64 KiB; empty for the root of a domain.
    pub relative_path: Vec<u8>,
    /// 1 file, 2 directory, 4 symbolic link; others have been seen. 0 if it is no number.
    pub flags: i64,
    /// At most 16 MiB; for [`super::MbFile::parse`].
    pub file: Vec<u8>,
    /// What is odd about this row; nearly always nothing.
    pub oddities: Vec<Oddity>,
}

impl Column {
    pub(super) const ALL: [Self; 5] =
        [Self::FileId, Self::Domain, Self::RelativePath, Self::Flags, Self::File];

    /// Its name in lower case; SQLite does not tell cases apart.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FileId => "fileid",
            Self::Domain => "domain",
            Self::RelativePath => "relativepath",
            Self::Flags => "flags",
            Self::File => "file",
        }
    }

    /// Bytes of the longest value that is taken.
    pub(super) fn len_max(self) -> u64 {
        match self {
            Self::FileId | Self::Domain => 4 << 10,
            Self::RelativePath => 64 << 10,
            Self::Flags => 8,
            Self::File => 16 << 20,
        }
    }
}

/// A value as it stands in a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Stored {
    #[default]
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
    /// Left there for its length.
    TooLong {
        len: u64,
    },
}

/// The five values of a row, each no longer than its column's longest.
#[derive(Debug, Default)]
pub(super) struct StoredRow {
    pub(super) file_id: Stored,
    pub(super) domain: Stored,
    pub(super) relative_path: Stored,
    pub(super) flags: Stored,
    pub(super) file: Stored,
}

impl StoredRow {
    pub(super) fn set(&mut self, column: Column, value: Stored) {
        *match column {
            Column::FileId => &mut self.file_id,
            Column::Domain => &mut self.domain,
            Column::RelativePath => &mut self.relative_path,
            Column::Flags => &mut self.flags,
            Column::File => &mut self.file,
        } = value;
    }
}

impl Row {
    /// Whether no phone can have written it: a value is odd, or the file is not named by the hash of its domain and path. Damage
    /// to a list shows here first, for nothing else in it is checked by anything. Of what is no file, path and blob may be missing.
    #[must_use]
    pub fn contradicts_itself(&self) -> bool {
        let named = FileId::of(&self.domain, &self.relative_path);
        let matters = |odd: &Oddity| {
            self.flags == 1 || !matches!(odd.column, Column::RelativePath | Column::File)
        };
        self.oddities.iter().any(matters) || self.file_id != RowFileId::Id(named)
    }

    pub(super) fn of(stored: StoredRow) -> Self {
        let mut oddities = Vec::new();
        let mut bytes = |column, value| {
            let (bytes, kind) = bytes_of(column, value);
            oddities.extend(kind.map(|kind| Oddity { column, kind }));
            bytes
        };
        let file_id = bytes(Column::FileId, stored.file_id);
        let domain = bytes(Column::Domain, stored.domain);
        let relative_path = bytes(Column::RelativePath, stored.relative_path);
        let file = bytes(Column::File, stored.file);
        let file_id = match FileId::parse(&file_id) {
            Some(id) => RowFileId::Id(id),
            None => {
                oddities.push(Oddity { column: Column::FileId, kind: OddityKind::NotAFileId });
                RowFileId::Odd(file_id)
            }
        };
        let flags = match stored.flags {
            Stored::Integer(flags) => flags,
            _ => {
                oddities.push(Oddity { column: Column::Flags, kind: OddityKind::WrongType });
                0
            }
        };
        Self { file_id, domain, relative_path, flags, file, oddities }
    }
}

/// The bytes of a value and what is odd about it.
fn bytes_of(column: Column, value: Stored) -> (Vec<u8>, Option<OddityKind>) {
    let wrong = Some(OddityKind::WrongType);
    match value {
        Stored::Null => (Vec::new(), wrong),
        Stored::Integer(number) => (number.to_string().into_bytes(), wrong),
        Stored::Real(number) => (number.to_string().into_bytes(), wrong),
        Stored::Text(bytes) => (bytes, wrong.filter(|_| column == Column::File)),
        Stored::Blob(bytes) => (bytes, wrong.filter(|_| column != Column::File)),
        Stored::TooLong { len } => (Vec::new(), Some(OddityKind::TooLong { len })),
    }
}
