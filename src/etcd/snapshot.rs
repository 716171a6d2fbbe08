//! The snapshot of one member, piece by piece, with a deadline between two pieces and none for
//! the whole (scenario B11).

use std::time::Duration;

use etcd_client::SnapshotStreaming;

use super::{Etcd, EtcdError};

/// A snapshot on its way. etcd sends pieces of 32 KiB (`snapshotSendBufferSize`, etcd 3.4 and
/// 3.5, `api/v3rpc/maintenance.go`), the last one being the SHA-256 of all others; and it sends no
/// faster than they are taken.
pub struct SnapshotStream {
    endpoint: String,
    stream: SnapshotStreaming,
    chunk_deadline: Duration,
    received: u64,
    remaining: u64,
}

impl std::fmt::Debug for SnapshotStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStream")
            .field("endpoint", &self.endpoint)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Etcd {
    /// Begins the snapshot of the member at `endpoint`.
    ///
    /// # Errors
    /// Why it does not begin within the deadline.
    pub async fn snapshot(&self, endpoint: &str) -> Result<SnapshotStream, EtcdError> {
        let mut client = self.client(endpoint).await?;
        let stream = self.call(endpoint, "a snapshot", client.snapshot()).await?;
        Ok(SnapshotStream {
            endpoint: endpoint.to_owned(),
            stream,
            chunk_deadline: self.settings.chunk_deadline,
            received: 0,
            remaining: 0,
        })
    }
}

impl SnapshotStream {
    /// The next piece; `None`: it was whole as far as the connection can tell. The digest at its
    /// end is not looked at here.
    ///
    /// # Errors
    /// [`EtcdError::Stalled`] where it does not come in time, [`EtcdError::BrokeOff`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, EtcdError> {
        let endpoint = || self.endpoint.clone();
        let received = self.received;
        let broke_off = |cause: String| EtcdError::BrokeOff {
            endpoint: endpoint(),
            received,
            cause,
        };
        match tokio::time::timeout(self.chunk_deadline, self.stream.message()).await {
            Err(_) => Err(EtcdError::Stalled {
                endpoint: endpoint(),
                after: self.chunk_deadline,
                received,
            }),
            Ok(Err(error)) => match EtcdError::of("", "", &error) {
                EtcdError::Unreachable { cause, .. } | EtcdError::Unreadable { cause, .. } => {
                    Err(broke_off(cause))
                }
                EtcdError::Refused { message, .. } => Err(broke_off(message)),
                other => Err(other),
            },
            Ok(Ok(None)) if self.remaining > 0 => {
                let left = self.remaining;
                Err(broke_off(format!("{left} bytes had still been announced")))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(piece))) => {
                let blob = piece.blob().to_vec();
                self.received = self.received.saturating_add(blob.len() as u64);
                self.remaining = piece.remaining_bytes();
                Ok(Some(blob))
            }
        }
    }

    /// Bytes that have come, and that the member has announced to be still to come.
    pub fn position(&self) -> (u64, u64) {
        (self.received, self.remaining)
    }

    /// Where it comes from.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}
