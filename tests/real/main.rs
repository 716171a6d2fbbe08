//! Tests on real components, run by `tests/run` inside the lab.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests are named for what they show, print their figures, and fail by panicking"
)]

mod apiserver;
mod backup_restore;
mod backup_targets;
mod backup_targets_directory;
mod backup_targets_kills;
mod backup_targets_queue;
mod containerd;
mod containerd_process;
mod control_plane;
mod engine;
mod engine_lab;
mod etcd;
mod etcd_cluster;
mod s3_server;
mod target_stage;
