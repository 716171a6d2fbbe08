//! Recovery mode's hands: what is done to bring a control plane back, and what is told of it.
//! Decided in [`crate::core::recovery`]; carried out by the daemon's task of recovery.

/// Directory of the state directory for all that recoveries write down and keep.
pub const PLACE: &str = "recovery";

pub mod current;
pub mod etcd;
pub mod guard;
pub mod hygiene;
pub mod report;
pub mod wall;
