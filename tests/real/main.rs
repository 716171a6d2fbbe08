//! Tests on real components, run by `tests/run` inside the lab.
#![allow(missing_docs, reason = "tests are named for what they show")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and print their figures"
)]

mod containerd;
mod containerd_process;
