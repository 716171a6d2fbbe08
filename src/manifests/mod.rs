//! The kubelet's static pod directory: our files in it, and who else's.
//!
//! Writes through `store::durable` only, and nothing but whole manifests ever stands in the
//! directory (C16). Decides nothing, and never takes "cannot be read" for "empty".

pub mod dir;
pub mod watch;
