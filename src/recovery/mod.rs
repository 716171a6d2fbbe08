//! Recovery mode's hands: what is done to bring a control plane back. Decided in
//! [`crate::core::recovery`].

pub mod etcd;
