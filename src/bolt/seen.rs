//! Which pages were met: one bit for each.

use std::sync::atomic::{AtomicU64, Ordering};

/// A set of page numbers below a bound.
#[derive(Debug)]
pub(super) struct Seen {
    words: Vec<u64>,
    count: u64,
}

impl Seen {
    /// Nothing of `bound` pages, which the caller has compared with the size of the file.
    pub(super) fn none_of(bound: u64) -> Self {
        let words = usize::try_from(bound.div_ceil(64)).unwrap_or(0);
        Self {
            words: vec![0; words],
            count: 0,
        }
    }

    /// Adds a page; false where it is there already, or beyond the bound.
    pub(super) fn add(&mut self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok();
        let Some(word) = word.and_then(|at| self.words.get_mut(at)) else {
            return false;
        };
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.count += u64::from(new);
        new
    }

    /// How many pages it holds.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The first page below `bound` that it does not hold.
    pub(super) fn first_missing(&self, bound: u64) -> Option<u64> {
        let at = self.words.iter().position(|word| *word != u64::MAX)?;
        let word = self.words.get(at)?;
        let page = u64::try_from(at).ok()? * 64 + u64::from(word.trailing_ones());
        (page < bound).then_some(page)
    }
}

/// The same for several threads.
#[derive(Debug)]
pub(super) struct SharedSeen(Vec<AtomicU64>);

impl SharedSeen {
    /// Nothing of `bound` pages, which the caller has compared with the size of the file.
    pub(super) fn none_of(bound: u64) -> Self {
        let words = usize::try_from(bound.div_ceil(64)).unwrap_or(0);
        Self(
            std::iter::repeat_with(AtomicU64::default)
                .take(words)
                .collect(),
        )
    }

    /// Adds a page; false where it is there already, or beyond the bound.
    pub(super) fn add(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok();
        let Some(word) = word.and_then(|at| self.0.get(at)) else {
            return false;
        };
        let bit = 1 << (page % 64);
        // Only this bit counts, nothing is handed over with it.
        word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}
