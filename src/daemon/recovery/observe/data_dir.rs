//! A glance at etcd's data directory. Locks nothing: an etcd that starts is not held up.

use std::path::Path;

use crate::bolt::{Metas, Source};
use crate::cleanup::etcd::holders;
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::recovery::etcd_seen::DataDir;
use crate::store::dir::{Dir, ReadError};

const MEMBER: &str = "member";
const SNAP: &str = "snap";
const WAL: &str = "wal";
const DATABASE: &str = "db";

/// What is in `data_dir`.
pub(super) async fn look(data_dir: &Path) -> Reading<DataDir> {
    let dir = data_dir.to_owned();
    let looked = tokio::task::spawn_blocking(move || glance(&dir)).await;
    match looked {
        Ok(Ok(found)) => Reading::Known(found),
        Ok(Err(error)) => Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error)),
        Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error)),
    }
}

fn glance(data_dir: &Path) -> Result<DataDir, ReadError> {
    let Some(root) = there(Dir::open(data_dir))? else {
        return Ok(DataDir::Absent);
    };
    let Some(member) = there(root.sub(MEMBER))? else {
        return Ok(DataDir::Empty);
    };
    let damaged = |what: String| Ok(DataDir::Damaged(what));
    let (snap, wal) = (there(member.sub(SNAP))?, there(member.sub(WAL))?);
    let (Some(snap), Some(wal)) = (snap, wal) else {
        return damaged(format!("{MEMBER}/{SNAP} or {MEMBER}/{WAL} is not there"));
    };
    let logs = wal.names()?;
    let is_log = |name: &String| Path::new(name).extension().is_some_and(|end| end == WAL);
    if !logs.iter().any(is_log) {
        return damaged(format!("{MEMBER}/{WAL} holds no write-ahead log"));
    }
    let Some(stat) = snap.stat(DATABASE)? else {
        return damaged(format!("{MEMBER}/{SNAP}/{DATABASE} is not there"));
    };
    let locks = std::fs::read_to_string("/proc/locks").map_err(|source| ReadError::Read {
        path: "/proc/locks".into(),
        source,
    })?;
    let in_use = !holders(&locks, stat.st_ino).is_empty();
    let db_bytes = u64::try_from(stat.st_size).unwrap_or(0);
    // Whoever has it open writes to it meanwhile.
    if !in_use {
        let (file, _) = snap.open_file(DATABASE)?;
        if let Err(error) = Metas::read(&Source::new(&file, db_bytes)) {
            return damaged(format!("{MEMBER}/{SNAP}/{DATABASE}: {error}"));
        }
    }
    Ok(DataDir::Present { in_use, db_bytes })
}

fn there(opened: Result<Dir, ReadError>) -> Result<Option<Dir>, ReadError> {
    match opened {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
