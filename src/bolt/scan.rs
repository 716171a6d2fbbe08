//! A scan of one bucket: every entry once, in no order, by several threads.
//!
//! For a question that needs all keys and few values: of each leaf the page with its keys is read,
//! in the order of the file and in large pieces where they lie together; pages that only continue
//! a value are not, unless they lie between two that are. What [`super::Walk`] checks of the pages
//! that it meets is checked here too: the order of keys by what the branches say of each leaf.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::bucket::{Bucket, Root};
use super::damage::BoltError;
use super::layout::{BRANCH, Header, size};
use super::leaf::{self, Room};
use super::leaves::{Leaves, Part};
use super::meta::Meta;
use super::node::Place;
use super::seen::SharedSeen;
use super::source::Source;
use super::walk::{Entry, Walk};

/// Bytes that are read at once: less than a processor's own cache.
const PIECE: u64 = 256 << 10;
/// So many bytes that nobody needs are read along: cheaper than to ask once more.
const GAP: u64 = 32 << 10;

/// Passes every entry of `bucket` to `each`, on `threads` threads (at least one), each with a
/// state of its own that `state` makes; returns the states. A bucket within the bucket is damage.
///
/// # Errors
/// Damage, or what `each` says; which one, where there are several, is not defined.
pub fn scan<S: Send>(
    source: Source<'_>,
    meta: Meta,
    bucket: &Bucket,
    threads: usize,
    state: impl Fn() -> S,
    each: impl Fn(&mut S, &Entry<'_>) -> Result<(), BoltError> + Sync,
) -> Result<Vec<S>, BoltError> {
    let root = match &bucket.root {
        Root::Page(root) => *root,
        Root::Inline(..) => {
            let mut only = state();
            Walk::new(source, meta).bucket(bucket, &mut |entry| each(&mut only, entry))?;
            return Ok(vec![only]);
        }
    };
    let seen = SharedSeen::none_of(meta.high_water);
    for page in [0, 1] {
        seen.add(page);
    }
    let mut leaves = Leaves::new(source, meta, &seen, root, (bucket.page, bucket.offset))?;
    let lonely = leaves.is_leaf();
    let mut workers: Vec<(S, Memory)> = (0..threads.max(1))
        .map(|_| (state(), Memory::default()))
        .collect();
    loop {
        let part = leaves.part()?;
        if part.leaves().is_empty() {
            break;
        }
        let reading = Reading::new(source, meta, &seen, &part, lonely);
        // One thread is enough for little.
        let count = reading.pieces.len().div_ceil(4).clamp(1, workers.len());
        let run = |(state, memory): &mut (S, Memory)| {
            let ended = reading.run(memory, &mut |entry| each(state, entry));
            if ended.is_err() {
                reading.stop.store(true, Ordering::Relaxed);
            }
            ended
        };
        let (own, others) = workers.split_at_mut(1);
        let ended = std::thread::scope(|scope| {
            let others: Vec<_> = others
                .iter_mut()
                .take(count - 1)
                .map(|worker| scope.spawn(|| run(worker)))
                .collect();
            let mut ended: Vec<_> = own.iter_mut().map(run).collect();
            ended.extend(others.into_iter().map(|other| {
                let panicked = || BoltError::damaged(0, 0, "the reading thread ended early");
                other.join().unwrap_or_else(|_| Err(panicked()))
            }));
            ended
        });
        ended.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(workers.into_iter().map(|(state, _)| state).collect())
}

/// Memory of one thread, used again.
#[derive(Debug, Default)]
struct Memory {
    piece: Vec<u8>,
    room: Room,
}

/// The leaves of one part on their way to the threads.
struct Reading<'r> {
    source: Source<'r>,
    meta: Meta,
    seen: &'r SharedSeen,
    part: &'r Part,
    /// Indexes of the part's leaves in the order of the file.
    order: Vec<usize>,
    /// Ranges of `order` that are read at once.
    pieces: Vec<std::ops::Range<usize>>,
    next: AtomicUsize,
    stop: AtomicBool,
    /// The one leaf is the root, which may be empty.
    lonely: bool,
}

impl<'r> Reading<'r> {
    fn new(
        source: Source<'r>,
        meta: Meta,
        seen: &'r SharedSeen,
        part: &'r Part,
        lonely: bool,
    ) -> Self {
        let page = |index: &usize| part.leaves().get(*index).map_or(0, |leaf| leaf.page);
        let mut order: Vec<usize> = (0..part.leaves().len()).collect();
        order.sort_unstable_by_key(page);
        let mut pieces: Vec<std::ops::Range<usize>> = Vec::new();
        let (mut begin, mut last) = (0, 0);
        for (at, index) in order.iter().enumerate() {
            let page = page(index);
            let near = page.saturating_sub(last) * meta.page_size <= GAP;
            let fits = (page + 1).saturating_sub(begin) * meta.page_size <= PIECE;
            match pieces.last_mut() {
                Some(piece) if near && fits => piece.end = at + 1,
                _ => {
                    begin = page;
                    pieces.push(at..at + 1);
                }
            }
            last = page;
        }
        Self {
            source,
            meta,
            seen,
            part,
            order,
            pieces,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            lonely,
        }
    }

    /// Takes piece after piece until there is none.
    fn run(
        &self,
        memory: &mut Memory,
        each: &mut dyn FnMut(&Entry<'_>) -> Result<(), BoltError>,
    ) -> Result<(), BoltError> {
        while !self.stop.load(Ordering::Relaxed) {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = self.pieces.get(next) else {
                break;
            };
            self.piece(
                self.order.get(piece.clone()).unwrap_or_default(),
                memory,
                each,
            )?;
        }
        Ok(())
    }

    fn piece(
        &self,
        indexes: &[usize],
        memory: &mut Memory,
        each: &mut dyn FnMut(&Entry<'_>) -> Result<(), BoltError>,
    ) -> Result<(), BoltError> {
        let page_size = self.meta.page_size;
        let leaves = || {
            indexes
                .iter()
                .filter_map(|index| Some((*index, self.part.leaves().get(*index)?)))
        };
        let first = leaves().next().map_or(0, |(_, leaf)| leaf.page);
        let last = leaves().next_back().map_or(first, |(_, leaf)| leaf.page);
        let bytes = size((last + 1 - first) * page_size);
        if memory.piece.len() < bytes {
            memory.piece.resize(bytes, 0);
        }
        let Some(held) = memory.piece.get_mut(..bytes) else {
            return Ok(());
        };
        self.source.fill(first * page_size, held)?;
        for (index, leaf) in leaves() {
            let held = held
                .get(size((leaf.page - first) * page_size)..)
                .unwrap_or_default();
            let header = Header::of(held);
            let place = Place::of_page(&self.meta, leaf.page, header)?;
            if header.flags == BRANCH {
                return Err(place.damaged(8, "a branch where all others are leaves"));
            }
            let overflow = u64::from(header.overflow);
            for page in leaf.page..=leaf.page + overflow {
                if !self.seen.add(page) {
                    let what = format!("page {page} is referred to twice");
                    return Err(BoltError::damaged(leaf.parent, leaf.parent_offset, what));
                }
            }
            if header.count == 0 && !self.lonely {
                return Err(place.damaged(10, "a leaf without elements below a branch"));
            }
            let bounds = self.part.bounds(index);
            let room = &mut memory.room;
            let end = leaf::entries(self.source, place, header, held, bounds, room, each)?;
            place.check_overflow(header, end, page_size)?;
        }
        Ok(())
    }
}
