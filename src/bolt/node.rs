//! The elements of one page, checked against bbolt's layout: the table of elements, then keys and
//! values without gaps, and no page more than that takes.

use super::damage::BoltError;
use super::layout::{
    BRANCH, ELEMENT, HEADER, Header, LEAF, LONGEST_KEY, LONGEST_VALUE, size, u32_at, u64_at,
};
use super::meta::Meta;
use super::source::Source;

/// A place in the file that is a page, or a page within a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The page, for messages.
    pub(super) page: u64,
    /// Where its header is in the file.
    pub(super) offset: u64,
    /// Bytes that it may take, overflow included.
    pub(super) limit: u64,
}

/// Where the page is that is referred to from `parent`.
pub(super) fn place_of(
    meta: &Meta,
    page: u64,
    parent: u64,
    parent_offset: u64,
) -> Result<u64, BoltError> {
    if page < 2 || page >= meta.high_water {
        let what = format!("refers to page {page}, and there are {}", meta.high_water);
        return Err(BoltError::damaged(parent, parent_offset, what));
    }
    Ok(page * meta.page_size)
}

impl Place {
    /// The place of a page of the tree, if that is its header.
    pub(super) fn of_page(meta: &Meta, page: u64, header: Header) -> Result<Self, BoltError> {
        let overflow = u64::from(header.overflow);
        let place = Self {
            page,
            offset: page * meta.page_size,
            limit: (overflow + 1) * meta.page_size,
        };
        if header.id != page {
            let what = format!("the page says that it is page {}", header.id);
            return Err(place.damaged(0, what));
        }
        if header.flags != BRANCH && header.flags != LEAF {
            let what = format!("flags {:#x}: neither a branch nor a leaf", header.flags);
            return Err(place.damaged(8, what));
        }
        if page + overflow >= meta.high_water {
            let what = format!("{overflow} overflow pages go beyond the last page");
            return Err(place.damaged(12, what));
        }
        Ok(place)
    }

    pub(super) fn damaged(&self, at: u64, what: impl Into<String>) -> BoltError {
        BoltError::damaged(self.page, self.offset.saturating_add(at), what)
    }

    /// Where the table of `count` elements ends and the data begins.
    pub(super) fn table_end(&self, count: u16) -> Result<u64, BoltError> {
        let end = HEADER + ELEMENT * u64::from(count);
        if end > self.limit {
            let what = format!("{count} elements do not fit into {} bytes", self.limit);
            return Err(self.damaged(10, what));
        }
        Ok(end)
    }

    /// bbolt allocates `size / page size + 1` pages, newer ones no page for an exact fit.
    pub(super) fn check_overflow(
        &self,
        header: Header,
        end: u64,
        page_size: u64,
    ) -> Result<(), BoltError> {
        let overflow = u64::from(header.overflow);
        if overflow == end.div_ceil(page_size) - 1 || overflow == end / page_size {
            return Ok(());
        }
        let what = format!("{overflow} overflow pages for {end} bytes");
        Err(self.damaged(12, what))
    }
}

/// An element of a leaf, within the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeafElement {
    pub(super) flags: u32,
    /// Where the key begins, from the page's header on; the value follows it.
    pub(super) at: u64,
    pub(super) key: u64,
    pub(super) value: u64,
}

impl LeafElement {
    /// Reads element `index` of `table`, whose data must begin at `expected`.
    pub(super) fn read(
        place: &Place,
        table: &[u8],
        index: u16,
        expected: u64,
    ) -> Result<Self, BoltError> {
        let row = usize::from(index) * 16;
        let from = HEADER + ELEMENT * u64::from(index);
        let element = Self {
            flags: u32_at(table, row),
            at: from + u64::from(u32_at(table, row + 4)),
            key: u64::from(u32_at(table, row + 8)),
            value: u64::from(u32_at(table, row + 12)),
        };
        if element.flags > 1 {
            let what = format!("element {index} has flags {:#x}", element.flags);
            return Err(place.damaged(from, what));
        }
        check_bounds(place, index, from, element.at, expected, element.key)?;
        if element.value > LONGEST_VALUE || element.end() > place.limit {
            let what = format!(
                "the value of element {index}, of {} bytes, goes beyond its page",
                element.value
            );
            return Err(place.damaged(from + 12, what));
        }
        Ok(element)
    }

    /// Where its data ends.
    pub(super) fn end(&self) -> u64 {
        self.at + self.key + self.value
    }
}

fn check_bounds(
    place: &Place,
    index: u16,
    from: u64,
    at: u64,
    expected: u64,
    key: u64,
) -> Result<(), BoltError> {
    if at != expected {
        let what = format!(
            "the key of element {index} begins at {at} of the page, not at {expected} where the \
             data before it ends"
        );
        return Err(place.damaged(from, what));
    }
    if key == 0 || key > LONGEST_KEY || at + key > place.limit {
        let what = format!("the key of element {index} has {key} bytes, which cannot be");
        return Err(place.damaged(from, what));
    }
    Ok(())
}

/// A branch page in memory, and how far the walk is in it.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) place: Place,
    bytes: Vec<u8>,
    count: u16,
    next: u16,
}

/// Largest branch: bbolt splits at the page size, but leaves two keys together.
const LARGEST_BRANCH: u64 = 256 << 10;

impl Branch {
    /// Reads a branch and checks its layout.
    pub(super) fn read(
        source: &Source<'_>,
        place: Place,
        header: Header,
        page_size: u64,
    ) -> Result<Self, BoltError> {
        if header.count == 0 {
            return Err(place.damaged(10, "a branch without elements"));
        }
        if place.limit > LARGEST_BRANCH {
            let what = format!("a branch of {} bytes: bbolt writes none", place.limit);
            return Err(place.damaged(12, what));
        }
        let mut bytes = vec![0; size(place.limit)];
        source.fill(place.offset, &mut bytes)?;
        let branch = Self {
            place,
            bytes,
            count: header.count,
            next: 0,
        };
        let mut expected = place.table_end(header.count)?;
        for index in 0..header.count {
            let from = HEADER + ELEMENT * u64::from(index);
            let (at, key, _) = branch.element(index);
            check_bounds(&place, index, from, at, expected, key)?;
            expected = at + key;
        }
        place.check_overflow(header, expected, page_size)?;
        Ok(branch)
    }

    /// Position, key size and page of an element.
    fn element(&self, index: u16) -> (u64, u64, u64) {
        let from = HEADER + ELEMENT * u64::from(index);
        let row = size(from);
        (
            from + u64::from(u32_at(&self.bytes, row)),
            u64::from(u32_at(&self.bytes, row + 4)),
            u64_at(&self.bytes, row + 8),
        )
    }

    /// The next child with its index and key; `None`: all were given.
    pub(super) fn next_child(&mut self) -> Option<(u16, &[u8], u64)> {
        if self.next == self.count {
            return None;
        }
        let index = self.next;
        self.next += 1;
        let (at, key, page) = self.element(index);
        let key = self.bytes.get(size(at)..size(at + key))?;
        Some((index, key, page))
    }
}

/// A part of the file in memory.
#[derive(Debug, Default)]
pub(super) struct Window {
    buffer: Vec<u8>,
    start: u64,
}

/// Bytes held at one time: a key and the head of a value.
const WINDOW: u64 = (128 << 10) + LONGEST_KEY;
/// Bytes of a value that are held.
pub(super) const HEAD: u64 = 128 << 10;

impl Window {
    /// The `length` bytes at `offset`, at most [`WINDOW`]; what is read goes up to `end`.
    pub(super) fn get(
        &mut self,
        source: &Source<'_>,
        offset: u64,
        length: u64,
        end: u64,
    ) -> Result<&[u8], BoltError> {
        let held = self.start + u64::try_from(self.buffer.len()).unwrap_or(0);
        if offset < self.start || offset.saturating_add(length) > held {
            let wanted = end.saturating_sub(offset).min(WINDOW).max(length);
            self.buffer.resize(size(wanted), 0);
            self.start = offset;
            if let Err(error) = source.fill(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(error);
            }
        }
        let from = size(offset - self.start);
        let part = self.buffer.get(from..from.saturating_add(size(length)));
        Ok(part.unwrap_or_default())
    }
}
