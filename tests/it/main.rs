//! Tests that need no cluster: one binary, one module for each subject.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests are named for what they show, and fail by panicking"
)]

#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
#[cfg(feature = "failpoints")]
mod activation;
mod alerts;
mod api;
mod api_backups;
mod api_bounds;
mod api_peers;
mod apiserver;
mod apiserver_kubeconfig;
mod backup_bundle;
mod backup_disk;
mod backup_index;
mod backup_prune;
mod backup_restore;
mod backup_retention;
mod backup_samples;
mod backup_schedule;
mod backup_schedule_clock;
mod backup_verify;
mod backup_verify_damage;
mod backups_noticed;
mod bolt_file;
mod bolt_walk;
mod cleanup_plan;
mod cleanup_quarantine;
mod cli;
mod cli_disk;
mod closed_ports;
mod config;
mod config_backup;
mod daemon;
mod daemon_kills;
mod doctor;
mod doctor_cli;
mod encryption;
mod engine_log;
mod engine_plan;
mod engines;
mod failpoints;
mod failpoints_backup;
mod failpoints_backup_power;
mod failpoints_cleanup;
mod failpoints_guard;
mod failpoints_power;
mod failpoints_prune;
mod failpoints_recover;
mod failpoints_reports;
mod failpoints_start;
mod guard_files;
mod guard_learn;
mod guard_restore;
mod guard_world;
mod handing_over;
mod handing_over_beside;
mod handing_over_masters;
mod high_water;
mod holding_back;
mod kubelet;
mod manifest_access;
mod manifest_cli;
mod manifest_data;
mod manifest_facts;
mod manifest_hostile;
mod manifest_list;
mod manifest_parent;
mod manifest_pods;
mod manifest_render;
mod manifest_revision;
mod manifests_dir;
mod manifests_watch;
mod metrics;
mod operation;
mod operator_hold;
mod operator_hold_cli;
mod peer;
mod probe;
mod properties;
mod readme;
mod recover_addresses;
mod recover_certificates;
mod recover_cli;
mod recover_damage;
mod recover_database;
mod recover_decode;
mod recover_etcd;
mod recover_file;
mod recover_pods;
mod recover_properties;
mod recover_samples;
mod recover_select;
mod recover_tree;
mod recovery_asked;
mod recovery_cli;
mod recovery_course;
mod recovery_current;
mod recovery_degraded;
mod recovery_etcd;
mod recovery_false_alarms;
mod recovery_foretold;
mod recovery_hygiene;
mod recovery_leaders;
mod recovery_losses;
mod recovery_model;
mod recovery_model_seen;
mod recovery_page;
mod recovery_plan;
mod recovery_plan_nothing;
mod recovery_reports;
mod recovery_requests;
mod recovery_restraint;
mod recovery_samples;
mod recovery_simulation;
mod recovery_told;
mod recovery_world;
mod removing;
mod run;
mod signals;
mod small_disk;
mod start_beside;
mod start_decisions;
mod start_ends;
mod start_life;
mod start_objects;
mod start_places;
mod start_walks;
mod start_world;
mod store_disk;
mod store_revisions;
mod store_samples;
mod store_state;
mod tidy;
mod units;
mod wall;
mod world;
