//! Tests on real components, run by `tests/run` inside the lab.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests are named for what they show, and fail by panicking"
)]

mod apiserver;
mod control_plane;
