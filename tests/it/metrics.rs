//! Metrics: the table in the code is what is rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::report::{Backup, BackupsReport, LastRun, TargetReport};
use rekindle::daemon::publish::{Counters, Published, Tries};
use rekindle::metrics::{render, rows};

use crate::api::report;

fn backups() -> BackupsReport {
    let backup = Backup {
        id: BackupId::parse("20261124T090000Z-m1").unwrap(),
        taken_at: "2026-11-24T09:00:00Z".parse().unwrap(),
        bytes: 4096,
    };
    let run = LastRun {
        run: 7,
        ended_at: "2026-11-24T10:00:00Z".parse().unwrap(),
        took_ms: Some(1500),
        id: Some(backup.id.clone()),
        failure: None,
        notes: Vec::new(),
    };
    BackupsReport {
        on: true,
        last_run: Some(run.clone()),
        last_rehearsal: Some(run),
        failures_in_a_row: 3,
        newest: Some(backup.clone()),
        newest_verified: Some(backup.clone()),
        newest_proven: Some(backup),
        proven_at: Some("2026-11-24T11:00:00Z".parse().unwrap()),
        kept: 1,
        kept_bytes: 4096,
        free_bytes: Some(1 << 30),
        min_free_bytes: 1 << 20,
        high_water_revision: Some(123_456),
        targets: vec![TargetReport {
            name: "s3".to_owned(),
            complete: 1,
            pending: 2,
            last_success: None,
            failures: 4,
            last_failure: None,
        }],
        ..BackupsReport::default()
    }
}

fn published(handover: Option<f64>) -> Published {
    Published {
        generation: 7,
        report: Arc::new(report()),
        counters: Arc::new(Counters {
            turns: 12,
            last_turn_seconds: 0.25,
            actions: BTreeMap::from([(("write-manifest", "done"), 3)]),
            last_handover_seconds: handover,
        }),
        backups: Arc::new(backups()),
        tries: Tries {
            backups_done: 5,
            backups_failed: 2,
            rehearsals_done: 1,
            rehearsals_failed: 0,
        },
        recovery: Arc::new(crate::recovery_told::lost()),
        ..Published::default()
    }
}

#[test]
fn renders_each_row_of_the_table_and_nothing_else() {
    let text = render(&published(Some(1.5)));
    let rendered: BTreeMap<&str, BTreeSet<&str>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let name = line.split(['{', ' ']).next().unwrap();
            let labels = line
                .split_once('{')
                .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            (name, labels.map(|(label, _)| label).collect())
        })
        .collect();
    let table: BTreeMap<&str, BTreeSet<&str>> = rows()
        .map(|(name, labels, _)| {
            (
                *name,
                labels.split(", ").filter(|l| !l.is_empty()).collect(),
            )
        })
        .collect();
    assert_eq!(rendered, table, "{text}");
}

#[test]
fn values_are_those_published() {
    let text = render(&published(None));
    for line in [
        "rekindle_source_up{source=\"containerd\"} 1.0",
        "rekindle_source_state_seconds{source=\"containerd\"} 61.0",
        "rekindle_checkpoints{state=\"inactive\"} 1.0",
        "rekindle_checkpoints{state=\"active\"} 0.0",
        "rekindle_checkpoint_state{checkpoint=\"daemonset.kube-system.kube-apiserver\",state=\"inactive\"} 1.0",
        "rekindle_missing_images 0.0",
        "rekindle_turns_total 12",
        "rekindle_turn_duration_seconds 0.25",
        "rekindle_actions_total{action=\"write-manifest\",outcome=\"done\"} 3",
        "rekindle_backup_enabled 1.0",
        "rekindle_backup_running{work=\"rehearsal\"} 0.0",
        "rekindle_backup_newest_proven_timestamp_seconds 1795510800.0",
        "rekindle_backup_last_proof_timestamp_seconds 1795518000.0",
        "rekindle_backup_last_run_duration_seconds 1.5",
        "rekindle_backup_runs_total{work=\"backup\",outcome=\"failed\"} 2",
        "rekindle_backup_target_failures{target=\"s3\"} 4.0",
        "rekindle_backup_target_last_success_timestamp_seconds{target=\"s3\"} 0.0",
        "rekindle_backup_high_water_revision 123456.0",
        "rekindle_control_plane_condition{condition=\"lost\"} 1.0",
        "rekindle_control_plane_condition{condition=\"healthy\"} 0.0",
        "rekindle_control_plane_condition_seconds 95.0",
        "rekindle_control_plane_lost{loss=\"etcd-quorum\"} 1.0",
        "rekindle_control_plane_lost{loss=\"schedulers\"} 0.0",
        "rekindle_control_plane_suspected{loss=\"schedulers\"} 1.0",
        "rekindle_control_plane_troubles{part=\"kube-scheduler\"} 1.0",
        "rekindle_recovery_latched 1.0",
        "rekindle_recovery_blockers 1.0",
        "rekindle_recovery_running 1.0",
        "rekindle_recovery_running_seconds 21.0",
        "rekindle_recovery_runs_total{outcome=\"recovered\"} 3",
        "rekindle_recovery_last_duration_seconds 45.0",
        "rekindle_recovery_last_success 1.0",
        "rekindle_recovery_last_lost_seconds 660.0",
        "rekindle_recovery_predicted_lost_seconds 720.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("handover_gap"),
        "nothing was handed over yet: {text}"
    );
}
