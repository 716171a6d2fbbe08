//! Recovery of a control plane from what is left of it: which of the found objects make it up, and
//! the files that run it without an API server. Reading the sources and writing the files are the
//! adapters' work.
//!
//! Reading order: [`found`] is the input, `select.rs` chooses, `pod.rs` makes each static pod out
//! of the same parts as a checkpoint, [`plan`] is the result.

mod addresses;
pub(crate) mod command;
pub mod component;
pub mod found;
mod kubeconfig;
pub mod plan;
mod pod;
mod rooted;
mod select;
mod self_hosted_etcd;
mod versions;
mod whereabouts;
