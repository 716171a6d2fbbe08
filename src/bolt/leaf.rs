//! The entries of one leaf, of which only a part may be in memory.

use super::damage::BoltError;
use super::layout::{BUCKET_ELEMENT, HEADER, Header, size};
use super::node::{LeafElement, Place};
use super::source::Source;
use super::value::Value;
use super::walk::Entry;

/// Bytes of a value that are read with its key where they are not in memory.
const AHEAD: u64 = 1 << 10;

/// Memory that is used again for each leaf.
#[derive(Debug, Default)]
pub(super) struct Room {
    table: Vec<u8>,
    entry: Vec<u8>,
    last: Vec<u8>,
}

/// Passes the entries of the leaf at `place` to `each`; `held` is its beginning. The keys must
/// ascend from the first bound on, and stay below the second.
pub(super) fn entries(
    source: Source<'_>,
    place: Place,
    header: Header,
    held: &[u8],
    bounds: (&[u8], Option<&[u8]>),
    room: &mut Room,
    each: &mut dyn FnMut(&Entry<'_>) -> Result<(), BoltError>,
) -> Result<u64, BoltError> {
    let Room { table, entry, last } = room;
    let begin = place.table_end(header.count)?;
    let table = if let Some(held) = held.get(size(HEADER)..size(begin)) {
        held
    } else {
        table.resize(size(begin - HEADER), 0);
        source.fill(place.offset + HEADER, table)?;
        table.as_slice()
    };
    let mut expected = begin;
    last.clear();
    for index in 0..header.count {
        let element = LeafElement::read(&place, table, index, expected)?;
        expected = element.end();
        let offset = place.offset + element.at;
        let data = match held.get(size(element.at)..) {
            Some(held) if held.len() >= size(element.key + element.value.min(AHEAD)) => held,
            _ => {
                entry.resize(size(element.key + element.value.min(AHEAD)), 0);
                source.fill(offset, entry)?;
                entry.as_slice()
            }
        };
        let data = data
            .get(..size(element.key + element.value))
            .unwrap_or(data);
        let (key, head) = data.split_at_checked(size(element.key)).unwrap_or_default();
        let found = Entry {
            page: place.page,
            offset,
            key,
            value: Value {
                source,
                offset: offset + element.key,
                length: element.value,
                head,
            },
        };
        let ascends = if index == 0 {
            key >= bounds.0
        } else {
            key > last.as_slice()
        };
        if !ascends || bounds.1.is_some_and(|behind| key >= behind) {
            let what = format!("the key of element {index} is out of order");
            return Err(found.damaged(what));
        }
        if element.flags & BUCKET_ELEMENT != 0 {
            return Err(found.damaged("a bucket within a bucket: etcd has none"));
        }
        each(&found)?;
        last.clear();
        last.extend_from_slice(key);
    }
    Ok(expected)
}
