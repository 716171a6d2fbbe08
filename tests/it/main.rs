//! Tests that need no cluster: one binary, one module for each subject.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests are named for what they show, and fail by panicking"
)]

mod activation;
mod apiserver;
mod config;
mod engines;
#[cfg(feature = "failpoints")]
mod failpoints;
mod handing_over;
mod kubelet;
mod manifests_dir;
mod manifests_watch;
mod peer;
mod probe;
mod properties;
mod removing;
mod store_disk;
mod store_revisions;
mod store_samples;
mod store_state;
mod tidy;
mod world;
