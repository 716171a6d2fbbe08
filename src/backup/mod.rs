//! Backups: taken from a running etcd, verified, rehearsed, kept, copied away and restored. What a
//! backup is and which are kept is decided in [`crate::core::backup`].

pub mod bundle;
pub mod high_water;
pub mod index;
pub mod progress;
pub mod prune;
pub mod rehearse;
pub mod restore;
pub mod signing;
pub mod take;
pub mod targets;
pub mod verify;

pub use progress::Progress;

/// Directory of the state directory that belongs to backups: index, keys, high water.
pub const STATE: &str = "backup";

/// Directory in it whose lock is held while one of its small files is replaced.
const LOCK: &str = "lock";
