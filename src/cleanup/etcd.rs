//! etcd's data on this node: whose it is, whether somebody has it open, and the copy of its
//! database.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::error::CleanupError;
use super::kubelet::unit;
use crate::backup::Progress;
use crate::backup::verify::{self, Options, Verified};
use crate::containerd::clear::{Found, Owner};
use crate::core::cleanup::facts::{EtcdOwner, Unit};
use crate::store::chain;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::DurableFile;
use crate::store::lock;

/// The copy's name in the quarantine: as the seed document has it.
pub(super) const BACKUP: &str = "backup.db";
const DATABASE: &str = "db";
const PLACE: [&str; 2] = ["member", "snap"];
/// Read and written at once.
const PIECE: usize = 256 * 1024;

/// The directory of the database, where there is one. Links below the data directory are refused.
fn place(data_dir: &Path) -> Result<Option<Dir>, ReadError> {
    let found = Dir::open(data_dir).and_then(|dir| dir.sub(PLACE[0])?.sub(PLACE[1]));
    match found {
        Ok(dir) => Ok(dir.stat(DATABASE)?.map(|_| dir)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The database's path, where there is one.
pub(crate) fn database(data_dir: &Path) -> Result<Option<PathBuf>, ReadError> {
    Ok(place(data_dir)?.map(|dir| dir.path().join(DATABASE)))
}

/// Whether an etcd runs on it: bbolt holds a lock on its file for as long as it is open.
///
/// Source: bbolt `bolt_unix.go`, `flock`.
pub(crate) fn in_use(data_dir: &Path) -> Result<bool, CleanupError> {
    match place(data_dir)? {
        Some(dir) => Ok(lock::is_held(&dir, DATABASE)?),
        None => Ok(false),
    }
}

/// Whose it is.
pub(super) async fn owner(data_dir: &Path, unit_name: &str, containers: &[Found]) -> EtcdOwner {
    match unit(unit_name).await {
        Unit::Known(_) => return EtcdOwner::Unit(unit_name.to_owned()),
        Unit::Unknown(why) => return EtcdOwner::Unknown(why),
        Unit::NoSystemd | Unit::Missing => {}
    }
    match in_use(data_dir) {
        Err(error) => EtcdOwner::Unknown(chain(&error)),
        Ok(false) => EtcdOwner::Pod,
        Ok(true) if of_a_pod(data_dir, containers) => EtcdOwner::Pod,
        Ok(true) => EtcdOwner::Process,
    }
}

/// The process that has the lock is of a container of Kubernetes' or ours. Nobody found: it is not.
fn of_a_pod(data_dir: &Path, containers: &[Found]) -> bool {
    let Ok(Some(dir)) = place(data_dir) else {
        return false;
    };
    let Ok(Some(stat)) = dir.stat(DATABASE) else {
        return false;
    };
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
        return false;
    };
    let ours = || {
        containers
            .iter()
            .filter(|found| found.owner != Owner::Foreign)
    };
    let pids: BTreeSet<u32> = ours()
        .map(|found| found.pid)
        .filter(|pid| *pid != 0)
        .collect();
    let mut holders = holders(&locks, stat.st_ino).into_iter().peekable();
    holders.peek().is_some()
        && holders.all(|pid| {
            let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
            let cgroup = cgroup.unwrap_or_default();
            pids.contains(&pid) || ours().any(|found| cgroup.contains(&found.id))
        })
}

/// Processes that have a lock on a file of this number.
///
/// Source: `proc_locks(5)`.
pub(crate) fn holders(locks: &str, inode: u64) -> Vec<u32> {
    let held = locks.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let file = fields.get(5)?.rsplit(':').next()?;
        (fields.get(1) != Some(&"->") && file.parse() == Ok(inode)).then_some(())?;
        fields.get(4)?.parse().ok()
    });
    held.collect()
}

/// Copies the database to `quarantine` and proves that the copy is whole.
///
/// # Errors
/// Where an etcd runs on it, it cannot be copied, or what was copied is no whole database.
pub(super) fn copy_out(data_dir: &Path, quarantine: &Dir) -> Result<Verified, CleanupError> {
    let absent = || CleanupError::Ended(format!("{} holds no database", data_dir.display()));
    let dir = place(data_dir)?.ok_or_else(absent)?;
    if in_use(data_dir)? {
        return Err(CleanupError::EtcdRuns(dir.path().join(DATABASE)));
    }
    let (mut source, _) = dir.open_file(DATABASE)?;
    let mut copy = DurableFile::create_in(quarantine, BACKUP, 0o600)?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = source.read(&mut piece).map_err(|source| ReadError::Read {
            path: dir.path().join(DATABASE),
            source,
        })?;
        if length == 0 {
            break;
        }
        let written = copy.write_all(piece.get(..length).unwrap_or_default());
        written.map_err(|error| copy.failed_write(error))?;
    }
    copy.finish()?;
    verified(quarantine)
}

/// What the copy in the quarantine holds.
///
/// # Errors
/// Where there is none, or it is not whole.
pub(super) fn verified(quarantine: &Dir) -> Result<Verified, CleanupError> {
    let options = Options {
        raw: true,
        ..Options::default()
    };
    let path = quarantine.path().join(BACKUP);
    Ok(verify::verify_with(&path, &options, &Progress::default())?)
}

#[cfg(test)]
mod tests {
    use super::holders;

    #[test]
    fn who_holds_a_lock_is_read_from_the_kernel_s_list() {
        let text = "1: POSIX  ADVISORY  WRITE 77 08:01:42 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 5 fe:00:42 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 6 fe:00:42 0 EOF\n\
                    3: FLOCK  ADVISORY  WRITE 8 fe:00:43 0 EOF\nnonsense\n";
        assert_eq!(holders(text, 42), [77, 5]);
        assert_eq!(holders(text, 44), [] as [u32; 0]);
    }
}
