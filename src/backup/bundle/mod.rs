//! Bundles: a backup on disk, from the first byte to the sealed directory, and reading one back.
//!
//! ```text
//! <backups>/<id>/manifest.json     what it is, with the digest of every part
//! <backups>/<id>/manifest.sig      signature over the manifest's bytes
//! <backups>/<id>/snapshot.db.zst   the etcd snapshot (snapshot.db: not compressed)
//! <backups>/<id>/host.tar.zst      files of the host
//! <backups>/<id>.part/             one that is being taken, or was cut off: never a backup
//! <backups>/.scratch/              where compressed snapshots are unpacked into nameless files
//! ```
//!
//! Everything here blocks. It knows no etcd, no clock but for how long a check took, and does not
//! decide what is kept.

mod configurations;
mod content;
mod digest;
mod error;
mod host;
mod host_read;
mod list;
mod open;
pub(crate) mod plain;
mod sink;
mod sweep;
mod verify;
mod writer;

pub use self::configurations::{Configurations, configurations};
pub use self::content::check_content;
pub use self::error::BundleError;
pub use self::host::{HostFiles, HostPath};
pub use self::host_read::{extract_host, read_host_file, search_host};
pub use self::list::{Listing, Stray, StrayKind, list};
pub use self::open::Bundle;
pub use self::plain::PlainSnapshot;
pub(super) use self::plain::room;
pub use self::sink::PartSink;
pub use self::sweep::sweep;
pub use self::verify::{Checked, Checks, Depth, check, verify};
pub use self::writer::BundleWriter;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";
/// The signature's file name.
pub const SIGNATURE: &str = "manifest.sig";
/// End of the name of a directory that is no backup yet.
pub const UNFINISHED: &str = ".part";
/// Directory of the backups directory for what lasts as long as one check.
pub const SCRATCH: &str = ".scratch";

/// Bytes that are read, hashed and written at once.
const CHUNK: usize = 256 << 10; // 256 KiB
