//! Opening a sealed bundle: what its manifest may say before anything else of it is believed.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::BundleError;
use super::plain::{self, PlainSnapshot};
use super::{MANIFEST, SIGNATURE, UNFINISHED, digest};
use crate::backup::Progress;
use crate::backup::signing::{PublicKey, SignatureError, Trust};
use crate::core::backup::id::BackupId;
use crate::core::backup::manifest::{FORMAT, Manifest, Part, PartKind};
use crate::store::dir::{Dir, is_name};

/// Largest manifest that is read: many thousand resources and images.
const MANIFEST_LIMIT: u64 = 8 << 20; // 8 MiB
const SIGNATURE_LIMIT: u64 = 4096;
/// Most parts of a bundle; this format has two.
const PARTS_LIMIT: usize = 16;

/// A sealed bundle. That it is one says nothing yet about its parts or who made it.
#[derive(Debug)]
pub struct Bundle {
    dir: Dir,
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl Bundle {
    /// Opens the bundle in the directory `path`.
    ///
    /// # Errors
    /// Where it is an unfinished one, of an unknown format, not named as its manifest says, or its
    /// manifest names anything but plain files in it.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        // So that `.` and a trailing slash have a name.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(UNFINISHED) {
            return Err(BundleError::Unfinished { path });
        }
        let id = match BackupId::parse(&name) {
            Ok(id) => id,
            Err(source) => return Err(BundleError::Name { path, source }),
        };
        let dir = Dir::open(&path)?;
        let not = |why: String| BundleError::NotABundle {
            path: path.clone(),
            why,
        };
        let bytes = match dir.read(MANIFEST, MANIFEST_LIMIT) {
            Ok((bytes, _)) => bytes,
            Err(error) if error.is_absent() => {
                return Err(not(format!("it has no {MANIFEST}")));
            }
            Err(error) => return Err(error.into()),
        };
        let manifest = parse(&bytes, &path)?;
        check_manifest(&manifest, &id, &path)?;
        Ok(Self {
            dir,
            manifest,
            bytes,
        })
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        let parts = self.manifest.parts.iter().map(|part| part.bytes);
        parts.fold(self.bytes.len() as u64, u64::saturating_add)
    }

    /// Files of it, parts first, then the manifest and its signature: the order to copy them in.
    pub fn files(&self) -> Vec<PathBuf> {
        let parts = self.manifest.parts.iter().map(|part| part.name.as_str());
        parts
            .chain([SIGNATURE, MANIFEST])
            .map(|name| self.path().join(name))
            .collect()
    }

    /// The snapshot's part.
    pub fn snapshot(&self) -> &Part {
        let mut parts = self.manifest.parts.iter();
        // There is exactly one, or it would not have been opened.
        parts
            .find(|part| part.kind == PartKind::Snapshot)
            .unwrap_or(&self.manifest.parts[0])
    }

    /// The part with the host's files, where it has one.
    pub fn host(&self) -> Option<&Part> {
        let mut parts = self.manifest.parts.iter();
        parts.find(|part| part.kind == PartKind::Host)
    }

    /// Whose signature it has, if that is a trusted key's.
    ///
    /// # Errors
    /// Why the signature does not count.
    pub fn check_signature(&self, trust: &Trust) -> Result<PublicKey, BundleError> {
        let refused = |source| BundleError::Signature {
            path: self.path().to_owned(),
            source,
        };
        let text = match self.dir.read(SIGNATURE, SIGNATURE_LIMIT) {
            Ok((text, _)) => text,
            Err(error) if error.is_absent() => return Err(refused(SignatureError::Missing)),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8(text).map_err(|_| refused(SignatureError::Garbled))?;
        trust.check(&self.bytes, &text).map_err(refused)
    }

    /// Reads the part through and compares length and digest of its file.
    ///
    /// # Errors
    /// [`BundleError::Altered`] where they differ.
    pub fn check_digest(&self, part: &Part, progress: &Progress) -> Result<(), BundleError> {
        let file = self.open_part(part)?;
        let path = self.path().join(&part.name);
        let (bytes, sha256) = plain::sum(file, &path, progress)?;
        digest_fits(&path, part, bytes, &sha256)
    }

    /// The snapshot without compression, in a nameless file of the directory `scratch` where it is
    /// compressed; then both its digests are checked on the way. One that is not compressed is
    /// given as it is, unread.
    ///
    /// # Errors
    /// Where it is not what the manifest says, or there is no room.
    pub fn plain_snapshot(
        &self,
        scratch: &Dir,
        progress: &Progress,
    ) -> Result<PlainSnapshot, BundleError> {
        plain::unpack(&self.dir, self.snapshot(), scratch, progress)
    }

    /// Opens a part's file. Its length is checked, its digest is not.
    pub(super) fn open_part(&self, part: &Part) -> Result<File, BundleError> {
        open_part(&self.dir, part)
    }
}

/// A part's file in `dir`, of the length that the manifest says.
pub(super) fn open_part(dir: &Dir, part: &Part) -> Result<File, BundleError> {
    let path = dir.path().join(&part.name);
    match dir.open_file(&part.name) {
        Ok((file, stat)) => {
            let bytes = u64::try_from(stat.st_size).unwrap_or(0);
            if bytes != part.bytes {
                let why = format!("it has {bytes} bytes instead of {}", part.bytes);
                return Err(BundleError::Altered { path, why });
            }
            Ok(file)
        }
        Err(error) if error.is_absent() => {
            let why = "it is missing".to_owned();
            Err(BundleError::Altered { path, why })
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses a digest that is not the manifest's.
pub(super) fn digest_fits(
    path: &Path,
    part: &Part,
    bytes: u64,
    sha256: &str,
) -> Result<(), BundleError> {
    if bytes == part.bytes && sha256 == part.sha256 {
        return Ok(());
    }
    Err(BundleError::Altered {
        path: path.to_owned(),
        why: format!("its SHA-256 is {sha256} instead of {}", part.sha256),
    })
}

/// Every part is there, in its length.
pub(super) fn check_sizes(dir: &Dir, manifest: &Manifest) -> Result<(), BundleError> {
    for part in &manifest.parts {
        open_part(dir, part)?;
    }
    Ok(())
}

/// Every part of an open bundle is there, in its length.
pub(super) fn check_whole(bundle: &Bundle) -> Result<(), BundleError> {
    check_sizes(&bundle.dir, &bundle.manifest)
}

#[derive(serde::Deserialize)]
struct FormatOnly {
    format: u32,
}

fn parse(bytes: &[u8], path: &Path) -> Result<Manifest, BundleError> {
    let not = |error: serde_json::Error| BundleError::NotABundle {
        path: path.to_owned(),
        why: format!("{MANIFEST} is not understood ({error})"),
    };
    // The format first: a later one may have other fields.
    let FormatOnly { format } = serde_json::from_slice(bytes).map_err(not)?;
    if format == 0 || format > FORMAT {
        let path = path.to_owned();
        return Err(BundleError::UnknownFormat { path, format });
    }
    serde_json::from_slice(bytes).map_err(not)
}

/// Refuses what no manifest of a bundle in the directory `path`, named for `id`, may say.
pub(super) fn check_manifest(
    manifest: &Manifest,
    id: &BackupId,
    path: &Path,
) -> Result<(), BundleError> {
    let fail = |why: String| {
        let path = path.to_owned();
        Err(BundleError::NotABundle { path, why })
    };
    if manifest.id != *id {
        return fail(format!("its manifest is of {}", manifest.id));
    }
    if manifest.parts.len() > PARTS_LIMIT {
        return fail(format!("it has more than {PARTS_LIMIT} parts"));
    }
    let mut names = BTreeSet::new();
    for part in &manifest.parts {
        let name = part.name.as_str();
        let ours = [MANIFEST, SIGNATURE].contains(&name);
        if !is_name(name) || name.chars().any(char::is_control) || ours || !names.insert(name) {
            return fail(format!("it has a part with the impossible name {name:?}"));
        }
        if !part.compressed && (part.bytes, &part.sha256) != (part.plain_bytes, &part.plain_sha256)
        {
            return fail(format!("it says two things about {name}"));
        }
        if [&part.sha256, &part.plain_sha256].map(|hex| digest::is_hex(hex)) != [true, true] {
            return fail(format!("it has no digest of {name}"));
        }
    }
    let count = |kind| manifest.parts.iter().filter(|p| p.kind == kind).count();
    if count(PartKind::Snapshot) != 1 || count(PartKind::Host) > 1 {
        return fail("it has not exactly one snapshot, and one part for the host".to_owned());
    }
    Ok(())
}
