//! Tests on real components, run by `tests/run` inside the lab.

    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests are named for what they show, and fail by panicking"
    reason = "tests fail by panicking, and print their figures"
#![allow(
#![allow(missing_docs, reason = "tests are named for what they show")]
)]
mod apiserver;
mod containerd;
mod containerd_process;
mod control_plane;
