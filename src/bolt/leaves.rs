//! The leaves of a bucket, found by its branches alone, in parts that fit into memory.

use super::damage::BoltError;
use super::layout::{BRANCH, HEADER, Header};
use super::meta::Meta;
use super::node::{Branch, Place, place_of};
use super::order::Order;
use super::seen::SharedSeen;
use super::source::Source;

/// Levels of branches; a branch has two children at least, so bbolt stays far below.
const DEEPEST: usize = 32;
/// Leaves of one part.
const MOST: usize = 32 << 10;
/// Bytes of their keys.
const MOST_BYTES: usize = 2 << 20; // 2 MiB

/// Leaves in the order of keys.
#[derive(Debug, Default)]
pub(super) struct Part {
    leaves: Vec<Leaf>,
    keys: Vec<u8>,
    /// The key of the leaf behind the last, where there is one.
    behind: Option<Vec<u8>>,
}

/// A leaf, by what refers to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) page: u64,
    /// The branch that refers to it, and where.
    pub(super) parent: u64,
    pub(super) parent_offset: u64,
    /// Where its key is in [`Part::keys`].
    key: (usize, usize),
}

impl Part {
    pub(super) fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// What the keys of leaf `index` lie between: the first, and the one that they are below.
    pub(super) fn bounds(&self, index: usize) -> (&[u8], Option<&[u8]>) {
        let key = |leaf: &Leaf| self.keys.get(leaf.key.0..leaf.key.1).unwrap_or_default();
        let first = self.leaves.get(index).map(key).unwrap_or_default();
        let next = self.leaves.get(index + 1).map(key);
        (first, next.or(self.behind.as_deref()))
    }

    fn push(&mut self, leaf: &Pending) {
        let from = self.keys.len();
        self.keys.extend_from_slice(&leaf.key);
        self.leaves.push(Leaf {
            page: leaf.page,
            parent: leaf.parent,
            parent_offset: leaf.parent_offset,
            key: (from, self.keys.len()),
        });
    }

    fn is_full(&self) -> bool {
        self.leaves.len() >= MOST || self.keys.len() >= MOST_BYTES
    }
}

/// A leaf that was found and is in no part yet.
#[derive(Debug)]
struct Pending {
    page: u64,
    parent: u64,
    parent_offset: u64,
    key: Vec<u8>,
}

/// Goes through the branches of a tree.
#[derive(Debug)]
pub(super) struct Leaves<'s> {
    source: Source<'s>,
    meta: Meta,
    seen: &'s SharedSeen,
    above: Vec<Branch>,
    order: Order,
    /// Levels of branches.
    depth: usize,
    pending: Option<Pending>,
}

impl<'s> Leaves<'s> {
    /// Begins at the page `root`, which `parent` refers to.
    pub(super) fn new(
        source: Source<'s>,
        meta: Meta,
        seen: &'s SharedSeen,
        root: u64,
        parent: (u64, u64),
    ) -> Result<Self, BoltError> {
        let mut own = Self {
            source,
            meta,
            seen,
            above: Vec::new(),
            order: Order::default(),
            depth: 0,
            pending: None,
        };
        own.depth = own.levels(root, parent)?;
        if own.depth == 0 {
            own.pending = Some(Pending {
                page: root,
                parent: parent.0,
                parent_offset: parent.1,
                key: Vec::new(),
            });
        } else {
            let branch = own.branch(root, parent)?;
            own.above.push(branch);
        }
        Ok(own)
    }

    /// The root is a leaf itself.
    pub(super) fn is_leaf(&self) -> bool {
        self.depth == 0
    }

    /// The next leaves; none: there are no more.
    pub(super) fn part(&mut self) -> Result<Part, BoltError> {
        let mut part = Part::default();
        if let Some(first) = self.pending.take() {
            part.push(&first);
        }
        while let Some(leaf) = self.next()? {
            if part.is_full() {
                part.behind = Some(leaf.key.clone());
                self.pending = Some(leaf);
                break;
            }
            part.push(&leaf);
        }
        Ok(part)
    }

    /// How many branches are above the first leaf. bbolt's trees are of one height everywhere
    /// (`node.spill` and `node.rebalance` only ever split, merge and remove beside each other).
    fn levels(&self, root: u64, mut parent: (u64, u64)) -> Result<usize, BoltError> {
        let mut page = root;
        for depth in 0..=DEEPEST {
            let (place, header) = self.header(page, parent)?;
            if header.flags != BRANCH {
                return Ok(depth);
            }
            let mut branch = Branch::read(&self.source, place, header, self.meta.page_size)?;
            // A branch has at least one child, or it would not have been read.
            page = branch.next_child().map_or(page, |(.., child)| child);
            parent = (place.page, place.offset + HEADER);
        }
        let what = "more levels of branches than there can be";
        Err(BoltError::damaged(root, root * self.meta.page_size, what))
    }

    fn header(&self, page: u64, parent: (u64, u64)) -> Result<(Place, Header), BoltError> {
        let offset = place_of(&self.meta, page, parent.0, parent.1)?;
        let mut bytes = [0; 16];
        self.source.fill(offset, &mut bytes)?;
        let header = Header::of(&bytes);
        Ok((Place::of_page(&self.meta, page, header)?, header))
    }

    fn branch(&self, page: u64, parent: (u64, u64)) -> Result<Branch, BoltError> {
        let (place, header) = self.header(page, parent)?;
        if header.flags != BRANCH {
            return Err(place.damaged(8, "a leaf where all others are branches"));
        }
        for own in page..=page + u64::from(header.overflow) {
            if !self.seen.add(own) {
                let what = format!("page {own} is referred to twice");
                return Err(BoltError::damaged(parent.0, parent.1, what));
            }
        }
        Branch::read(&self.source, place, header, self.meta.page_size)
    }

    fn next(&mut self) -> Result<Option<Pending>, BoltError> {
        loop {
            let lowest = self.above.len() == self.depth;
            let Some(branch) = self.above.last_mut() else {
                return Ok(None);
            };
            let place = branch.place;
            let Some((index, key, child)) = branch.next_child() else {
                self.above.pop();
                continue;
            };
            let at = HEADER + 16 * u64::from(index);
            if !self.order.pass(key, false) {
                let what = format!("the key of branch element {index} is out of order");
                return Err(place.damaged(at, what));
            }
            let parent = (place.page, place.offset + at);
            if lowest {
                let key = key.to_vec();
                place_of(&self.meta, child, parent.0, parent.1)?;
                return Ok(Some(Pending {
                    page: child,
                    parent: parent.0,
                    parent_offset: parent.1,
                    key,
                }));
            }
            let below = self.branch(child, parent)?;
            self.above.push(below);
        }
    }
}
