//! Objects in an S3-compatible store or in a directory: put, multipart uploads that outlive this
//! process, conditional put, list, get. Knows no backups: see `crate::backup::targets`.

pub mod settings;

pub use settings::{DirectorySettings, Place, S3Settings};
