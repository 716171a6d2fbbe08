//! Objects in an S3-compatible store or in a directory: put, multipart uploads that outlive this
//! process, conditional put, list, get. Knows no backups: see `crate::backup::targets`.
//!
//! Every operation has a deadline, none has a limit for the whole of a large object. What blocks in
//! the kernel (a file server that is gone) blocks a thread of its own and nothing else.

mod credentials;
mod directory;
mod error;
mod http;
mod s3;
mod s3_error;
pub mod settings;
mod thread;

use hyper::body::Bytes;

pub use credentials::CredentialsError;
pub use directory::MARKER;
pub use error::StoreError;
pub use settings::{DirectorySettings, Place, S3Settings};

use directory::{Directory, DirectoryBody};
use s3::{S3, S3Body};

/// Most objects that are listed at once.
const LISTED: usize = 100_000;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name below the store's prefix, with `/` between its parts.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What became of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now.
    Created,
    /// One of that name was there, and is as it was.
    Exists,
}

/// A place for objects, opened.
#[derive(Debug)]
pub struct Store(Kind);

#[derive(Debug)]
enum Kind {
    S3(Box<S3>),
    Directory(Directory),
}

/// An object that is being read.
#[derive(Debug)]
pub struct Body(BodyKind);

#[derive(Debug)]
enum BodyKind {
    S3(S3Body),
    Directory(DirectoryBody),
}

impl Body {
    /// Its size in bytes, as the store says.
    pub fn size(&self) -> u64 {
        match &self.0 {
            BodyKind::S3(body) => body.size,
            BodyKind::Directory(body) => body.size,
        }
    }
}

impl Store {
    /// Opens a place. Asks no server and reads no directory yet.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn open(place: &Place) -> Result<Self, StoreError> {
        Ok(Self(match place {
            Place::S3(settings) => Kind::S3(Box::new(S3::open(settings)?)),
            Place::Directory(settings) => Kind::Directory(Directory::open(settings)),
        }))
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        match &self.0 {
            Kind::S3(s3) => s3.place().to_owned(),
            Kind::Directory(directory) => directory.place(),
        }
    }

    /// Puts a small object, if there is none of that name.
    ///
    /// # Errors
    /// As the store says.
    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<Put, StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.put(name, bytes, true).await,
            Kind::Directory(directory) => directory.put(name, bytes, true).await,
        }
    }

    /// Puts a small object in place of what has its name.
    ///
    /// # Errors
    /// As the store says.
    pub async fn put_over(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.put(name, bytes, false).await.map(drop),
            Kind::Directory(directory) => directory.put(name, bytes, false).await.map(drop),
        }
    }

    /// The size of an object; `None`: there is none.
    ///
    /// # Errors
    /// As the store says.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.size(name).await,
            Kind::Directory(directory) => directory.size(name).await,
        }
    }

    /// Begins to read an object; `None`: there is none.
    ///
    /// # Errors
    /// As the store says.
    pub async fn get(&self, name: &str) -> Result<Option<Body>, StoreError> {
        let body = match &self.0 {
            Kind::S3(s3) => s3.get(name).await?.map(BodyKind::S3),
            Kind::Directory(directory) => directory.get(name).await?.map(BodyKind::Directory),
        };
        Ok(body.map(Body))
    }

    /// The next bytes of an object of this store; `None` at its end.
    ///
    /// # Errors
    /// As the store says.
    pub async fn next(&self, body: &mut Body) -> Result<Option<Bytes>, StoreError> {
        match (&self.0, &mut body.0) {
            (Kind::S3(s3), BodyKind::S3(body)) => s3.next(body).await,
            (Kind::Directory(directory), BodyKind::Directory(body)) => directory.next(body).await,
            _ => Ok(None),
        }
    }

    /// A small object as a whole; `None`: there is none.
    ///
    /// # Errors
    /// As the store says, and where it has more than `limit` bytes.
    pub async fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut body) = self.get(name).await? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        while let Some(bytes) = self.next(&mut body).await? {
            content.extend_from_slice(&bytes);
            if content.len() as u64 > limit {
                return Err(StoreError::TooLarge {
                    place: self.place(),
                    object: name.to_owned(),
                    limit,
                });
            }
        }
        Ok(Some(content))
    }

    /// Begins an upload in parts; the answer names it, also for a later process.
    ///
    /// # Errors
    /// As the store says.
    pub async fn begin(&self, name: &str) -> Result<String, StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.begin(name).await,
            Kind::Directory(directory) => directory.begin(name).await,
        }
    }

    /// Sends the part with this index (from 0), which begins at `offset` of the object. The answer
    /// names the part. It may be sent again.
    ///
    /// # Errors
    /// [`StoreError::UploadGone`] where the upload is not known any more; as the store says.
    pub async fn put_part(
        &self,
        name: &str,
        upload: &str,
        (index, offset): (usize, u64),
        bytes: Bytes,
    ) -> Result<String, StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.put_part(name, upload, index, bytes).await,
            Kind::Directory(directory) => directory.put_part(name, upload, offset, bytes).await,
        }
    }

    /// Makes the parts, in order and of so many bytes together, the object.
    ///
    /// # Errors
    /// [`StoreError::UploadGone`] where the upload is not known any more; as the store says.
    pub async fn complete(
        &self,
        name: &str,
        upload: &str,
        parts: Vec<String>,
        bytes: u64,
    ) -> Result<(), StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.complete(name, upload, parts).await,
            Kind::Directory(directory) => directory.complete(name, upload, bytes).await,
        }
    }

    /// Gives up an upload and what was sent of it. One that is not known is given up already.
    ///
    /// # Errors
    /// As the store says.
    pub async fn abort(&self, name: &str, upload: &str) -> Result<(), StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.abort(name, upload).await,
            Kind::Directory(directory) => directory.abort(name, upload).await,
        }
    }

    /// Deletes an object; that there is none is fine.
    ///
    /// # Errors
    /// As the store says.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.delete(name).await,
            Kind::Directory(directory) => directory.delete(name).await,
        }
    }

    /// The objects whose names begin with `under` and a slash; empty: all.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self, under: &str) -> Result<Vec<Object>, StoreError> {
        match &self.0 {
            Kind::S3(s3) => s3.list(under).await,
            Kind::Directory(directory) => directory.list(under).await,
        }
    }
}
