//! Which edges of the library an input reached: the counters that rustc's `sancov` pass puts in.
//!
//! Source: clang's documentation of its coverage pass, inline 8-bit counters.
#![allow(
    unsafe_code,
    reason = "the pass hands its counters over as two addresses; they are a static array of bytes \
              that lives as long as the program, and every access is atomic"
)]

use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

static START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static END: AtomicUsize = AtomicUsize::new(0);

/// Called before `main` by each instrumented module, with the bounds of all counters.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    START.store(start, Ordering::Relaxed);
    END.store(stop.addr(), Ordering::Relaxed);
}

/// The counters, eight in a word; none where nothing is instrumented. The few at the ends that
/// fill no word are left out.
fn words() -> &'static [AtomicU64] {
    let length = Coverage::edges();
    if length == 0 {
        return &[];
    }
    let start = START.load(Ordering::Relaxed);
    // SAFETY: the linker's bounds of one section of bytes, writable and never freed; any eight of
    // them in a row are an `AtomicU64`, and the instrumented code's own increments are of one byte
    // each: one that is lost is a count that is one too low.
    unsafe {
        let bytes = std::slice::from_raw_parts(start.cast::<AtomicU8>(), length);
        bytes.align_to::<AtomicU64>().1
    }
}

/// What was reached until now, and how often at once, in steps of powers of two.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    seen: Vec<[u8; 8]>,
}

impl Coverage {
    /// Edges that are counted.
    pub(crate) fn edges() -> usize {
        let end = END.load(Ordering::Relaxed);
        end.saturating_sub(START.load(Ordering::Relaxed).addr())
    }

    /// Forgets the last input's counts.
    pub(crate) fn reset() {
        for word in words() {
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The input reached what none before it did.
    pub(crate) fn is_new(&mut self) -> bool {
        let words = words();
        self.seen.resize(words.len(), [0; 8]);
        let mut new = false;
        for (word, seen) in words.iter().zip(&mut self.seen) {
            let counts = word.load(Ordering::Relaxed);
            if counts == 0 {
                continue;
            }
            for (count, seen) in counts.to_ne_bytes().into_iter().zip(seen) {
                if count != 0 {
                    let step = 1 << count.ilog2();
                    new |= *seen & step == 0;
                    *seen |= step;
                }
            }
        }
        new
    }

    /// Edges that were reached by any input.
    pub(crate) fn reached(&self) -> usize {
        let seen = self.seen.iter().flatten();
        seen.filter(|seen| **seen != 0).count()
    }
}
