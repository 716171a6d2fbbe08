//! Rekindle brings a lost Kubernetes control plane back by itself.

pub mod api;
pub mod apiserver;
pub mod cli;
pub mod config;
pub mod containerd;
pub mod core;
pub mod daemon;
pub mod engine;
pub mod failpoints;
pub mod fetch;
pub mod kubelet;
pub mod manifests;
pub mod metrics;
pub mod probe;
pub mod signals;
pub mod store;
pub mod systemd;
