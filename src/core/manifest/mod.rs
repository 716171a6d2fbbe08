//! A parent pod becomes a self-contained static pod: manifest plus files.
//!
//! Reading order: [`parent`] says which pods are parents and under which key, [`list`] finds them
//! in a kubelet's answer, [`needs`] says what must be read for them, [`render`] makes the
//! checkpoint. Nothing here does I/O; reading Secrets and writing files are the adapters' work.

mod access;
pub mod contained;
mod digest;
pub(crate) mod downward;
mod env;
pub mod expand;
pub mod facts;
mod findings;
pub mod finish;
pub mod gathered;
pub mod list;
mod mounts;
pub mod names;
pub mod needs;
pub mod parent;
mod payload;
pub(crate) mod quantity;
pub mod references;
pub mod render;
pub mod rendered;
mod spec;
mod tree;
pub mod unknown;
mod volumes;

/// Annotation by which a pod asks to be checkpointed; its value must be exactly `true`.
pub const ANNOTATION_PARENT: &str = "checkpointer.alpha.coreos.com/checkpoint";
/// Annotation that marks a checkpoint; names the parent pod.
pub const ANNOTATION_CHECKPOINT_OF: &str = "checkpointer.alpha.coreos.com/checkpoint-of";
/// Annotation with the checkpoint's key on the static pod.
pub const ANNOTATION_ID: &str = "rekindle.dev/checkpoint-id";
/// Annotation with the revision on the static pod.
pub const ANNOTATION_REVISION: &str = "rekindle.dev/revision";
/// Annotation with the number of the activation: makes each activation's static pod uid its own.
pub const ANNOTATION_ACTIVATION: &str = "rekindle.dev/activation";
/// Pod label on the static pod, so that containerd's labels tell our copies: the first 16 hex
/// digits of the SHA-256 of the checkpoint's key.
pub const LABEL_CHECKPOINT: &str = "rekindle.dev/checkpoint";
