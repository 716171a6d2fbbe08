//! Recovery mode, the part that touches the world. Decided in [`crate::core::recovery`]; carried
//! out by the daemon's task of recovery.

pub mod current;
//! Recovery mode's hands: what is done to bring a control plane back. Decided in
//! [`crate::core::recovery`].

pub mod etcd;
