//! The walk: every bucket's pages in key order, each page at most once, then the free ones.

use super::bucket::{Bucket, Found, Root};
use super::damage::BoltError;
use super::freelist;
use super::layout::{BRANCH, BUCKET_ELEMENT, HEADER, Header, LEAF, size};
use super::meta::Meta;
use super::node::{Branch, HEAD, LeafElement, Place, Window, place_of};
use super::order::Order;
use super::seen::Seen;
use super::source::Source;
use super::value::Value;

/// Levels of branches; a branch has two children at least, so bbolt stays far below.
const DEEPEST: usize = 32;

/// A key with its value, and where it is.
#[derive(Debug)]
pub struct Entry<'w> {
    /// The page.
    pub page: u64,
    /// Where the key is in the file.
    pub offset: u64,
    /// The key.
    pub key: &'w [u8],
    /// The value.
    pub value: Value<'w>,
}

impl Entry<'_> {
    /// Damage that is in this entry.
    pub fn damaged(&self, what: impl Into<String>) -> BoltError {
        BoltError::damaged(self.page, self.offset, what)
    }
}

/// Pages by kind, overflow pages apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pages {
    /// Below the high water mark, metas included.
    pub total: u64,
    /// Branches.
    pub branch: u64,
    /// Leaves.
    pub leaf: u64,
    /// Continuations of larger ones.
    pub overflow: u64,
    /// Free, or (where no freelist is written) used by nothing.
    pub free: u64,
    /// The freelist is written, and agrees.
    pub freelist_written: bool,
    /// Keys of branches that are not the first key of their child, only smaller: legal, though
    /// bbolt's `node.spill` writes them equal.
    pub loose_branch_keys: u64,
}

/// A walk over a database. Walk every bucket, then [`Walk::finish`].
#[derive(Debug)]
pub struct Walk<'f> {
    source: Source<'f>,
    meta: Meta,
    seen: Seen,
    window: Window,
    table: Vec<u8>,
    pages: Pages,
}

type Each<'e> = dyn FnMut(&Entry<'_>) -> Result<(), BoltError> + 'e;

impl<'f> Walk<'f> {
    /// Begins a walk of the database that `meta` describes.
    pub fn new(source: Source<'f>, meta: Meta) -> Self {
        let mut seen = Seen::none_of(meta.high_water);
        seen.add(0);
        seen.add(1);
        Self {
            source,
            meta,
            seen,
            window: Window::default(),
            table: Vec::new(),
            pages: Pages {
                total: meta.high_water,
                ..Pages::default()
            },
        }
    }

    /// The bucket of buckets.
    pub fn root(&self) -> Bucket {
        Bucket {
            name: Vec::new(),
            sequence: self.meta.sequence,
            page: 0,
            offset: 0,
            root: Root::Page(self.meta.root),
        }
    }

    /// Passes every entry of `bucket` to `each` in the order of keys, and returns the buckets that
    /// are in it.
    ///
    /// # Errors
    /// Damage, or what `each` says.
    pub fn bucket(
        &mut self,
        bucket: &Bucket,
        each: &mut Each<'_>,
    ) -> Result<Vec<Bucket>, BoltError> {
        let mut found = Found::default();
        let mut order = Order::default();
        let root = match &bucket.root {
            Root::Page(root) => *root,
            Root::Inline(bytes, offset) => {
                let place = Place {
                    page: bucket.page,
                    offset: *offset,
                    limit: bytes.len() as u64,
                };
                let header = Header::of(bytes);
                if header.id != 0 || header.flags != LEAF || header.overflow != 0 {
                    return Err(place.damaged(0, "the header of an inline bucket is not a leaf's"));
                }
                let end = self.leaf(place, header, &mut order, &mut found, each)?;
                if end != place.limit || !found.buckets.is_empty() {
                    let what = format!("an inline bucket of {} bytes holds {end}", place.limit);
                    return Err(place.damaged(0, what));
                }
                return Ok(Vec::new());
            }
        };
        let mut above: Vec<Branch> = Vec::new();
        let mut next = Some((root, bucket.page, bucket.offset));
        loop {
            if let Some((page, parent, parent_offset)) = next.take() {
                let (place, header) = self.enter(page, parent, parent_offset)?;
                if header.flags == BRANCH {
                    if above.len() == DEEPEST {
                        return Err(place.damaged(0, "more levels of branches than there can be"));
                    }
                    let size = self.meta.page_size;
                    above.push(Branch::read(&self.source, place, header, size)?);
                    self.pages.branch += 1;
                } else {
                    if header.count == 0 && !above.is_empty() {
                        return Err(place.damaged(10, "a leaf without elements below a branch"));
                    }
                    let end = self.leaf(place, header, &mut order, &mut found, each)?;
                    place.check_overflow(header, end, self.meta.page_size)?;
                    self.pages.leaf += 1;
                }
            }
            let Some(branch) = above.last_mut() else {
                self.pages.loose_branch_keys += order.loose;
                return Ok(found.buckets);
            };
            let place = branch.place;
            match branch.next_child() {
                None => {
                    above.pop();
                }
                Some((index, key, child)) => {
                    let at = HEADER + 16 * u64::from(index);
                    if !order.pass(key, false) {
                        let what = format!("the key of branch element {index} is out of order");
                        return Err(place.damaged(at, what));
                    }
                    next = Some((child, place.page, place.offset + at));
                }
            }
        }
    }

    /// Reads the header of a page that is referred to from `parent`, and marks it as met.
    fn enter(
        &mut self,
        page: u64,
        parent: u64,
        parent_offset: u64,
    ) -> Result<(Place, Header), BoltError> {
        let offset = place_of(&self.meta, page, parent, parent_offset)?;
        let page_size = self.meta.page_size;
        let end = offset + page_size;
        let first = self.window.get(&self.source, offset, page_size, end)?;
        let header = Header::of(first);
        let place = Place::of_page(&self.meta, page, header)?;
        let overflow = u64::from(header.overflow);
        self.pages.overflow += overflow;
        for page in page..=page + overflow {
            if !self.seen.add(page) {
                let what = format!("page {page} is referred to twice");
                return Err(BoltError::damaged(parent, parent_offset, what));
            }
        }
        Ok((place, header))
    }

    /// Passes the entries of a leaf; returns where its data ends.
    fn leaf(
        &mut self,
        place: Place,
        header: Header,
        order: &mut Order,
        found: &mut Found,
        each: &mut Each<'_>,
    ) -> Result<u64, BoltError> {
        let mut expected = place.table_end(header.count)?;
        let end = place.offset + place.limit;
        let mut table = std::mem::take(&mut self.table);
        table.resize(size(expected - HEADER), 0);
        let first = place.offset + HEADER;
        // Mostly the window holds it already; a table larger than that is read by itself.
        if expected <= self.meta.page_size {
            let held = self
                .window
                .get(&self.source, first, expected - HEADER, end)?;
            table.copy_from_slice(held);
        } else {
            self.source.fill(first, &mut table)?;
        }
        for index in 0..header.count {
            let element = LeafElement::read(&place, &table, index, expected)?;
            expected = element.end();
            let offset = place.offset + element.at;
            let head = element.value.min(HEAD);
            let data = self
                .window
                .get(&self.source, offset, element.key + head, end)?;
            let (key, head) = data.split_at_checked(size(element.key)).unwrap_or_default();
            let entry = Entry {
                page: place.page,
                offset,
                key,
                value: Value {
                    source: self.source,
                    offset: offset + element.key,
                    length: element.value,
                    head,
                },
            };
            if !order.pass(key, true) {
                let what = format!("the key of element {index} is not greater than those before");
                return Err(entry.damaged(what));
            }
            if element.flags & BUCKET_ELEMENT == 0 {
                each(&entry)?;
            } else {
                found.add(&entry)?;
            }
        }
        self.table = table;
        Ok(expected)
    }

    /// Once every bucket is walked: the freelist, where one is written, holds exactly the pages
    /// that were not met.
    ///
    /// # Errors
    /// A page that is both or neither.
    pub fn finish(mut self) -> Result<Pages, BoltError> {
        let Some(page) = self.meta.freelist else {
            self.pages.free = self.meta.high_water - self.seen.count();
            return Ok(self.pages);
        };
        self.pages.freelist_written = true;
        self.pages.free = freelist::check(&self.source, &self.meta, page, &mut self.seen)?;
        if let Some(page) = self.seen.first_missing(self.meta.high_water) {
            let what = "the page is neither used nor in the freelist";
            return Err(BoltError::damaged(page, page * self.meta.page_size, what));
        }
        Ok(self.pages)
    }
}
