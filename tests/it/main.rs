//! Tests that need no cluster: one binary, one module for each subject.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests are named for what they show, and fail by panicking"
)]

mod activation;
mod config;
mod handing_over;
mod properties;
mod removing;
mod store_revisions;
mod store_samples;
mod store_state;
mod world;
