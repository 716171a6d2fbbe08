//! `rekindle cleanup`: what is to be done to take Kubernetes off a node, decided from facts.
//!
//! Every step may be repeated: a run that was cut off looks again and plans what is left. Nothing
//! is deleted: what is moved goes to a quarantine, whose [`list::List`] says how it comes back.

pub mod facts;
pub mod list;
pub mod plan;
