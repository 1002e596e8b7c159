//! The b-tree of a table or an index: pages, their cells, and the chains of pages that long rows go on in.
//!
//! Invariant: within one walk every page is read at most once, as part of the tree or of a chain, and cells of a page
//! together are no longer than it. So a walk takes time in proportion to the database, whatever it says.

use std::ops::ControlFlow;

use super::header::{Header, u16_at, u32_at};
use super::record::varint;
use super::{Damage, ManifestPagesError, PageSource};

/// As deep as SQLite goes; with 512-byte pages eleven levels hold all the pages there can be.
const DEPTH_MAX: usize = 20;

/// What a tree holds: its pages have numbers of their own, and its cells another head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Rows, in the leaves alone.
    Table,
    /// Entries, in all pages.
    Index,
}

impl Tree {
    fn is_leaf(self, kind: u8) -> Option<bool> {
        match (self, kind) {
            (Self::Table, 13) | (Self::Index, 10) => Some(true),
            (Self::Table, 5) | (Self::Index, 2) => Some(false),
            _ => None,
        }
    }
}

/// SQLite gives a cell four bytes at least.
const CELL_LEN_MIN: usize = 4;

/// What a walk does with a row.
pub(super) type Visit<'v, S> =
    &'v mut dyn FnMut(&mut Payload<'_, S>) -> Result<ControlFlow<()>, ManifestPagesError>;

/// The pages of a database.
#[derive(Debug)]
pub(super) struct Pages<S> {
    source: S,
    header: Header,
    /// A bit for each page that the walk has read.
    seen: Vec<u64>,
}

/// A page of a tree.
struct Page {
    number: u32,
    /// The usable ones.
    bytes: Vec<u8>,
    is_leaf: bool,
    /// Where the places of the cells stand.
    places_at: usize,
    cell_count: usize,
}

impl<S: PageSource> Pages<S> {
    pub(super) fn new(source: S, header: Header) -> Self {
        Self { source, header, seen: Vec::new() }
    }

    /// Gives the rows of the table with this root to `visit`, in order, until it breaks; or the entries of an index, in any order.
    pub(super) fn walk(
        &mut self,
        root: u32,
        tree: Tree,
        visit: Visit<'_, S>,
    ) -> Result<(), ManifestPagesError> {
        // The system gives zeros page by page when they are touched.
        self.seen = vec![0; self.header.page_count as usize / 64 + 1];
        let flow = self.visit_page(root, tree, 0, visit);
        self.seen = Vec::new();
        flow.map(|_| ())
    }

    fn visit_page(
        &mut self,
        number: u32,
        tree: Tree,
        depth: usize,
        visit: Visit<'_, S>,
    ) -> Result<ControlFlow<()>, ManifestPagesError> {
        if depth == DEPTH_MAX {
            return Err(Damage::TooDeep.into());
        }
        let mut bytes = Vec::new();
        self.read(number, &mut bytes)?;
        let page = Page::parse(number, tree, bytes)?;
        if page.cell_count == 0 && depth > 0 {
            return Err(Damage::Kind { page: number }.into());
        }
        if page.is_leaf || tree == Tree::Index {
            let flow = self.visit_cells(&page, tree, visit)?;
            if page.is_leaf || flow.is_break() {
                return Ok(flow);
            }
        }
        let last = u32_at(&page.bytes, page.places_at - 4);
        let children = (0..page.cell_count).map(|at| u32_at(page.cell(at)?, 0)).chain([last]);
        for child in children {
            let child = child.ok_or(Damage::Cell { page: number })?;
            if self.visit_page(child, tree, depth + 1, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn visit_cells(
        &mut self,
        page: &Page,
        tree: Tree,
        visit: Visit<'_, S>,
    ) -> Result<ControlFlow<()>, ManifestPagesError> {
        let damage = Damage::Cell { page: page.number };
        let mut room = page.room();
        for at in 0..page.cell_count {
            let cell = page.cell(at).ok_or(damage)?;
            // An inner page's cell begins with the page below it.
            let body = cell.get(if page.is_leaf { 0 } else { 4 }..).ok_or(damage)?;
            let (len, mut rest) = varint(body).ok_or(damage)?;
            if tree == Tree::Table {
                let (_rowid, payload) = varint(rest).ok_or(damage)?;
                rest = payload;
            }
            if len > self.header.pages_len() {
                return Err(Damage::Record { page: page.number }.into());
            }
            let local_len = self.local_len(len, tree);
            let (local, rest) = rest.split_at_checked(local_len).ok_or(damage)?;
            let is_whole = local_len as u64 == len;
            let next = if is_whole { 0 } else { u32_at(rest, 0).ok_or(damage)? };
            let link_len = if is_whole { 0 } else { 4 };
            let cell_len = cell.len() - rest.len() + link_len;
            room = room.checked_sub(cell_len.max(CELL_LEN_MIN)).ok_or(damage)?;
            let (chain, at, page) = (Vec::new(), 0, page.number);
            let mut payload = Payload { pages: self, page, len, left: len, local, next, chain, at };
            if visit(&mut payload)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// How much of a payload of this length stands in its page.
    pub(super) fn local_len(&self, len: u64, tree: Tree) -> usize {
        let usable_len = u64::from(self.header.usable_len);
        let max = match tree {
            Tree::Table => usable_len - 35,
            Tree::Index => (usable_len - 12) * 64 / 255 - 23,
        };
        let min = (usable_len - 12) * 32 / 255 - 23;
        let filling = |len: u64| min + (len - min) % (usable_len - 4);
        let local_len = match len {
            len if len <= max => len,
            len if filling(len) <= max => filling(len),
            _ => min,
        };
        // No longer than a page.
        usize::try_from(local_len).unwrap_or(usize::MAX)
    }

    /// Reads a page that this walk has not read yet.
    fn read(&mut self, page: u32, bytes: &mut Vec<u8>) -> Result<(), ManifestPagesError> {
        let nowhere = Damage::NoSuchPage { page };
        if !self.header.has(page) {
            return Err(nowhere.into());
        }
        let word = self.seen.get_mut(page as usize / 64).ok_or(nowhere)?;
        let bit = 1 << (page % 64);
        if *word & bit != 0 {
            return Err(Damage::Twice { page }.into());
        }
        *word |= bit;
        bytes.resize(self.header.page_len as usize, 0);
        let at = u64::from(page - 1) * u64::from(self.header.page_len);
        self.source.read_at(at, bytes).map_err(ManifestPagesError::Io)?;
        bytes.truncate(self.header.usable_len as usize);
        Ok(())
    }
}

impl Page {
    fn parse(number: u32, tree: Tree, bytes: Vec<u8>) -> Result<Self, Damage> {
        let damage = Damage::Kind { page: number };
        // The header of the database stands before that of its first page.
        let at = if number == 1 { 100 } else { 0 };
        let is_leaf = bytes.get(at).and_then(|kind| tree.is_leaf(*kind)).ok_or(damage)?;
        let cell_count = usize::from(u16_at(&bytes, at + 3).ok_or(damage)?);
        let places_at = at + if is_leaf { 8 } else { 12 };
        let page = Self { number, bytes, is_leaf, places_at, cell_count };
        if page.places_end() > page.bytes.len() {
            return Err(Damage::Cell { page: number });
        }
        Ok(page)
    }

    fn places_end(&self) -> usize {
        self.places_at + 2 * self.cell_count
    }

    /// Bytes that cells can take.
    fn room(&self) -> usize {
        self.bytes.len() - self.places_end()
    }

    /// From where a cell begins to the end of the page.
    fn cell(&self, index: usize) -> Option<&[u8]> {
        let at = usize::from(u16_at(&self.bytes, self.places_at + 2 * index)?);
        self.bytes.get(at..).filter(|_| at >= self.places_end())
    }
}

/// The bytes of a row, read forwards; what is not asked for is not read.
pub(super) struct Payload<'a, S> {
    pages: &'a mut Pages<S>,
    /// Where it begins.
    pub(super) page: u32,
    /// In all.
    pub(super) len: u64,
    left: u64,
    local: &'a [u8],
    /// The page that comes after these bytes.
    next: u32,
    /// The page of the chain that was read last, with the number of the next before its bytes; empty before the first.
    chain: Vec<u8>,
    /// How much of the local bytes, or of the chain's page, was taken.
    at: usize,
}

impl<S: PageSource> Payload<'_, S> {
    pub(super) fn skip(&mut self, count: u64) -> Result<(), ManifestPagesError> {
        self.pass(count, |_| ())
    }

    /// Takes so many bytes; the caller has bounded the count.
    pub(super) fn take(&mut self, count: u64) -> Result<Vec<u8>, ManifestPagesError> {
        let mut bytes = Vec::with_capacity(usize::try_from(count.min(self.left)).unwrap_or(0));
        self.pass(count, |part| bytes.extend_from_slice(part))?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ManifestPagesError> {
        let mut byte = 0;
        self.pass(1, |part| byte = part.first().copied().unwrap_or_default())?;
        Ok(byte)
    }

    fn pass(&mut self, count: u64, mut each: impl FnMut(&[u8])) -> Result<(), ManifestPagesError> {
        self.left = self.left.checked_sub(count).ok_or(Damage::Record { page: self.page })?;
        let mut count = usize::try_from(count).map_err(|_| Damage::Record { page: self.page })?;
        while count > 0 {
            let here = if self.chain.is_empty() { self.local } else { &self.chain };
            let here = here.get(self.at..).unwrap_or_default();
            if here.is_empty() {
                self.pages.read(self.next, &mut self.chain)?;
                self.next = u32_at(&self.chain, 0).unwrap_or(0);
                self.at = 4;
                continue;
            }
            let part = here.get(..count).unwrap_or(here);
            each(part);
            self.at += part.len();
            count -= part.len();
        }
        Ok(())
    }
}
