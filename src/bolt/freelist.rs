//! The freelist: which pages are free, in ascending order, read in pieces.

use super::damage::BoltError;
use super::layout::{FREELIST, HEADER, Header, size, u64_at};
use super::meta::Meta;
use super::node::Place;
use super::seen::Seen;
use super::source::Source;

/// A count that does not fit into 16 bits is the first number of the list instead.
const LONG: u16 = 0xFFFF;
/// Page numbers read at one time.
const PIECE: u64 = 4096;

/// Marks the pages of the freelist at `page`, and the free ones; returns how many are free.
pub(super) fn check(
    source: &Source<'_>,
    meta: &Meta,
    page: u64,
    seen: &mut Seen,
) -> Result<u64, BoltError> {
    let page_size = meta.page_size;
    if page < 2 || page >= meta.high_water {
        let what = format!("the freelist is said to be page {page}");
        return Err(BoltError::damaged(0, 48, what));
    }
    let mut head = [0; 24];
    let offset = page * page_size;
    source.fill(offset, &mut head)?;
    let header = Header::of(&head);
    let overflow = u64::from(header.overflow);
    let place = Place {
        page,
        offset,
        limit: (overflow + 1).saturating_mul(page_size),
    };
    if header.id != page || header.flags != FREELIST {
        return Err(place.damaged(0, "the header of the freelist is not that of one"));
    }
    if page + overflow >= meta.high_water {
        let what = format!("{overflow} overflow pages go beyond the last page");
        return Err(place.damaged(12, what));
    }
    for own in page..=page + overflow {
        if !seen.add(own) {
            return Err(place.damaged(0, format!("page {own} of the freelist is used too")));
        }
    }
    let (count, first) = match header.count {
        LONG => (u64_at(&head, 16), HEADER + 8),
        count => (u64::from(count), HEADER),
    };
    let end = count
        .checked_mul(8)
        .and_then(|bytes| bytes.checked_add(first));
    if end.is_none_or(|end| end > place.limit) {
        return Err(place.damaged(10, format!("{count} free pages do not fit into the list")));
    }
    let mut buffer = vec![0; size(PIECE.min(count) * 8)];
    let mut last = 1;
    let mut done = 0;
    while done < count {
        let piece = PIECE.min(count - done);
        let at = first + done * 8;
        let bytes = buffer.get_mut(..size(piece * 8)).unwrap_or_default();
        source.fill(offset + at, bytes)?;
        for (index, id) in (0_u64..).zip(bytes.chunks_exact(8)) {
            let free = u64_at(id, 0);
            let at = at + index * 8;
            if free <= last || free >= meta.high_water {
                return Err(place.damaged(at, format!("free page {free} cannot be here")));
            }
            if !seen.add(free) {
                return Err(place.damaged(at, format!("free page {free} is in use")));
            }
            last = free;
        }
        done += piece;
    }
    Ok(count)
}
