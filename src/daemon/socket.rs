//! Serves the published copy: the local socket, and the metrics over TCP where asked for.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::backups::Door;
use super::publish::Published;
use crate::api::Handle;
use crate::api::listen::{ListenError, listen};
use crate::api::server::{Limits, serve, serve_metrics};
use crate::config::Settings;
use crate::store::revisions::Revisions;

/// Opens the socket and starts serving it until `stop`.
pub(super) async fn open(
    settings: &Settings,
    published: watch::Receiver<Published>,
    revisions: Arc<Revisions>,
    backups: Door,
    recovery: super::recovery::Door,
    stop: &CancellationToken,
) -> Result<(), ListenError> {
    let handle = Handle {
        published,
        revisions,
        backups,
        recovery,
    };
    let limits = Limits::of(&settings.socket);
    let listener = listen(&settings.socket.path, &settings.socket.group)?;
    tokio::spawn(serve(
        listener,
        handle.clone(),
        limits.clone(),
        stop.clone(),
    ));
    if let Some(address) = settings.metrics.listen_address {
        // The metrics' address may not be up yet at boot: recovery does not wait for it.
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tokio::spawn(serve_metrics(listener, handle, limits, stop.clone()));
            }
            Err(error) => warn!(%address, %error, "metrics are not served over TCP"),
        }
    }
    Ok(())
}
