//! The way of a snapshot from the connection to the disk: in order, a few pieces at a time, and
//! no faster than the disk takes them.

use tokio::sync::mpsc;

use super::room::Guard;
use super::{TakeError, blocking};
use crate::backup::Progress;
use crate::backup::bundle::PartSink;
use crate::core::backup::manifest::Part;
use crate::etcd::SnapshotStream;

/// Pieces between connection and disk: 32 of 32 KiB are 1 MiB, enough to keep both busy. When it is
/// full, nothing more is read, and etcd waits.
const BETWEEN: usize = 32;
/// etcd appends the SHA-256 of whole pages; `etcdutl` tells by this that it is there
/// (`hasChecksum`, etcd `etcdutl/snapshot/v3_snapshot.go`).
const PAGE: u64 = 512;
const DIGEST: u64 = 32;

enum Piece {
    Bytes(Vec<u8>),
    /// All have come. Without it, the other side has given up.
    End,
}

/// Writes the whole of `snapshot` to `sink`.
pub(super) async fn store(
    mut snapshot: SnapshotStream,
    mut sink: PartSink,
    mut guard: Guard,
    progress: &Progress,
) -> Result<Part, TakeError> {
    progress.begin("streaming", 0);
    let (to_disk, mut pieces) = mpsc::channel(BETWEEN);
    let shown = progress.clone();
    let writing = tokio::spawn(blocking(move || {
        loop {
            match pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => {
                    sink.push(&bytes)?;
                    shown.advance(bytes.len() as u64);
                    guard.written(bytes.len() as u64)?;
                }
                Some(Piece::End) => {
                    shown.begin("syncing", 0);
                    return Ok(sink.finish()?);
                }
                None => return Err(TakeError::Ending),
            }
        }
    }));
    let read = read_all(&mut snapshot, &to_disk, progress).await;
    drop(to_disk);
    let written = writing.await.unwrap_or(Err(TakeError::Ending));
    // What broke the reading ended the writing, unless the writing itself had failed before.
    match (read, written) {
        (Err(error), Ok(_) | Err(TakeError::Ending)) => Err(error),
        (_, written) => written,
    }
}

async fn read_all(
    snapshot: &mut SnapshotStream,
    to_disk: &mpsc::Sender<Piece>,
    progress: &Progress,
) -> Result<(), TakeError> {
    while let Some(bytes) = snapshot.next().await? {
        let (received, remaining) = snapshot.position();
        progress.expect(received.saturating_add(remaining));
        if to_disk.send(Piece::Bytes(bytes)).await.is_err() {
            // The writer has failed and says why.
            return Err(TakeError::Ending);
        }
    }
    let (received, _) = snapshot.position();
    if received <= DIGEST || received % PAGE != DIGEST {
        return Err(TakeError::Cut {
            endpoint: snapshot.endpoint().to_owned(),
            received,
        });
    }
    let sent = to_disk.send(Piece::End).await;
    sent.map_err(|_| TakeError::Ending)
}
