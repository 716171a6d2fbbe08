//! Bringing a large file to the disk while it is written, a piece at a time.
//!
//! Left to the last moment, the whole file goes to the disk in one burst, and who else waits for a
//! sync on that file system (etcd, for its log) waits for the burst: ext4 writes all of a file's
//! new blocks out before it commits the journal (`Documentation/filesystems/ext4`, `data=ordered`).

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes between two syncs: some 50 ms of a disk that writes 300 MiB/s.
const PIECE: u64 = 16 << 20; // 16 MiB

/// Syncs a file in a thread of its own while its owner goes on writing, at most one piece behind.
#[derive(Debug)]
pub(super) struct Behind {
    since: u64,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    due: SyncSender<()>,
    done: Receiver<io::Result<()>>,
    is_busy: bool,
}

impl Behind {
    /// Nothing is begun before the first piece is full: most files are smaller.
    pub(super) fn new() -> Self {
        Self {
            since: 0,
            thread: None,
        }
    }

    /// So many bytes were written to `file`. Waits where a whole piece is still on its way.
    ///
    /// # Errors
    /// What an earlier sync said: the disk is full, or fails.
    pub(super) fn wrote(&mut self, file: &File, bytes: usize) -> io::Result<()> {
        self.since = self.since.saturating_add(bytes as u64);
        if self.since < PIECE {
            return Ok(());
        }
        self.since = 0;
        if self.thread.is_none() {
            self.thread = Some(Thread::start(file.try_clone()?)?);
        }
        self.thread.as_mut().map_or(Ok(()), Thread::again)
    }
}

impl Behind {
    /// Waits for what is still on its way.
    ///
    /// # Errors
    /// What it said: the kernel tells of a failure once, so a later sync would not.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.thread.as_mut().map_or(Ok(()), Thread::settle)
    }
}

impl Thread {
    fn start(file: File) -> io::Result<Self> {
        let (due, orders) = sync_channel::<()>(1);
        let (tell, done): (Sender<io::Result<()>>, _) = channel();
        let run = move || {
            for () in orders {
                let synced = rustix::fs::fdatasync(&file).map_err(io::Error::from);
                if tell.send(synced).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("behind".to_owned());
        thread.spawn(run)?;
        Ok(Self {
            due,
            done,
            is_busy: false,
        })
    }

    fn again(&mut self) -> io::Result<()> {
        self.settle()?;
        self.due.send(()).map_err(|_| ended())?;
        self.is_busy = true;
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_busy) {
            self.done.recv().map_err(|_| ended())??;
        }
        Ok(())
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that syncs the file has ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_large_file_is_synced_on_the_way_and_a_small_one_has_no_thread() {
        let mut file = tempfile::tempfile().unwrap();
        let mut behind = Behind::new();
        let chunk = vec![7_u8; 1 << 20];
        for number in 1..=40 {
            file.write_all(&chunk).unwrap();
            behind.wrote(&file, chunk.len()).unwrap();
            assert_eq!(behind.thread.is_some(), number >= 16);
        }
    }

    #[test]
    fn what_the_disk_says_reaches_the_writer() {
        // A pipe cannot be synced.
        let (_reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut behind = Behind::new();
        let piece = usize::try_from(PIECE).unwrap();
        behind.wrote(&file, piece).unwrap();
        behind.settle().unwrap_err();
        behind.settle().unwrap();
    }
}
