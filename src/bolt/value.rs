//! A value, which may be larger than what is held in memory.

use super::damage::BoltError;
use super::source::Source;

/// The value of an entry: its beginning in memory, the rest in the file.
#[derive(Debug, Clone, Copy)]
pub struct Value<'w> {
    pub(super) source: Source<'w>,
    /// Where it begins in the file.
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The whole value, or the beginning of a large one.
    pub(super) head: &'w [u8],
}

/// Bytes of a large value that are held at one time.
const CHUNK: usize = 64 << 10;

impl<'w> Value<'w> {
    /// Bytes of it.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Where it begins in the file.
    pub fn place(&self) -> u64 {
        self.offset
    }

    /// It has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Its beginning: of a walk all of it up to 128 KiB, and never less than that of a longer one;
    /// of a scan all of it or at least 1 KiB.
    pub fn head(&self) -> &'w [u8] {
        self.head
    }

    /// All of it, where it is no longer than what [`Value::head`] holds.
    pub fn whole(&self) -> Option<&'w [u8]> {
        (u64::try_from(self.head.len()) == Ok(self.length)).then_some(self.head)
    }

    /// Copies up to 24 bytes from `at` on; returns how many there are.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn peek(&self, at: u64, buffer: &mut [u8; 24]) -> Result<usize, BoltError> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let Some(wanted) = buffer.get_mut(..count) else {
            return Ok(0);
        };
        let held = usize::try_from(at).ok().and_then(|at| {
            let end = at.checked_add(count)?;
            self.head.get(at..end)
        });
        match held {
            Some(held) => wanted.copy_from_slice(held),
            None => self.source.fill(self.offset.saturating_add(at), wanted)?,
        }
        Ok(count)
    }

    /// Passes all bytes of it through `take`, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn each_chunk(&self, mut take: impl FnMut(&[u8])) -> Result<(), BoltError> {
        take(self.head);
        let mut at = u64::try_from(self.head.len()).unwrap_or(u64::MAX);
        if at >= self.length {
            return Ok(());
        }
        let mut buffer = vec![0_u8; CHUNK];
        while at < self.length {
            let left = usize::try_from(self.length - at).unwrap_or(usize::MAX);
            let count = left.min(CHUNK);
            let Some(part) = buffer.get_mut(..count) else {
                break;
            };
            self.source.fill(self.offset.saturating_add(at), part)?;
            take(part);
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}
