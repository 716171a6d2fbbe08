//! The tool of etcd restores the snapshot into the scratch directory.

use std::path::Path;
use std::time::Duration;

use super::child::{Child, Watch};
use super::confine::Confinement;
use super::error::{Stop, failed};
use super::scratch::Scratch;
use crate::backup::Progress;
use crate::failpoints::hit;

/// Name of the only member.
pub(super) const NAME: &str = "rehearsal";
/// Its peer's address: nobody listens there and nobody is told.
pub(super) const PEER: &str = "http://127.0.0.1:1";
/// The data directory in the scratch directory.
pub(super) const DATA: &str = "data";

/// Between two looks at a child.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Restores `snapshot` of `bytes` bytes with `tool`.
pub(super) async fn restore(
    tool: &Path,
    snapshot: &Path,
    (scratch, confinement): (&Scratch, &Confinement),
    token: &str,
    (bytes, stall): (u64, Duration),
    progress: &Progress,
) -> Result<(), Stop> {
    progress.begin("restoring", bytes);
    let mut command = confinement.command(tool);
    command
        .args(["snapshot", "restore"])
        .arg(snapshot)
        .arg(format!("--data-dir={DATA}"))
        .arg(format!("--name={NAME}"))
        .arg(format!("--initial-cluster={NAME}={PEER}"))
        .arg(format!("--initial-advertise-peer-urls={PEER}"))
        .arg(format!("--initial-cluster-token={token}"));
    let name = tool.file_name().unwrap_or_default().to_string_lossy();
    let mut child = Child::start(command, &name, scratch.path(), confinement.memory_bytes)?;
    hit("rehearse.restoring");
    let database = scratch.path().join(DATA).join("member/snap/db");
    let mut watch = Watch::begin(stall);
    let mut done = 0;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| Stop::Failed(format!("{name}: {error}")))?;
                if !status.success() {
                    let story = child.story(status).await;
                    return failed(format!("the snapshot cannot be restored: {story}"));
                }
                hit("rehearse.restored");
                return Ok(());
            }
            _ = look.tick() => {
                let grown = std::fs::metadata(&database).map_or(0, |meta| meta.len());
                progress.advance(grown.saturating_sub(done));
                done = done.max(grown);
                if let Some(hang) = watch.look(child.moved().wrapping_add(grown)) {
                    let said = child.last_words();
                    child.kill().await;
                    return failed(format!("{name} hangs while it restores: {hang}{said}"));
                }
            }
        }
    }
}
