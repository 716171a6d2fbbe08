//! Recovery of a lost control plane, the part that touches the world: [`sources`] reads what is
//! left of it into [`crate::core::recover::found::Found`], [`decode`] knows how its objects are
//! stored.

pub mod decode;
pub mod sources;

pub use self::sources::{Source, SourceError, Want, read};
