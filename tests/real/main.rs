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
mod backup_binary;
mod backup_daemon;
mod backup_node;
mod backup_rehearse;
mod backup_restore;
mod backup_take;
mod backup_take_members;
mod backup_take_streams;
mod backup_targets;
mod backup_targets_age;
mod backup_targets_directory;
mod backup_targets_kills;
mod backup_targets_queue;
mod backup_verify;
mod cleanup;
mod containerd;
mod containerd_process;
mod control_plane;
mod encryption;
mod engine;
mod engine_lab;
mod etcd;
mod etcd_cluster;
mod etcd_load;
mod etcd_way;
mod guard;
mod hygiene;
mod hygiene_leases;
mod recover;
mod recover_etcd;
mod recover_lab;
mod recover_trees;
mod recovery_etcd;
mod recovery_etcd_keeper;
mod recovery_etcd_kills;
mod recovery_etcd_node;
mod recovery_etcd_replace;
mod recovery_observe;
mod rehearsal;
mod s3_server;
mod target_stage;
