//! Finding the table of files, and which of its values is which.
//!
//! Invariant: a [`FilesTable`] is a plain table whose five columns each stand in its records as they are. The text that
//! made it is taken apart no further than that needs, and never run.

use std::ops::ControlFlow;

use super::super::manifest_row::{Column, Stored};
use super::pages::{Pages, Tree};
use super::record::{Wanted, read_values};
use super::{ManifestPagesError, OnlySqlite, PageSource};

/// Apple's has 100 bytes.
const DEFINITION_LEN_MAX: u64 = 64 << 10;

const NAME_LEN_MAX: u64 = 64;

/// Where the rows are.
#[derive(Debug)]
pub(super) struct FilesTable {
    pub(super) root: u32,
    /// Root of the index of its `fileID`s, if it is one that can be told from its definition.
    pub(super) index: Option<u32>,
    /// The five columns in the order of the table.
    pub(super) columns: [Column; 5],
    /// What to take of a record for each.
    pub(super) wanted: [Wanted; 5],
}

/// Type, name, root page and text of an entry of the schema.
const ENTRY: [Wanted; 4] = [
    Wanted { position: 0, len_max: NAME_LEN_MAX },
    Wanted { position: 1, len_max: NAME_LEN_MAX },
    Wanted { position: 3, len_max: 8 },
    Wanted { position: 4, len_max: DEFINITION_LEN_MAX },
];

/// Finds the table `Files`. Views and virtual tables have no root page.
pub(super) fn find_files<S: PageSource>(
    pages: &mut Pages<S>,
) -> Result<FilesTable, ManifestPagesError> {
    let (mut found, mut index) = (Vec::new(), None);
    pages.walk(1, Tree::Table, &mut |payload| {
        let [kind, name, root, definition] = read_values(payload, &ENTRY)?;
        if is_text(&kind, b"table") && is_text(&name, b"files") {
            found.push((root, definition));
        } else if is_text(&kind, b"index") && is_text(&name, INDEX) {
            index = root_of(&root);
        }
        // A second one is enough to know that this is no backup's.
        Ok(if found.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    let Ok([(Stored::Integer(root), definition)]) = <[_; 1]>::try_from(found) else {
        return Err(ManifestPagesError::NoFilesTable);
    };
    let root = root_of(&Stored::Integer(root)).ok_or(ManifestPagesError::NoFilesTable)?;
    let definition = match definition {
        Stored::Text(text) => text,
        Stored::TooLong { .. } => return Err(OnlySqlite::LongDefinition.into()),
        _ => return Err(ManifestPagesError::NoFilesTable),
    };
    let positions = positions(&definition)?;
    let mut columns = Column::ALL;
    let position = |column: Column| positions.get(column as usize).copied().unwrap_or(usize::MAX);
    columns.sort_by_key(|column| position(*column));
    let wanted =
        columns.map(|column| Wanted { position: position(column), len_max: column.len_max() });
    let index = index.filter(|_| is_index_of_ids(&definition));
    Ok(FilesTable { root, index, columns, wanted })
}

/// What SQLite calls the index of the first unique column of the table of files.
const INDEX: &[u8] = b"sqlite_autoindex_files_1";

fn root_of(value: &Stored) -> Option<u32> {
    let Stored::Integer(root) = value else { return None };
    u32::try_from(*root).ok().filter(|root| *root > 1)
}

/// Whether that index is one of `fileID` alone, as in `fileID TEXT PRIMARY KEY`.
fn is_index_of_ids(definition: &[u8]) -> bool {
    let tokens = tokens(definition);
    let keys = tokens.iter().filter(|token| token.is_word(b"primary") || token.is_word(b"unique"));
    let of_ids = tokens.split(|token| token.kind == Kind::Comma).find(|item| {
        item.iter().find(|token| token.depth == 1).is_some_and(|name| name.text == b"fileid")
    });
    let is_key = of_ids.is_some_and(|item| item.iter().any(|token| token.is_word(b"primary")));
    is_key && keys.count() == 1
}

fn is_text(value: &Stored, text: &[u8]) -> bool {
    matches!(value, Stored::Text(bytes) if bytes.eq_ignore_ascii_case(text))
}

/// The position of each of the five columns, in the order of [`Column::ALL`].
fn positions(definition: &[u8]) -> Result<[usize; 5], ManifestPagesError> {
    let tokens = tokens(definition);
    let is_list = |token: &&Token| token.depth > 0;
    let list: Vec<&Token> = tokens.iter().skip_while(|t| !is_list(t)).take_while(is_list).collect();
    let after = tokens.iter().skip_while(|t| !is_list(t)).skip_while(is_list);
    if after.into_iter().any(|token| token.is_word(b"without")) {
        return Err(OnlySqlite::WithoutRowid.into());
    }
    let mut positions = [None; 5];
    let mut position = 0;
    let mut row_numbers = Vec::new();
    for item in list.split(|token| token.kind == Kind::Comma && token.depth == 1) {
        let Some((name, rest)) = item.split_first() else { continue };
        if name.kind == Kind::Word && CONSTRAINTS.contains(&name.text.as_slice()) {
            if item.iter().any(|token| token.is_word(b"primary")) {
                row_numbers.extend(item.iter().filter(|token| token.depth == 2).map(|t| &t.text));
            }
            continue;
        }
        let column = Column::ALL.iter().position(|column| column.name().as_bytes() == name.text);
        check(rest, column.is_some())?;
        if let Some(slot) = column.and_then(|column| positions.get_mut(column)) {
            if slot.is_some() {
                return Err(ManifestPagesError::NoFilesTable);
            }
            *slot = Some((position, type_of(rest) == b"integer"));
        }
        position += 1;
    }
    let mut found = [0; 5];
    for ((found, position), column) in found.iter_mut().zip(positions).zip(Column::ALL) {
        let (position, is_integer) = position.ok_or(ManifestPagesError::NoFilesTable)?;
        if is_integer && row_numbers.iter().any(|name| *name == column.name().as_bytes()) {
            return Err(OnlySqlite::Column.into());
        }
        *found = position;
    }
    Ok(found)
}

/// Words that a constraint of the table begins with; none of them can name a column without quotes.
const CONSTRAINTS: [&[u8]; 5] = [b"constraint", b"primary", b"unique", b"check", b"foreign"];

/// Words that end the type of a column.
const AFTER_TYPE: [&[u8]; 12] = [
    b"constraint",
    b"primary",
    b"not",
    b"null",
    b"unique",
    b"check",
    b"default",
    b"collate",
    b"references",
    b"generated",
    b"as",
    b"on",
];

/// Refuses a column whose values are not what stands in the records: a computed one, because it shifts the others, and of
/// the five also one with a default, one that is the row's number, and one that turns integers into floating point.
fn check(rest: &[&Token], is_ours: bool) -> Result<(), OnlySqlite> {
    let has = |word: &[u8]| rest.iter().any(|token| token.depth == 1 && token.is_word(word));
    let type_name = type_of(rest);
    let named = |part: &[u8]| type_name.windows(part.len()).any(|window| window == part);
    let is_real = [b"real", b"floa", b"doub"].iter().any(|part| named(*part))
        && ![b"char", b"clob", b"text", b"blob"].iter().any(|part| named(*part))
        && !named(b"int");
    let is_row_number = type_name == b"integer" && has(b"primary");
    let is_odd = is_real || is_row_number || has(b"default");
    if has(b"as") || has(b"generated") || (is_ours && is_odd) {
        return Err(OnlySqlite::Column);
    }
    Ok(())
}

/// The type of a column in lower case, its words without what is between them.
fn type_of(rest: &[&Token]) -> Vec<u8> {
    let is_type = |token: &&&Token| {
        !(token.kind == Kind::Word && AFTER_TYPE.contains(&token.text.as_slice()))
    };
    let words = rest.iter().take_while(is_type).filter(|token| token.depth == 1);
    words.flat_map(|token| token.text.iter().copied()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A keyword, or a name without quotes.
    Word,
    /// In quotes of any kind.
    Quoted,
    Comma,
    Other,
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    /// How many parentheses are open; the opening one itself is inside.
    depth: u32,
    /// In lower case and without quotes.
    text: Vec<u8>,
}

impl Token {
    fn is_word(&self, word: &[u8]) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

/// Takes a statement apart. What never ends, ends with the statement.
fn tokens(mut sql: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut depth = 0_u32;
    while let Some((&first, rest)) = sql.split_first() {
        let (kind, text, after) = match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0c => (None, Vec::new(), rest),
            b'-' if rest.starts_with(b"-") => (None, Vec::new(), behind(rest, b"\n")),
            b'/' if rest.starts_with(b"*") => {
                (None, Vec::new(), behind(rest.get(1..).unwrap_or_default(), b"*/"))
            }
            b'\'' | b'"' | b'`' => {
                let (text, after) = quoted(rest, first);
                (Some(Kind::Quoted), text, after)
            }
            b'[' => {
                let after = behind(rest, b"]");
                let text = rest.get(..rest.len() - after.len()).unwrap_or_default();
                (Some(Kind::Quoted), text.strip_suffix(b"]").unwrap_or(text).to_vec(), after)
            }
            b'(' => {
                depth = depth.saturating_add(1);
                (None, Vec::new(), rest)
            }
            b')' => {
                depth = depth.saturating_sub(1);
                (None, Vec::new(), rest)
            }
            b',' => (Some(Kind::Comma), Vec::new(), rest),
            _ if is_of_word(first) => {
                let len = sql.iter().take_while(|byte| is_of_word(**byte)).count();
                let (word, after) = sql.split_at_checked(len).unwrap_or((sql, &[]));
                (Some(Kind::Word), word.to_vec(), after)
            }
            _ => (Some(Kind::Other), Vec::new(), rest),
        };
        let text = text.to_ascii_lowercase();
        tokens.extend(kind.map(|kind| Token { kind, depth, text }));
        sql = after;
    }
    tokens
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// What follows the first occurrence of `end`.
fn behind<'a>(sql: &'a [u8], end: &[u8]) -> &'a [u8] {
    let at = sql.windows(end.len()).position(|window| window == end);
    at.and_then(|at| sql.get(at + end.len()..)).unwrap_or_default()
}

/// The text up to the closing quote, in which a doubled quote is one, and what follows.
fn quoted(mut sql: &[u8], quote: u8) -> (Vec<u8>, &[u8]) {
    let mut text = Vec::new();
    while let Some((&byte, rest)) = sql.split_first() {
        sql = rest;
        if byte == quote {
            match rest.split_first() {
                Some((&next, after)) if next == quote => sql = after,
                _ => break,
            }
        }
        text.push(byte);
    }
    (text, sql)
}
