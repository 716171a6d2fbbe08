//! A tree of files copied to another file system, whole: read back and compared before it gets its
//! name. Owners, modes, times and links are kept; sockets, pipes and devices are not copied.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{AtFlags, FileType, Stat, Timespec, Timestamps};
use sha2::{Digest, Sha256};

use super::{
    Attributes, Dir, DurableError, create, hit, named, remove_for_good, rename, set_attributes,
    sync, sync_file, temporary_name, tree,
};

/// Deepest directory that is copied.
const DEPTH: usize = 128;
/// Read and written at once.
const PIECE: usize = 256 * 1024;

/// Copies `name` of `from` to `to_name` in `to`, where nothing may stand. Gives the paths below it
/// that were left out: they have no content.
///
/// # Errors
/// The step that failed, also where what was read back is not what was written.
pub fn copy_in(
    from: &Dir,
    name: &str,
    to: &Dir,
    to_name: &str,
) -> Result<Vec<String>, DurableError> {
    named(to, to_name)?;
    let temp = temporary_name();
    let mut left_out = Vec::new();
    let copied = copy(from, name, to, &temp, name, 0, &mut left_out)
        // A socket by itself has no copy.
        .and_then(|()| match to.stat(&temp)? {
            Some(_) => rename(to, &temp, to, to_name),
            None => Ok(()),
        });
    if let Err(error) = copied {
        // The first error is the one to report; a leftover is swept by the next run.
        let _ = remove_for_good(to, &temp);
        return Err(error);
    }
    hit("move.copy-renamed");
    sync(to)?;
    Ok(left_out)
}

fn copy(
    from: &Dir,
    name: &str,
    to: &Dir,
    to_name: &str,
    path: &str,
    depth: usize,
    left_out: &mut Vec<String>,
) -> Result<(), DurableError> {
    let Some(stat) = from.stat(name)? else {
        return Err(failed(from, name, io::ErrorKind::NotFound.into()));
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => copy_file(from, name, to, to_name),
        FileType::Symlink => copy_link(from, name, to, to_name, &stat),
        FileType::Directory if depth >= DEPTH => {
            let deep = io::Error::other("it is too deep");
            Err(failed(from, name, deep))
        }
        FileType::Directory => {
            let (source, target) = (from.sub(name)?, tree::new_dir(to, to_name)?);
            for entry in source.names()? {
                let path = format!("{path}/{entry}");
                copy(&source, &entry, &target, &entry, &path, depth + 1, left_out)?;
            }
            set_attributes(target.fd(), target.path(), &attributes(&stat))?;
            set_times(target.fd(), &target, "", &stat)?;
            sync(&target)
        }
        _ => {
            left_out.push(path.to_owned());
            Ok(())
        }
    }
}

fn copy_file(from: &Dir, name: &str, to: &Dir, to_name: &str) -> Result<(), DurableError> {
    let (mut source, stat) = from.open_file(name)?;
    let path = to.path().join(to_name);
    let target = create(to, to_name).map_err(|errno| DurableError::Create {
        path: path.clone(),
        source: errno.into(),
    })?;
    let mut writer: &File = &target;
    let written = pass(&mut source, |piece| writer.write_all(piece));
    let written = written.map_err(|source| DurableError::Write {
        path: path.clone(),
        source,
    })?;
    set_attributes(&target, &path, &attributes(&stat))?;
    set_times(&target, to, to_name, &stat)?;
    sync_file(&target, &path)?;
    hit("move.copy-file-written");
    let (mut copied, _) = to.open_file(to_name)?;
    let read = pass(&mut copied, |_| Ok(())).map_err(|source| DurableError::Write {
        path: path.clone(),
        source,
    })?;
    if read != written {
        let source = io::Error::other("what was read back is not what was written");
        return Err(DurableError::Write { path, source });
    }
    Ok(())
}

/// The digest of everything in `source`, which goes to `with` piece by piece.
fn pass(source: &mut File, mut with: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(length) => {
                let read = piece.get(..length).unwrap_or_default();
                digest.update(read);
                with(read)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn copy_link(
    from: &Dir,
    name: &str,
    to: &Dir,
    to_name: &str,
    stat: &Stat,
) -> Result<(), DurableError> {
    let target = from.read_link(name)?;
    let a = attributes(stat);
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(a.uid),
        rustix::fs::Gid::from_raw(a.gid),
    );
    let made = rustix::fs::symlinkat(&target, to.fd(), to_name).and_then(|()| {
        let at = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(to.fd(), to_name, Some(uid), Some(gid), at)
    });
    made.map_err(|errno| DurableError::Create {
        path: to.path().join(to_name),
        source: errno.into(),
    })
}

fn attributes(stat: &Stat) -> Attributes {
    Attributes {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

#[expect(
    clippy::cast_possible_wrap,
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    reason = "the fields' types differ between architectures"
)]
fn set_times(
    fd: impl std::os::fd::AsFd,
    dir: &Dir,
    name: &str,
    stat: &Stat,
) -> Result<(), DurableError> {
    let time = |seconds: i64, nanos: i64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanos.into(),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime as i64, stat.st_atime_nsec as i64),
        last_modification: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
    };
    rustix::fs::futimens(fd, &times).map_err(|errno| DurableError::Attributes {
        path: dir.path().join(name),
        source: errno.into(),
    })
}

fn failed(dir: &Dir, name: &str, source: io::Error) -> DurableError {
    let path = dir.path().join(name);
    DurableError::Create { path, source }
}
