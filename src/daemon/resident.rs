//! Gives the pages of our own program back that only the start needed.
//!
//! The kernel maps up to 16 pages around each that is touched, so most of what is resident of a
//! program after its start is code that ran once or never. Dropped from the page table it costs
//! nothing: it is still in the page cache, and what is touched again is mapped again.

use std::ffi::c_void;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The start is over.
const FIRST: Duration = Duration::from_secs(60);
/// What a backup or a request has touched since. Mapping again what the loop needs takes below a
/// millisecond.
const EVERY: Duration = Duration::from_secs(300);
/// This process's mappings; the kernel's file.
const MAPS: &str = "/proc/self/smaps";
/// The file that this process runs.
const PROGRAM: &str = "/proc/self/exe";

/// Gives them back after the start and every five minutes, until `shutdown`.
pub(super) async fn keep_small(shutdown: CancellationToken) {
    let mut pause = FIRST;
    while shutdown
        .run_until_cancelled(tokio::time::sleep(pause))
        .await
        .is_some()
    {
        pause = EVERY;
        match give_back() {
            Ok(bytes) => debug!(bytes, "pages of the program given back"),
            Err(error) => debug!(%error, "pages of the program are not given back"),
        }
    }
}

/// Drops the pages of every mapping that [`mappings`] finds; how many bytes those span.
fn give_back() -> io::Result<usize> {
    let program = std::fs::read_link(PROGRAM)?;
    let smaps = std::fs::read_to_string(MAPS)?;
    let mut dropped = 0;
    for (start, length) in mappings(&smaps, &program) {
        let address: *mut c_void = std::ptr::with_exposed_provenance_mut(start);
        #[expect(
            unsafe_code,
            reason = "the range is one whole mapping of our own program's file that nobody can \
                      write to and that has no page of its own: each page that is dropped is read \
                      from the same place of the same file when it is touched again, so no content \
                      that anybody sees changes"
        )]
        // SAFETY: see the reason above.
        unsafe {
            rustix::mm::madvise(address, length, rustix::mm::Advice::LinuxDontNeed)?;
        }
        dropped += length;
    }
    Ok(dropped)
}

/// Mappings of `program` that cannot be written to and of which no page differs from the file: its
/// code and its constants. What the loader has relocated has pages of its own (`Anonymous`) and is
/// left out. Source: Linux `Documentation/filesystems/proc.rst`, `/proc/PID/smaps`.
fn mappings(smaps: &str, program: &Path) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(range) = head(line, program) {
            candidate = range;
        } else if let Some(own) = line.strip_prefix("Anonymous:") {
            if own.trim() == "0 kB" {
                found.extend(candidate);
            }
            candidate = None;
        }
    }
    found
}

/// `None`: no head of a mapping. `Some(None)`: the head of one that is left alone.
#[expect(
    clippy::option_option,
    reason = "no head, or one with or without a range"
)]
fn head(line: &str, program: &Path) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let unwritable = matches!(words.next(), Some("r--p" | "r-xp"));
    // Offset, device, inode, then the path, which may hold spaces.
    let path = line.find('/').map(|at| Path::new(&line[at..]));
    let ours = unwritable && path == Some(program);
    Some(ours.then(|| (start, end.saturating_sub(start))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r--p 00000000 fe:00 7                          /usr/bin/rekindle
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
3000-9000 r-xp 00002000 fe:00 7                          /usr/bin/rekindle
Anonymous:             0 kB
9000-a000 r--p 00008000 fe:00 7                          /usr/bin/rekindle
Anonymous:             4 kB
a000-b000 rw-p 00009000 fe:00 7                          /usr/bin/rekindle
Anonymous:             0 kB
b000-c000 r-xp 00000000 fe:00 8                          /lib/libc.so.6
Anonymous:             0 kB
c000-d000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             4 kB
";

    #[test]
    fn only_what_is_as_in_the_file_and_cannot_be_written() {
        let found = mappings(SMAPS, Path::new("/usr/bin/rekindle"));
        assert_eq!(found, [(0x1000, 0x2000), (0x3000, 0x6000)]);
        assert_eq!(mappings(SMAPS, Path::new("/usr/bin/other")), []);
    }

    #[test]
    fn this_very_program_runs_on_without_its_pages() {
        let dropped = give_back().unwrap();
        assert!(dropped > 1 << 20, "{dropped} bytes");
        assert!(give_back().is_ok(), "and again");
    }
}
