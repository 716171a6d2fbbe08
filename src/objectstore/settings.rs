//! Where objects are kept: plain values, filled and checked by `config`.

use std::path::PathBuf;
use std::time::Duration;

/// A place for objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A bucket of an S3-compatible store.
    S3(S3Settings),
    /// A directory: an NFS mount, a second disk.
    Directory(DirectorySettings),
}

/// A bucket of an S3-compatible store, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// URL of the store without bucket, as `https://s3.example.com:9000`. Plain `http://` is taken
    /// as it is: the requests are signed, and nothing is secret from the wire then but what `age`
    /// encrypts.
    pub endpoint: String,
    /// Region that requests are signed for; most stores of one's own take any.
    pub region: String,
    /// The bucket. It must exist.
    pub bucket: String,
    /// What every object name begins with, without slashes at the ends; may be empty.
    pub prefix: String,
    /// Bucket in the path (`https://host/bucket/…`) instead of in the host name.
    pub path_style: bool,
    /// File with the credentials, in the form of `~/.aws/credentials`, for us alone (0600).
    pub credentials_file: PathBuf,
    /// File with the authorities (PEM) of the store's certificate; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a small request, for a connection, and between two pieces of a download.
    /// Sending a part may take ten times as long.
    pub deadline: Duration,
}

/// A directory, and how to know that it is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySettings {
    /// The directory.
    pub directory: PathBuf,
    /// True: something must be mounted exactly there. False: the directory must hold the file
    /// `.rekindle-target`, made by whoever set it up. Either way, a file system that is not
    /// mounted is never mistaken for it.
    pub must_be_mountpoint: bool,
    /// Longest wait for one operation of the file system: a file server that is gone makes it
    /// hang.
    pub deadline: Duration,
}

/// [`S3Settings::deadline`] and [`DirectorySettings::deadline`] where nothing is configured.
pub const DEADLINE: Duration = Duration::from_secs(30);
