//! Backups: taken from a running etcd, verified, rehearsed, kept, copied away and restored. What a
//! backup is and which are kept is decided in [`crate::core::backup`].

pub mod progress;
pub mod verify;
