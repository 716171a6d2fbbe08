//! A copy back from a target, as a local backup: for a machine that has nothing else.
//!
//! Each object is compared with the catalog's digest while it comes, decrypted where it is
//! encrypted, and the parts are compared with the manifest. Whose signature the manifest has is
//! for who restores to check.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hyper::body::Bytes;
use sha2::{Digest, Sha256};

use super::catalog::{AGE, Entry};
use super::copy::find;
use super::{CopyError, Target};
use crate::backup::Progress;
use crate::backup::bundle::{Bundle, UNFINISHED};
use crate::core::backup::id::BackupId;
use crate::store::dir::{Dir, is_name};
use crate::store::durable::{self, DurableFile};
use crate::store::sealed::hex;

/// Bytes written at once.
const PIECE: usize = 256 << 10; // 256 KiB

/// A backup that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is now: a local backup like any other.
    pub path: PathBuf,
    /// Bytes that came.
    pub bytes: u64,
}

/// Fetches the copy of `id` into the directory `into`, as `into/<id>`. `identity` is a file with an
/// `age` identity, needed where the copy is encrypted. Until it is whole it is `<id>.part`.
///
/// Writes files between its requests: for a command, not for the daemon's thread.
///
/// # Errors
/// As [`CopyError`] says; what came is then left as `<id>.part`, to be removed.
pub async fn fetch(
    target: &Target,
    id: &BackupId,
    into: &Path,
    identity: Option<&Path>,
    progress: &Progress,
) -> Result<Fetched, CopyError> {
    let place = target.store.place();
    let catalog = find(target, id).await?.ok_or_else(|| CopyError::Absent {
        place: place.clone(),
        id: id.to_string(),
    })?;
    if catalog.encrypted && identity.is_none() {
        return Err(CopyError::NoIdentity);
    }
    let identity = identity.filter(|_| catalog.encrypted);
    let root = durable::ensure_root(into)?;
    if root.stat(id.as_str())?.is_some() {
        let path = into.join(id.as_str());
        return Err(crate::backup::bundle::BundleError::AlreadyThere { path }.into());
    }
    let part = format!("{id}{UNFINISHED}");
    let dir = durable::ensure_dir(&root, &part, 0o700)?;
    durable::sweep(&dir)?;
    let bytes = catalog.objects.iter().map(|entry| entry.bytes).sum();
    progress.begin("fetching", bytes);
    for entry in &catalog.objects {
        one(target, id, entry, &dir, identity, progress).await?;
    }
    durable::move_aside(&root, &part, &root, id.as_str())?;
    let path = into.join(id.as_str());
    let bundle = Bundle::open(&path)?;
    progress.begin("verifying", bundle.bytes());
    for part in &bundle.manifest().parts {
        bundle.check_digest(part, progress)?;
    }
    Ok(Fetched { path, bytes })
}

/// One object into one file.
async fn one(
    target: &Target,
    id: &BackupId,
    entry: &Entry,
    dir: &Dir,
    identity: Option<&Path>,
    progress: &Progress,
) -> Result<(), CopyError> {
    let object = format!("{id}/{}", entry.name);
    let place = target.store.place();
    let name = entry.name.trim_end_matches(AGE).to_owned();
    if !is_name(&name) || name.starts_with('.') {
        let why = format!("{name:?} is no file name");
        return Err(CopyError::Garbled { place, object, why });
    }
    let Some(mut body) = target.store.get(&object).await? else {
        return Err(CopyError::Incomplete { place, object });
    };
    // A few pieces under way, so that little is in memory.
    let (pieces, incoming) = sync_channel(4);
    let file = DurableFile::create_in(dir, &name, 0o600)?;
    let writer = Writer {
        file,
        object: object.clone(),
        incoming: Incoming::new(incoming),
        identity: identity.map(Path::to_owned),
    };
    let thread = std::thread::Builder::new()
        .name("fetch".to_owned())
        .spawn(move || writer.write())
        .map_err(|_| CopyError::Lost)?;
    let mut sum = Sha256::new();
    let mut gave_up = false;
    let came = async {
        while let Some(bytes) = target.store.next(&mut body).await? {
            sum.update(&bytes);
            progress.advance(bytes.len() as u64);
            gave_up = !send(&pieces, bytes);
            if gave_up {
                break;
            }
        }
        Ok::<_, CopyError>(())
    };
    let came = came.await;
    let found = hex(sum.finalize().as_slice());
    let is_whole = came.is_ok() && found == entry.sha256;
    if is_whole {
        send(&pieces, Bytes::new());
    }
    drop(pieces);
    let written = thread.join().map_err(|_| CopyError::Lost)?;
    came?;
    // Where the writer gave up first, its reason counts.
    if is_whole || gave_up {
        return written;
    }
    Err(CopyError::Damaged {
        place,
        object,
        expected: entry.sha256.clone(),
        found,
    })
}

/// False: the writer is gone.
fn send(pieces: &SyncSender<Bytes>, bytes: Bytes) -> bool {
    pieces.send(bytes).is_ok()
}

struct Writer {
    file: DurableFile,
    object: String,
    incoming: Incoming,
    identity: Option<PathBuf>,
}

impl Writer {
    fn write(self) -> Result<(), CopyError> {
        let Self {
            mut file,
            object,
            mut incoming,
            identity,
        } = self;
        match identity {
            None => pour(&mut incoming, &mut file, &object)?,
            Some(path) => {
                let identities = identities(&path)?;
                let closed = |why: String| CopyError::Open {
                    object: object.clone(),
                    why,
                };
                let opened = age::Decryptor::new_buffered(io::BufReader::new(&mut incoming))
                    .and_then(|sealed| {
                        sealed.decrypt(
                            identities
                                .iter()
                                .map(|one| one.as_ref() as &dyn age::Identity),
                        )
                    });
                let mut plain = opened.map_err(|error| closed(error.to_string()))?;
                pour(&mut plain, &mut file, &object)?;
            }
        }
        // Only what came whole and with the right digest gets its name.
        if incoming.is_whole() {
            file.finish()?;
            return Ok(());
        }
        Err(CopyError::Lost)
    }
}

fn pour(from: &mut impl Read, file: &mut DurableFile, object: &str) -> Result<(), CopyError> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) => {
                let object = object.to_owned();
                let why = error.to_string();
                return Err(CopyError::Open { object, why });
            }
        };
        file.write(piece.get(..read).unwrap_or_default())?;
    }
}

type Identities = Vec<Box<dyn age::Identity + Send + Sync>>;

fn identities(path: &Path) -> Result<Identities, CopyError> {
    let none = || CopyError::Identity {
        path: path.to_owned(),
    };
    let file = age::IdentityFile::from_file(path.display().to_string()).map_err(|_| none())?;
    let all = file.into_identities().map_err(|_| none())?;
    if all.is_empty() { Err(none()) } else { Ok(all) }
}

/// The pieces of a download as something to read from. An empty piece says that all came.
struct Incoming {
    pieces: Receiver<Bytes>,
    piece: Bytes,
    whole: bool,
}

impl Incoming {
    fn new(pieces: Receiver<Bytes>) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
            whole: false,
        }
    }

    /// Whether the download ended well; waits for that where it is not known yet.
    fn is_whole(&mut self) -> bool {
        while !self.whole {
            match self.pieces.recv() {
                Ok(piece) => self.whole = piece.is_empty(),
                Err(_) => return false,
            }
        }
        true
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.whole {
            match self.pieces.recv() {
                Ok(piece) => {
                    self.whole = piece.is_empty();
                    self.piece = piece;
                }
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = buffer.len().min(self.piece.len());
        let piece = self.piece.split_to(length);
        if let Some(place) = buffer.get_mut(..length) {
            place.copy_from_slice(&piece);
        }
        Ok(length)
    }
}
