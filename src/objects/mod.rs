//! Objects as an API server stores them in etcd: what a key means, and the head of a value.
//!
//! Values are read by two small messages of our own ([`prost`]'s derive, already in the tree for
//! gRPC) and not by a crate that generates all of Kubernetes' messages: those are tens of
//! thousands of lines for each version of Kubernetes, and an object of a version that they do not
//! know would fail. Here fields that are not asked for are skipped, so objects of any version are
//! read, and what a later command needs of an object (the `data` of a Secret) is one more message
//! of three lines over [`Value::Protobuf`]'s bytes.
//!
//! Nothing here reads etcd, decrypts ([`crate::encryption`]) or believes a length: hostile bytes
//! give an error.

mod body;
mod head;
mod lease;
mod place;

pub use self::body::{Body, Content};
pub use self::head::{Head, Malformed, Value};
pub use self::lease::{holder, uid};
pub use self::place::{Place, REGISTRY, place};
