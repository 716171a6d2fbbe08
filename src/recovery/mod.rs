//! Recovery mode's hands: what is done to the node. Decided in [`crate::core::recovery`].

pub mod guard;
