//! The kubelet's list of pods.
