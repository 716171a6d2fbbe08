//! Backups as data and decisions: what a backup is, when one is due, which are kept.
//!
//! Pure, as all of `core`: taking, verifying, rehearsing, uploading and restoring are in
//! `crate::backup`.

pub mod id;
pub mod manifest;
pub mod outcome;
pub mod policy;
pub mod record;
pub mod report;
pub mod retention;
pub mod schedule;
