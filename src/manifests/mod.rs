//! The kubelet's static pod directory.
