//! One object on its way to a target: whole in one request, or in parts that are not sent twice.

use std::path::Path;

use hyper::body::Bytes;
use sha2::{Digest, Sha256};

use super::CopyError;
use super::outgoing::{Digests, Outgoing};
use super::resume::{Done, ObjectState, Resume, SentPart};
use super::seal::{Recipient, SealKey};
use super::throttle::Throttle;
use crate::backup::Progress;
use crate::failpoints::hit;
use crate::objectstore::{Put, Store, StoreError};
use crate::store::sealed::hex_digest;

/// Bytes of a part: the smallest that every S3-compatible store takes, for the sake of memory.
const PART: u64 = 5 << 20; // 5 MiB
/// Most parts of an object; S3 takes 10 000.
const PARTS: u64 = 9_000;

/// What the uploads of one copy share.
pub(super) struct Uploads<'a> {
    pub(super) store: &'a Store,
    pub(super) recipients: &'a [Recipient],
    pub(super) resume: Resume,
    pub(super) throttle: Throttle,
    pub(super) progress: &'a Progress,
    /// Bytes that this process sent.
    pub(super) sent: u64,
}

/// A file and the object that it becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) file: &'a Path,
    pub(super) object: &'a str,
    /// SHA-256 that the file must have, where that is known.
    pub(super) sha256: Option<&'a str>,
}

/// How an attempt in parts ended.
enum Attempt {
    Done(Done),
    /// The store forgot the upload: completed by an earlier life, or given up by somebody.
    Forgotten,
}

impl Uploads<'_> {
    /// Makes sure that the object is there.
    pub(super) async fn ensure(&mut self, item: Item<'_>) -> Result<Done, CopyError> {
        let encrypted = !self.recipients.is_empty();
        let state = self.resume.object(item.object);
        if let Some(done) = state.done.clone() {
            self.progress.advance(done.bytes);
            return Ok(done);
        }
        let is_resumed = state.seal.is_some();
        if encrypted && !is_resumed {
            // On the disk before a byte encrypted with it leaves the node.
            state.seal = Some(SealKey::new(self.recipients)?);
            self.resume.save()?;
        }
        let source = self.open(item)?;
        let done = if source.total() <= PART {
            self.whole(item, source, encrypted && !is_resumed).await?
        } else {
            drop(source);
            self.in_parts(item, encrypted && !is_resumed).await?
        };
        let state = self.resume.object(item.object);
        *state = ObjectState {
            seal: state.seal.take(),
            done: Some(done.clone()),
            ..ObjectState::default()
        };
        self.resume.save()?;
        hit("upload.object-done");
        Ok(done)
    }

    fn open(&mut self, item: Item<'_>) -> Result<Outgoing, CopyError> {
        Outgoing::open(item.file, self.resume.object(item.object).seal.as_ref())
    }

    /// In one request. `replaces`: a rest of an upload whose keys are lost may be replaced; nobody
    /// can have it in a complete copy, because the claim is ours.
    async fn whole(
        &mut self,
        item: Item<'_>,
        mut source: Outgoing,
        replaces: bool,
    ) -> Result<Done, CopyError> {
        let bytes = Bytes::from(
            source
                .part(usize::try_from(PART).unwrap_or(usize::MAX))?
                .unwrap_or_default(),
        );
        let digests = source.digests();
        checked(item, &digests)?;
        let done = Done {
            bytes: bytes.len() as u64,
            sha256: digests.sent,
        };
        match self.store.put_new(item.object, bytes.clone()).await? {
            Put::Created => {}
            Put::Exists if self.confirm(item.object, &done).await? => return Ok(done),
            Put::Exists if replaces => self.store.put_over(item.object, bytes).await?,
            Put::Exists => return Err(self.different(item.object)),
        }
        self.account(done.bytes).await;
        Ok(done)
    }

    async fn in_parts(&mut self, item: Item<'_>, replaces: bool) -> Result<Done, CopyError> {
        let is_begun = self.resume.object(item.object).upload.is_some();
        if !is_begun
            && !replaces
            && let Some(done) = self.already(item).await?
        {
            return Ok(done);
        }
        for _ in 0..2 {
            match self.attempt(item).await? {
                Attempt::Done(done) => return Ok(done),
                Attempt::Forgotten => {
                    if let Some(done) = self.already(item).await? {
                        return Ok(done);
                    }
                    let state = self.resume.object(item.object);
                    (state.upload, state.parts) = (None, Vec::new());
                    self.resume.save()?;
                }
            }
        }
        Err(CopyError::Store(StoreError::UploadGone {
            place: self.store.place(),
        }))
    }

    /// The object, if it is there with this content.
    async fn already(&mut self, item: Item<'_>) -> Result<Option<Done>, CopyError> {
        let Some(size) = self.store.size(item.object).await? else {
            return Ok(None);
        };
        let mut source = self.open(item)?;
        let bytes = source.total();
        while source.part(1 << 20)?.is_some() {}
        let digests = source.digests();
        checked(item, &digests)?;
        let done = Done {
            bytes,
            sha256: digests.sent,
        };
        if size == bytes && self.confirm(item.object, &done).await? {
            self.progress.advance(bytes);
            return Ok(Some(done));
        }
        Err(self.different(item.object))
    }

    /// Reads the whole file, even where parts of it are there: the digest is of all of it, and
    /// what was sent must be what is on the disk now.
    async fn attempt(&mut self, item: Item<'_>) -> Result<Attempt, CopyError> {
        let mut source = self.open(item)?;
        let resumed = self.resume.object(item.object).upload.is_some();
        let total = source.total();
        let part_bytes = PART.max(total.div_ceil(PARTS).next_multiple_of(1 << 20));
        let (mut index, mut offset) = (0, 0);
        while let Some(part) = source.part(usize::try_from(part_bytes).unwrap_or(usize::MAX))? {
            let bytes = part.len() as u64;
            let sha256 = hex_digest(&part);
            match self.resume.object(item.object).parts.get(index) {
                Some(sent) if sent.sha256 == sha256 => self.progress.advance(bytes),
                Some(_) => return self.changed(item).await,
                None => {
                    let upload = self.upload(item.object).await?;
                    let place = (index, offset);
                    let part = Bytes::from(part);
                    let put = self.store.put_part(item.object, &upload, place, part);
                    let id = match put.await {
                        Ok(id) => id,
                        Err(error) if is_forgotten(&error, resumed) => {
                            return Ok(Attempt::Forgotten);
                        }
                        Err(error) => return Err(error.into()),
                    };
                    hit("upload.part-sent");
                    let state = self.resume.object(item.object);
                    state.parts.push(SentPart { id, sha256 });
                    self.resume.save()?;
                    self.account(bytes).await;
                }
            }
            index += 1;
            offset += bytes;
        }
        let digests = source.digests();
        if checked(item, &digests).is_err() {
            return self.changed(item).await;
        }
        let upload = self.upload(item.object).await?;
        let parts = self.resume.object(item.object).parts.iter();
        let parts = parts.map(|part| part.id.clone()).collect();
        match self
            .store
            .complete(item.object, &upload, parts, total)
            .await
        {
            Ok(()) => {}
            Err(error) if is_forgotten(&error, resumed) => return Ok(Attempt::Forgotten),
            Err(error) => return Err(error.into()),
        }
        hit("upload.completed");
        Ok(Attempt::Done(Done {
            bytes: total,
            sha256: digests.sent,
        }))
    }

    /// The upload of the object, begun where there is none.
    async fn upload(&mut self, object: &str) -> Result<String, CopyError> {
        if let Some(upload) = &self.resume.object(object).upload {
            return Ok(upload.clone());
        }
        let upload = self.store.begin(object).await?;
        self.resume.object(object).upload = Some(upload.clone());
        self.resume.save()?;
        hit("upload.begun");
        Ok(upload)
    }

    /// The file is not what it was: nothing of it may stay there.
    async fn changed(&mut self, item: Item<'_>) -> Result<Attempt, CopyError> {
        let state = self.resume.object(item.object);
        let upload = state.upload.take();
        *state = ObjectState::default();
        self.resume.save()?;
        if let Some(upload) = upload {
            self.store.abort(item.object, &upload).await?;
        }
        let path = item.file.to_owned();
        Err(CopyError::Changed { path })
    }

    /// Whether the target's object has this content: read back, because lengths prove little.
    async fn confirm(&self, object: &str, done: &Done) -> Result<bool, CopyError> {
        let Some(mut body) = self.store.get(object).await? else {
            return Ok(false);
        };
        if body.size() != done.bytes {
            return Ok(false);
        }
        let mut sum = Sha256::new();
        while let Some(bytes) = self.store.next(&mut body).await? {
            sum.update(&bytes);
        }
        Ok(crate::store::sealed::hex(sum.finalize().as_slice()) == done.sha256)
    }

    async fn account(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
        self.progress.advance(bytes);
        self.throttle.sent(bytes).await;
    }

    fn different(&self, object: &str) -> CopyError {
        CopyError::Different {
            place: self.store.place(),
            object: object.to_owned(),
        }
    }
}

/// Whether the store does not know an upload that was begun earlier. Some say that access to it is
/// denied, which can be true of another's upload; then a new one shows whether it was meant.
fn is_forgotten(error: &StoreError, resumed: bool) -> bool {
    match error {
        StoreError::UploadGone { .. } => true,
        StoreError::Refused { code, .. } => resumed && code == "AccessDenied",
        _ => false,
    }
}

fn checked(item: Item<'_>, digests: &Digests) -> Result<(), CopyError> {
    match item.sha256 {
        Some(expected) if expected != digests.plain => Err(CopyError::Changed {
            path: item.file.to_owned(),
        }),
        _ => Ok(()),
    }
}
