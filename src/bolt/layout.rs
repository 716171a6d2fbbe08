//! Sizes, flags and little-endian numbers of the format.

/// Bytes of a page's header: id u64, flags u16, count u16, overflow u32.
pub(super) const HEADER: u64 = 16;
/// Bytes of an element, of a branch (position u32, key size u32, page u64) as of a leaf (flags u32,
/// position u32, key size u32, value size u32).
pub(super) const ELEMENT: u64 = 16;
/// Bytes of a bucket's header: root page u64, sequence u64.
pub(super) const BUCKET: usize = 16;
/// Longest key (`MaxKeySize`).
pub(super) const LONGEST_KEY: u64 = 32768;
/// Longest value (`MaxValueSize`).
pub(super) const LONGEST_VALUE: u64 = (1 << 31) - 2;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const META: u16 = 0x04;
pub(super) const FREELIST: u16 = 0x10;
/// Flag of a leaf's element that holds a bucket.
pub(super) const BUCKET_ELEMENT: u32 = 1;

/// The `N` bytes at `at`; zeros where there are none, which callers rule out by bounds first.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let part = at.checked_add(N).and_then(|end| bytes.get(at..end));
    part.and_then(|part| part.try_into().ok()).unwrap_or([0; N])
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// A size in memory of a number that was bounded before; too large becomes unusably large.
pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The header of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) id: u64,
    pub(super) flags: u16,
    pub(super) count: u16,
    pub(super) overflow: u32,
}

impl Header {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            id: u64_at(bytes, 0),
            flags: u16_at(bytes, 8),
            count: u16_at(bytes, 10),
            overflow: u32_at(bytes, 12),
        }
    }
}
