//! Recovery mode's hands: what is done to bring a control plane back, and what is written down of
//! it. Decided in [`crate::core::recovery`]; carried out by the daemon's task of recovery.

pub mod current;
pub mod etcd;
//! Recovery mode carried out: what `core::recovery` decides, done and told.

pub mod hygiene;
pub mod report;
pub mod wall;
