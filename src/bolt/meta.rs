//! The two meta pages: page size, root, high water mark. bbolt writes them in turn, so that one of
//! them is whole at any time; the valid one of the later transaction counts.

use super::damage::BoltError;
use super::layout::{Header, META, size, u32_at, u64_at};
use super::source::Source;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a meta behind its page's header, checksum included.
const META_BYTES: usize = 64;
/// Freelist "page" of a database whose freelist is not written (`NoFreelistSync`, as etcd's is on
/// Linux).
const NO_FREELIST: u64 = u64::MAX;

/// What a meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of a page: a power of two from 1024 to 65536.
    pub page_size: u64,
    /// Page of the root bucket.
    pub root: u64,
    /// Sequence of the root bucket.
    pub sequence: u64,
    /// Page of the freelist; `None`: the freelist is not written.
    pub freelist: Option<u64>,
    /// The first page number that is not in use.
    pub high_water: u64,
    /// Number of the transaction that wrote it.
    pub transaction: u64,
}

/// The pair.
#[derive(Debug)]
pub struct Metas {
    /// The one that counts.
    pub chosen: Meta,
    /// The other, or what is wrong with it.
    pub other: Result<Meta, BoltError>,
    /// Page number of the one that counts.
    pub page: u64,
}

impl Metas {
    /// Reads both and chooses as bbolt does.
    ///
    /// # Errors
    /// Where neither is valid: the first one's damage.
    pub fn read(source: &Source<'_>) -> Result<Self, BoltError> {
        let first = Meta::read(source, 0, 0);
        let second = match &first {
            Ok(meta) => Meta::read(source, 1, meta.page_size),
            // Where the second begins is only in the first: it is looked for, as bbolt does.
            Err(_) => (10..=16)
                .map(|power| Meta::read(source, 1, 1 << power))
                .find(Result::is_ok)
                .unwrap_or_else(|| Err(BoltError::damaged(1, 4096, "no meta page is found"))),
        };
        match (first, second) {
            (Ok(first), Ok(second)) if second.transaction > first.transaction => Ok(Self {
                chosen: second,
                other: Ok(first),
                page: 1,
            }),
            (Ok(first), second) => Ok(Self {
                chosen: first,
                other: second,
                page: 0,
            }),
            (Err(first), Ok(second)) => Ok(Self {
                chosen: second,
                other: Err(first),
                page: 1,
            }),
            (Err(first), Err(_)) => Err(first),
        }
    }

    /// The pair is as `Tx.WriteTo` writes it, which is how a snapshot is made: page 0 holds the
    /// meta of the transaction, page 1 the same with the transaction before.
    pub fn of_a_copy(&self) -> bool {
        self.page == 0
            && self.other.as_ref().is_ok_and(|other| {
                let earlier = self.chosen.transaction.checked_sub(1);
                earlier.is_some_and(|transaction| {
                    *other
                        == Meta {
                            transaction,
                            ..self.chosen
                        }
                })
            })
    }
}

impl Meta {
    /// Reads the meta of page `page` (0 or 1) where pages have `page_size` bytes.
    fn read(source: &Source<'_>, page: u64, page_size: u64) -> Result<Self, BoltError> {
        let offset = page * page_size;
        let damaged = |at: u64, what: String| Err(BoltError::damaged(page, offset + at, what));
        let mut bytes = [0_u8; 16 + META_BYTES];
        if source.bytes() < offset + 80 {
            return damaged(0, "the file ends before the end of this meta page".into());
        }
        source.fill(offset, &mut bytes)?;
        let header = Header::of(&bytes);
        let body = bytes.get(16..).unwrap_or_default();
        if u32_at(body, 0) != MAGIC {
            return damaged(
                16,
                "the magic number of a bbolt database is not here".into(),
            );
        }
        if u32_at(body, 4) != VERSION {
            return damaged(20, format!("format version {}, not 2", u32_at(body, 4)));
        }
        let sum = body.get(..META_BYTES - 8).map_or(0, fnv64a);
        if u64_at(body, META_BYTES - 8) != sum {
            return damaged(72, "the checksum of the meta page does not fit it".into());
        }
        if header.id != page || header.flags != META || header.count != 0 || header.overflow != 0 {
            return damaged(
                0,
                format!("the header of meta page {page} is not that of one"),
            );
        }
        let freelist = u64_at(body, 32);
        let meta = Self {
            page_size: u64::from(u32_at(body, 8)),
            root: u64_at(body, 16),
            sequence: u64_at(body, 24),
            freelist: (freelist != NO_FREELIST).then_some(freelist),
            high_water: u64_at(body, 40),
            transaction: u64_at(body, 48),
        };
        let sized = meta.page_size.is_power_of_two() && (1024..=65536).contains(&meta.page_size);
        if !sized || (page == 1 && meta.page_size != page_size) {
            return damaged(24, format!("a page size of {} bytes", meta.page_size));
        }
        if meta.high_water < 3 || meta.root < 2 || meta.root >= meta.high_water {
            return damaged(
                32,
                format!(
                    "root page {} of {} pages cannot be",
                    meta.root, meta.high_water
                ),
            );
        }
        let end = meta.high_water.checked_mul(meta.page_size);
        if end.is_none_or(|end| end > source.bytes()) {
            return damaged(
                56,
                format!(
                    "{} pages of {} bytes are in use, the file has {} bytes: its end is missing",
                    meta.high_water,
                    meta.page_size,
                    source.bytes()
                ),
            );
        }
        if size(meta.high_water) == usize::MAX {
            return damaged(56, "more pages than this machine can count".into());
        }
        Ok(meta)
    }
}

/// FNV-1a of 64 bits, the checksum of a meta page.
fn fnv64a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
