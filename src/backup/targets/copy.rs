//! A whole local backup to one target: claim, parts, manifest, catalog, in this order.

use std::path::Path;

use hyper::body::Bytes;

use super::catalog::{self, AGE, Catalog, Claim, Entry};
use super::resume::{Resume, State};
use super::throttle::Throttle;
use super::upload::{Item, Uploads};
use super::{CopyError, Target};
use crate::backup::Progress;
use crate::backup::bundle::{Bundle, MANIFEST};
use crate::core::backup::id::BackupId;
use crate::failpoints::hit;
use crate::objectstore::{Place, Put};
use crate::store::sealed::hex_digest;

/// A copy that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that this attempt sent; 0 where the copy was there.
    pub sent: u64,
}

/// How an attempt to copy ended.
pub type CopyResult = Result<Copied, CopyError>;

/// Copies the whole local backup in the directory `bundle` to the target, or goes on where an
/// earlier attempt stopped; that is kept in the directory `uploads`. Nothing local but that is
/// written. A copy that is there already is no error.
///
/// Reads, encrypts and sums between its requests, so it is for a thread of its own and not for the
/// daemon's: [`super::run`] does that.
///
/// # Cancel safety
/// May be dropped at any point, as the process may be killed at any point.
///
/// # Errors
/// As [`CopyError`] says. What was sent stays sent, and is not sent again.
pub async fn copy_once(
    target: &Target,
    bundle: &Path,
    uploads: &Path,
    progress: &Progress,
) -> CopyResult {
    let bundle = Bundle::open(bundle)?;
    let manifest_path = bundle.path().join(MANIFEST);
    let bytes = std::fs::read(&manifest_path).map_err(|source| CopyError::Source {
        path: manifest_path,
        source,
    })?;
    let digest = hex_digest(&bytes);
    let id = bundle.manifest().id.clone();
    if let Some(there) = find(target, &id).await? {
        return accept(target, &there, &digest, uploads).await;
    }
    claim(target, &id, &digest).await?;
    progress.begin("copying", bundle.bytes());
    let mut uploads_of = Uploads {
        store: &target.store,
        recipients: &target.recipients,
        resume: begin(target, &id, &digest, uploads).await?,
        throttle: Throttle::new(target.settings.bandwidth),
        progress,
        sent: 0,
    };
    let mut entries = Vec::new();
    for file in bundle.files() {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = if target.recipients.is_empty() {
            name.into_owned()
        } else {
            format!("{name}{AGE}")
        };
        let plain = name.trim_end_matches(AGE);
        let part = bundle.manifest().parts.iter().find(|p| p.name == plain);
        let item = Item {
            file: &file,
            object: &format!("{id}/{name}"),
            sha256: match part {
                Some(part) => Some(&part.sha256),
                None => Some(digest.as_str()).filter(|_| plain == MANIFEST),
            },
        };
        let done = uploads_of.ensure(item).await?;
        entries.push(Entry {
            name,
            bytes: done.bytes,
            sha256: done.sha256,
        });
    }
    let encrypted = !target.recipients.is_empty();
    let catalog = Catalog::new(&id, &bundle.manifest().node, &digest, encrypted, entries);
    let bytes = serde_json::to_vec_pretty(&catalog).unwrap_or_default();
    match target
        .store
        .put_new(&catalog::catalog_of(&id), Bytes::from(bytes))
        .await?
    {
        Put::Created => {}
        // An answer that was lost, or another life of ours.
        Put::Exists => {
            if let Some(there) = find(target, &id).await? {
                return accept(target, &there, &digest, uploads).await;
            }
        }
    }
    hit("upload.catalogued");
    let sent = uploads_of.sent;
    uploads_of.resume.remove()?;
    Ok(Copied { sent })
}

/// Gives up what is unfinished of a copy of which there is no local backup any more: parts in the
/// store, and the state. A complete copy is not touched.
///
/// # Errors
/// As the store says; then it can be tried again.
pub async fn abandon(target: &Target, id: &BackupId, uploads: &Path) -> Result<(), CopyError> {
    let resume = Resume::open(uploads, &target.settings.name, id)?;
    if resume.state.place == place_of(target) {
        abort_all(target, &resume.state).await?;
    }
    resume.remove()
}

async fn abort_all(target: &Target, state: &State) -> Result<(), CopyError> {
    for (object, state) in &state.objects {
        if let Some(upload) = &state.upload {
            target.store.abort(object, upload).await?;
        }
    }
    Ok(())
}

/// The copy's catalog, if it was ever completed.
pub(super) async fn find(target: &Target, id: &BackupId) -> Result<Option<Catalog>, CopyError> {
    let name = catalog::catalog_of(id);
    let Some(bytes) = target.store.read(&name, catalog::LIMIT).await? else {
        return Ok(None);
    };
    catalog::parse(&bytes, &name, &target.store.place()).map(Some)
}

/// A complete copy is there: is it of this backup, and still whole?
async fn accept(target: &Target, there: &Catalog, digest: &str, uploads: &Path) -> CopyResult {
    let place = target.store.place();
    if there.manifest_sha256 != digest {
        let object = catalog::catalog_of(&there.id);
        return Err(CopyError::Different { place, object });
    }
    for entry in &there.objects {
        let object = format!("{}/{}", there.id, entry.name);
        if target.store.size(&object).await? != Some(entry.bytes) {
            return Err(CopyError::Incomplete { place, object });
        }
    }
    Resume::open(uploads, &target.settings.name, &there.id)?.remove()?;
    Ok(Copied { sent: 0 })
}

/// Makes the name ours, once: another writer of another backup of this name is refused before it
/// has written anything, and so are we.
async fn claim(target: &Target, id: &BackupId, digest: &str) -> Result<(), CopyError> {
    let ours = Claim::new(id, digest);
    let object = catalog::claim_of(id);
    let bytes = serde_json::to_vec_pretty(&ours).unwrap_or_default();
    if target.store.put_new(&object, Bytes::from(bytes)).await? == Put::Created {
        return Ok(());
    }
    let place = target.store.place();
    let there = target.store.read(&object, catalog::LIMIT).await?;
    let there: Claim = catalog::parse(&there.unwrap_or_default(), &object, &place)?;
    if there.manifest_sha256 == ours.manifest_sha256 {
        Ok(())
    } else {
        Err(CopyError::Different { place, object })
    }
}

/// The state of this upload, begun anew where that on disk is of something else.
async fn begin(
    target: &Target,
    id: &BackupId,
    digest: &str,
    uploads: &Path,
) -> Result<Resume, CopyError> {
    let mut resume = Resume::open(uploads, &target.settings.name, id)?;
    let fresh = State {
        place: place_of(target),
        recipients: target.settings.recipients.clone(),
        manifest_sha256: digest.to_owned(),
        ..State::default()
    };
    let old = &resume.state;
    let same = (&old.place, &old.recipients, &old.manifest_sha256)
        == (&fresh.place, &fresh.recipients, &fresh.manifest_sha256);
    if !same {
        if old.place == fresh.place {
            abort_all(target, old).await?;
        }
        resume.state = fresh;
        resume.save()?;
    }
    Ok(resume)
}

/// What distinguishes places, without how they are reached.
fn place_of(target: &Target) -> String {
    match &target.settings.place {
        Place::S3(s3) => format!("{} {} {}", s3.endpoint, s3.bucket, s3.prefix),
        Place::Directory(directory) => directory.directory.display().to_string(),
    }
}
