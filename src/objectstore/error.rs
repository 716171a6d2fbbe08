//! Why an operation on objects failed, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::credentials::CredentialsError;
use crate::store::dir::ReadError;
use crate::store::durable::DurableError;

/// A failure of an object store or of a directory of objects. Holds no credential.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The credentials cannot be read, or others could read them too.
    #[error("no credentials for {place}")]
    Credentials {
        /// The store.
        place: String,
        /// Why.
        source: CredentialsError,
    },
    /// The store does not accept the credentials, or they may not do this.
    #[error("{place} refuses these credentials ({code})")]
    Refused {
        /// The store.
        place: String,
        /// The store's word for it, as `InvalidAccessKeyId` or `AccessDenied`.
        code: String,
    },
    /// Our clock and the store's differ by too much for a signature to count.
    #[error("{place} refuses the request's time: the clocks differ by {by}")]
    Clock {
        /// The store.
        place: String,
        /// How much and in which direction, as `2h 3m (this node is behind)`.
        by: String,
    },
    /// There is no such bucket.
    #[error("{place} has no such bucket")]
    NoBucket {
        /// The store with the bucket.
        place: String,
    },
    /// Nothing answers there, or not as an HTTP or TLS server should.
    #[error("{place} cannot be reached: {why}")]
    Unreachable {
        /// The store.
        place: String,
        /// The innermost cause.
        why: String,
    },
    /// No answer in time.
    #[error("{place} did not answer within {seconds} s ({doing})")]
    Late {
        /// The store or directory.
        place: String,
        /// What was asked.
        doing: &'static str,
        /// The deadline in seconds.
        seconds: u64,
    },
    /// Too many requests, or the store is overloaded.
    #[error("{place} asks to slow down ({code})")]
    Throttled {
        /// The store.
        place: String,
        /// The store's word for it.
        code: String,
    },
    /// The multipart upload is not known there any more.
    #[error("{place} does not know this upload any more")]
    UploadGone {
        /// The store.
        place: String,
    },
    /// An answer that fits nothing above.
    #[error("{place} answered with an error: {said}")]
    Other {
        /// The store.
        place: String,
        /// What it said, shortened.
        said: String,
    },
    /// An object is larger than it may be.
    #[error("{object} at {place} is larger than {limit} bytes")]
    TooLarge {
        /// The store.
        place: String,
        /// The object.
        object: String,
        /// The bound.
        limit: u64,
    },
    /// The settings cannot be used.
    #[error("the settings of {place} cannot be used: {why}")]
    Settings {
        /// The store.
        place: String,
        /// Why.
        why: String,
    },
    /// The directory is not what is to be written to.
    #[error("{} is not written to: {why}", path.display())]
    NotTheTarget {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
        /// What to do.
        hint: String,
    },
    /// An earlier operation on the directory still hangs.
    #[error("{} still hangs in an earlier operation", path.display())]
    Hangs {
        /// The directory.
        path: PathBuf,
    },
    /// Reading from the directory failed.
    #[error("the target's directory cannot be read")]
    Read(#[from] ReadError),
    /// Writing to the directory failed.
    #[error("the target's directory cannot be written")]
    Write(#[from] DurableError),
}

impl StoreError {
    /// What to do about it; empty where nothing general can be said.
    pub fn hint(&self) -> String {
        match self {
            Self::Credentials { source, .. } => source.hint(),
            Self::Refused { code, .. } if code == "AccessDenied" => {
                "give these credentials the right to list, read and put objects in the bucket"
                    .to_owned()
            }
            Self::Refused { .. } => {
                "put the right credentials into the target's credentials_file; it is read again \
                 by itself"
                    .to_owned()
            }
            Self::Clock { .. } => "compare `timedatectl` on this node with the store's clock; \
                 signed requests allow 15 minutes"
                .to_owned(),
            Self::NoBucket { .. } => {
                "make the bucket, or correct the target's bucket, endpoint or path_style".to_owned()
            }
            Self::Unreachable { .. } => {
                "check the target's endpoint and ca_file, the network and the server; copies go \
                 on by themselves"
                    .to_owned()
            }
            Self::Late { .. } | Self::Throttled { .. } | Self::UploadGone { .. } => {
                "copies go on by themselves; finished pieces are not sent again".to_owned()
            }
            Self::NotTheTarget { hint, .. } => hint.clone(),
            Self::Hangs { path } => format!("look at the file server of {}", path.display()),
            Self::Write(error) if error.is_full() => {
                "make room at the target: the local backups are untouched".to_owned()
            }
            Self::Write(error) if error.is_read_only() => {
                "mount the target's directory writable".to_owned()
            }
            Self::Other { .. }
            | Self::TooLarge { .. }
            | Self::Settings { .. }
            | Self::Read(_)
            | Self::Write(_) => String::new(),
        }
    }

    /// A file or directory that is not there.
    pub(super) fn is_absent(&self) -> bool {
        let io: Option<&io::Error> = match self {
            Self::Read(error) => error.io(),
            Self::Write(error) => error.io(),
            _ => None,
        };
        io.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    }
}
