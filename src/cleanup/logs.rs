//! The logs of containers as one archive: the kubelet's links, and what they lead to. In constant
//! memory; a log that grows meanwhile is taken as long as it was when it was opened.

use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Stat};
use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use super::error::CleanupError;
use crate::store::dir::{Dir, ReadError};
use crate::store::durable::DurableFile;

/// The archive's name in the quarantine.
pub(super) const ARCHIVE: &str = "logs.tar.zst";
/// Deepest directory: the kubelet's are two deep.
const DEPTH: usize = 16;
const LEVEL: i32 = 3;

type Archive = Builder<Encoder<'static, DurableFile>>;

/// What `dirs` hold at their top, where they are there.
pub(super) fn count(dirs: &[&Path]) -> usize {
    let of = |dir: &&Path| Dir::open(dir).and_then(|dir| dir.names());
    dirs.iter()
        .map(|dir| of(dir).map_or(0, |names| names.len()))
        .sum()
}

/// Archives everything below `dirs` as `logs.tar.zst` of `quarantine`; gives the number of files.
///
/// # Errors
/// Where something cannot be read or the archive not be written.
pub(super) fn archive(dirs: &[&Path], quarantine: &Dir) -> Result<usize, CleanupError> {
    let path = quarantine.path().join(ARCHIVE);
    let failed = |source| CleanupError::Archive {
        path: path.clone(),
        source,
    };
    let file = DurableFile::create_in(quarantine, ARCHIVE, 0o600)?;
    let mut archive = Builder::new(Encoder::new(file, LEVEL).map_err(failed)?);
    let mut count = 0;
    for dir in dirs {
        match Dir::open(dir) {
            Ok(opened) => {
                let below = dir.strip_prefix("/").unwrap_or(dir);
                pack(&mut archive, &opened, below, 0, &mut count, &failed)?;
            }
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let encoder = archive.into_inner().map_err(failed)?;
    encoder.finish().map_err(failed)?.finish()?;
    Ok(count)
}

fn pack(
    archive: &mut Archive,
    dir: &Dir,
    below: &Path,
    depth: usize,
    count: &mut usize,
    failed: &impl Fn(io::Error) -> CleanupError,
) -> Result<(), CleanupError> {
    for name in dir.names()? {
        // Gone meanwhile: the kubelet still runs, and removes logs.
        let Some(stat) = dir.stat(&name)? else {
            continue;
        };
        let path = below.join(&name);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth < DEPTH => match dir.sub(&name) {
                Ok(inner) => pack(archive, &inner, &path, depth + 1, count, failed)?,
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error.into()),
            },
            FileType::RegularFile => {
                let (file, stat) = match dir.open_file(&name) {
                    Ok(opened) => opened,
                    Err(error) if error.is_absent() => continue,
                    Err(error) => return Err(error.into()),
                };
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let mut header = header(&stat, EntryType::Regular, size);
                // One that was cut meanwhile is filled up: the size was written before it.
                let content = file.chain(io::repeat(0)).take(size);
                archive
                    .append_data(&mut header, &path, content)
                    .map_err(failed)?;
                *count += 1;
            }
            FileType::Symlink => {
                let target = match dir.read_link(&name) {
                    Ok(target) => target,
                    Err(error) if error.is_absent() => continue,
                    Err(error) => return Err(error.into()),
                };
                let mut header = header(&stat, EntryType::Symlink, 0);
                archive
                    .append_link(&mut header, &path, &target)
                    .map_err(failed)?;
                *count += 1;
            }
            _ => {}
        }
    }
    Ok(())
}

fn header(stat: &Stat, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header
}

/// The archive is in the quarantine, whole.
pub(super) fn archived(quarantine: &Dir) -> Result<bool, ReadError> {
    Ok(quarantine.stat(ARCHIVE)?.is_some())
}
