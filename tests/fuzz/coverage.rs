//! Which edges of the library an input reached: the counters that rustc's `sancov` pass puts in.
//!
//! Source: clang's "SanitizerCoverage", inline 8-bit counters.
#![allow(
    unsafe_code,
    reason = "the pass hands its counters over as two addresses; they are a static array of bytes \
              that lives as long as the program, and every access is atomic"
)]

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

static BEGIN: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// Called before `main` by each instrumented module, with the bounds of all counters.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *const u8, stop: *const u8) {
    BEGIN.store(start.addr(), Ordering::Relaxed);
    END.store(stop.addr(), Ordering::Relaxed);
    START.store(start.cast_mut(), Ordering::Relaxed);
}

static START: std::sync::atomic::AtomicPtr<u8> =
    std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());

/// The counters; none where nothing is instrumented.
fn counters() -> &'static [AtomicU8] {
    let length = Coverage::edges();
    if length == 0 {
        return &[];
    }
    // SAFETY: the linker's bounds of one section of bytes, writable and never freed; `AtomicU8` has
    // the layout of `u8`, and the instrumented code's plain increments are of this thread or lost.
    unsafe { std::slice::from_raw_parts(START.load(Ordering::Relaxed).cast::<AtomicU8>(), length) }
}

/// What was reached until now, and how often at once, in steps of powers of two.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    seen: Vec<u8>,
}

impl Coverage {
    /// Edges that are counted.
    pub(crate) fn edges() -> usize {
        END.load(Ordering::Relaxed)
            .saturating_sub(BEGIN.load(Ordering::Relaxed))
    }

    /// Forgets the last input's counts.
    pub(crate) fn reset() {
        for counter in counters() {
            if counter.load(Ordering::Relaxed) != 0 {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The input reached what none before it did.
    pub(crate) fn is_new(&mut self) -> bool {
        let counters = counters();
        self.seen.resize(counters.len(), 0);
        let mut new = false;
        for (counter, seen) in counters.iter().zip(&mut self.seen) {
            let count = counter.load(Ordering::Relaxed);
            if count != 0 {
                let bucket = 1 << (7 - count.leading_zeros());
                new |= *seen & bucket == 0;
                *seen |= bucket;
            }
        }
        new
    }

    /// Edges that were reached by any input.
    pub(crate) fn reached(&self) -> usize {
        self.seen.iter().filter(|seen| **seen != 0).count()
    }
}
