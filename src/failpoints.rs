//! Named crash points of the kill tests: between every two steps of every file operation.
//!
//! With the feature `failpoints`, `REKINDLE_KILL_AT=<name>[:n]` makes the process send itself
//! SIGKILL at the n-th time it comes by (default 1). Without the feature, [`hit`] is empty.
//!
//! The crate `fail` is not used: its actions are panic, return, sleep and print, none of which is
//! a kill. A panic unwinds in tests and runs the destructors that a kill must not run, and a
//! callback that kills would have to be registered in every process before the first point.

/// Every crash point there is. A test proves that this table and the calls in `src` agree.
pub const ALL: &[&str] = &[
    "durable.temp-created",
    "durable.temp-half-written",
    "durable.temp-written",
    "durable.temp-attributed",
    "durable.temp-synced",
    "durable.renamed",
    "durable.rename-synced",
    "durable.unlinking",
    "durable.unlinked",
    "durable.unlink-synced",
    "durable.directory-made",
    "durable.directory-synced",
    "durable.link-made",
    "durable.link-renamed",
    "durable.moved",
    "durable.move-synced",
    "durable.discard-moved",
    "durable.discarded",
    "durable.tree-begun",
    "durable.tree-file-made",
    "durable.tree-directory-synced",
    "durable.tree-synced",
    "durable.tree-renamed",
    "durable.tree-rename-synced",
    "stream.created",
    "stream.chunk-written",
    "stream.written",
    "stream.synced",
    "stream.renamed",
    "stream.rename-synced",
    "stream.nameless-created",
    "parts.begun",
    "parts.written",
    "parts.synced",
    "parts.named",
    "parts.finished",
    "bundle.begun",
    "bundle.part-finished",
    "bundle.manifest-written",
    "bundle.signed",
    "bundle.sealed",
    "rehearse.scratch-made",
    "rehearse.unpacked",
    "rehearse.restoring",
    "rehearse.restored",
    "rehearse.etcd-started",
    "rehearse.reading",
    "rehearse.read",
    "upload.noted",
    "upload.object-done",
    "upload.part-sent",
    "upload.begun",
    "upload.completed",
    "upload.catalogued",
    "index.damaged-moved",
    "index.updated",
    "restore.staged",
    "restore.settled",
    "restore.published",
    "recover.staged",
    "recover.written",
    "state.good-marked",
    "state.previous-kept",
    "state.committed",
    "state.reserve-released",
    "revision.place-made",
    "revision.damaged-moved",
    "revision.stored",
    "revision.dropped",
    "checkpoint.older-removed",
    "checkpoint.removed",
    "manifest.written",
    "manifest.removed",
    "turn.committing",
    "turn.committed",
    "action.starting",
    "action.ended",
    "high-water.damaged-moved",
    "high-water.recorded",
    "move.copy-renamed",
    "move.copy-file-written",
    "move.renamed",
    "move.synced",
    "cleanup.step-begun",
    "cleanup.step-done",
    "cleanup.listed",
    "cleanup.taken",
    "cleanup.copied",
    "cleanup.put-back",
    "prune.discarded",
    "prune.forgotten",
    "append.half-written",
    "append.written",
    "append.synced",
    "append.cut",
    "report.recorded",
    "report.paged",
    "report.dropped",
    "fresh.linked",
    "fresh.synced",
    "start.moved-aside",
    "start.secrets-placed",
    "start.secrets-removed",
    "start.put-back",
    "start.manifest-placed",
    "start.manifest-removed",
    "start.recorded",
    "start.acted",
    "hold.placing",
    "hold.placed",
    "hold.released",
    "quarantine.copied",
    "quarantine.snapshot-written",
    "recovery-etcd.recorded",
    "recovery-etcd.step-done",
    "recovery-etcd.manifest-kept",
    "recovery-etcd.manifest-taken",
    "recovery-etcd.pod-killed",
    "recovery-etcd.manifest-back",
    "recovery-etcd.old-aside",
    "recovery-etcd.new-in-place",
    "recovery-etcd.member-aside",
    "recovery-etcd.joining-kept",
    "recovery-etcd.joining-taken",
    "replace-etcd.recorded",
    "replace-etcd.step-done",
    "recovery.recording",
    "recovery.recorded",
    "recovery.act",
    "recovery.acted",
    "recovery.ended",
    "recovery.closing",
    "guard.committed",
    "guard.content-kept",
    "guard.copy-kept",
    "guard.copy-forgotten",
    "guard.kept-aside",
    "guard.recorded",
    "guard.put-back",
    "guard.undone",
];

/// Passes the crash point `name`, which must be in [`ALL`].
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_name: &'static str) {}

/// Passes the crash point `name`, which must be in [`ALL`]; ends the process there if asked to.
#[cfg(feature = "failpoints")]
pub fn hit(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static TARGET: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let target = TARGET.get_or_init(|| {
        let text = std::env::var_os("REKINDLE_KILL_AT")?.into_string().ok()?;
        Some(match text.rsplit_once(':') {
            Some((name, count)) => (name.to_owned(), count.parse().unwrap_or(1)),
            None => (text, 1),
        })
    });
    let Some((wanted, count)) = target else {
        return;
    };
    if wanted != name || PASSED.fetch_add(1, Ordering::SeqCst) + 1 != *count {
        return;
    }
    // Nothing may run after the kill, not even the caller's next line.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}
