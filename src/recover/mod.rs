//! Recovery of a lost control plane, the part that touches the world: [`sources`] reads what is
//! left of it into [`crate::core::recover::found::Found`], [`decode`] knows how its objects are
//! stored, [`certificates`] compares the planned files with this [`host`], and [`tree`] writes
//! them.

pub mod certificates;
pub mod decode;
pub mod host;
pub mod kubeconfig;
pub mod prepare;
pub mod sources;
pub mod tree;

pub use self::sources::{Source, SourceError, Want, read};
