//! Reading the host's files of a bundle back: all of them into a directory, or one.
//!
//! The part's digest is compared before a byte of it is believed. What only a forger would write
//! (devices, `..`, a name through a link) is refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use super::error::BundleError;
use super::{Bundle, CHUNK};
use crate::backup::Progress;
use crate::store::dir::Dir;

/// Links that are followed to a file.
const HOPS: usize = 8;
/// Most bytes that are unpacked; writing allows less.
const BYTES_LIMIT: u64 = 1 << 30; // 1 GiB

type Unpacked<'a> = Archive<zstd::stream::read::Decoder<'a, io::BufReader<File>>>;

/// Unpacks the host's files below `into`, an empty directory: `/etc/x` becomes `INTO/etc/x`, with
/// owners (as root), modes and times. Links are made as they were: absolute ones lead out of
/// `into`, and nothing is written through them. Gives the number of entries; 0 where the bundle
/// has no such part.
///
/// # Errors
/// Where the part is not what the manifest says, or a file cannot be written.
pub fn extract_host(bundle: &Bundle, into: &Path) -> Result<usize, BundleError> {
    let dir = Dir::open(into)?;
    if !dir.names()?.is_empty() {
        let path = into.to_owned();
        return Err(BundleError::AlreadyThere { path });
    }
    let Some((mut archive, path)) = open(bundle)? else {
        return Ok(0);
    };
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
    archive.set_unpack_xattrs(false);
    let broken = |source| BundleError::Stream {
        doing: "unpack",
        path: path.clone(),
        source,
    };
    let mut count = 0;
    let mut bytes: u64 = 0;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        let known = [EntryType::Regular, EntryType::Directory, EntryType::Symlink];
        bytes = bytes.saturating_add(entry.size());
        let name = entry.path().map_err(broken)?.into_owned();
        let plain = name
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        // False: it would have been written through a link, or out of the directory.
        let unpacked = known.contains(&kind)
            && plain
            && bytes <= BYTES_LIMIT
            && entry.unpack_in(into).map_err(broken)?;
        if !unpacked {
            let why = format!("{} in it is nothing to unpack", name.display());
            return Err(BundleError::Altered { path, why });
        }
        count += 1;
    }
    Ok(count)
}

/// The content of one file of the host by its absolute path, at most `limit` bytes of it; links
/// in the last part of the path are followed within the bundle. `None`: it is not in the bundle.
///
/// # Errors
/// Where the part is not what the manifest says, or the file is larger.
pub fn read_host_file(
    bundle: &Bundle,
    path: &Path,
    limit: u64,
) -> Result<Option<Vec<u8>>, BundleError> {
    let mut wanted = path.to_owned();
    for _ in 0..HOPS {
        let Some((mut archive, part)) = open(bundle)? else {
            return Ok(None);
        };
        let broken = |source| BundleError::Stream {
            doing: "unpack",
            path: part.clone(),
            source,
        };
        let mut next = None;
        for entry in archive.entries().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            if Path::new("/").join(entry.path().map_err(broken)?) != wanted {
                continue;
            }
            if let Some(target) = entry.link_name().map_err(broken)? {
                let parent = wanted.parent().unwrap_or(Path::new("/"));
                next = Some(super::host::flat(&parent.join(target)));
                break;
            }
            if entry.size() > limit {
                let path = wanted;
                return Err(crate::store::dir::ReadError::TooLarge { path, limit }.into());
            }
            let mut content = Vec::new();
            let read = entry.take(limit).read_to_end(&mut content);
            read.map_err(broken)?;
            return Ok(Some(content));
        }
        match next {
            Some(target) => wanted = target,
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Shows `look` the path and content of every file of the host of at most `limit` bytes.
///
/// # Errors
/// Where the part is not what the manifest says.
pub fn search_host(
    bundle: &Bundle,
    limit: u64,
    mut look: impl FnMut(&Path, &[u8]),
) -> Result<(), BundleError> {
    let Some((mut archive, part)) = open(bundle)? else {
        return Ok(());
    };
    let broken = |source| BundleError::Stream {
        doing: "unpack",
        path: part.clone(),
        source,
    };
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if entry.header().entry_type() != EntryType::Regular || entry.size() > limit {
            continue;
        }
        let path = Path::new("/").join(entry.path().map_err(broken)?);
        let mut content = Vec::new();
        let read = entry.take(limit).read_to_end(&mut content);
        read.map_err(broken)?;
        look(&path, &content);
    }
    Ok(())
}

/// The tar, its digest checked.
fn open(bundle: &Bundle) -> Result<Option<(Unpacked<'static>, PathBuf)>, BundleError> {
    let Some(part) = bundle.host() else {
        return Ok(None);
    };
    bundle.check_digest(part, &Progress::default())?;
    let path = bundle.path().join(&part.name);
    if !part.compressed {
        let why = "it is not compressed".to_owned();
        return Err(BundleError::Altered { path, why });
    }
    let reader = io::BufReader::with_capacity(CHUNK, bundle.open_part(part)?);
    match zstd::stream::read::Decoder::with_buffer(reader) {
        Ok(decoder) => Ok(Some((Archive::new(decoder), path))),
        Err(source) => Err(BundleError::Stream {
            doing: "decompress",
            path,
            source,
        }),
    }
}
