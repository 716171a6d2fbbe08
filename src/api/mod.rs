//! The local socket: wire types, server, client.
//!
//! HTTP/1.1 with JSON over a unix socket. [`listen`] opens the socket or takes it from systemd,
//! [`peer`] says who may do what, [`server`] bounds what a client can cost, [`routes`] answers
//! from the published copy, [`client`] asks. Nothing here changes the daemon's state; a backup that
//! is asked for is taken by the daemon's own task.

pub mod client;
pub mod details;
pub mod listen;
pub mod peer;
mod recovery;
pub mod routes;
pub mod server;
pub mod wire;

use std::sync::Arc;

use tokio::sync::watch;

use crate::daemon::backups::Door;
use crate::daemon::publish::Published;
use crate::store::revisions::Revisions;

/// What the server answers from.
#[derive(Clone)]
pub struct Handle {
    /// The daemon's published copy.
    pub published: watch::Receiver<Published>,
    /// What only the disk knows. Read on its own thread, never on the loop's.
    pub revisions: Arc<Revisions>,
    /// Where a backup is asked for.
    pub backups: Door,
    /// Where recovery mode is asked.
    pub recovery: crate::daemon::recovery::Door,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
