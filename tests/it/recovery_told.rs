//! Recovery mode as `status` tells it (R16): how the control plane stands, and why nothing more is
//! done.

use rekindle::cli::recovery_view::section;
use rekindle::core::recovery::loss::{Condition, Loss};
use rekindle::core::recovery::part::Part;
use rekindle::core::recovery::rung::Rung;
use rekindle::core::recovery::view::{
    Chosen, Ended, Last, LossView, RecoveryReport, Running, TroubleView,
};

use crate::recovery_samples::{after, restored, running};

/// Everything that there can be to tell, at once.
pub fn lost() -> RecoveryReport {
    RecoveryReport {
        automatic: true,
        held: Some("held until 12:00 by root: upgrade of the OS".to_owned()),
        condition: Condition::Lost,
        since_seconds: 95,
        losses: vec![
            LossView {
                loss: Loss::EtcdQuorum,
                since_seconds: 107,
                due_in_seconds: 0,
                confirmed: true,
                evidence: vec!["etcd refuses connections".to_owned()],
            },
            LossView {
                loss: Loss::Schedulers,
                since_seconds: 12,
                due_in_seconds: 48,
                confirmed: false,
                evidence: Vec::new(),
            },
        ],
        troubles: vec![TroubleView {
            part: Part::Scheduler,
            what: "its container is in back-off".to_owned(),
            since_seconds: 61,
            handler: "the kubelet".to_owned(),
        }],
        waits: vec!["an operator: recovery mode is latched".to_owned()],
        unknown: vec!["kubelet: no answer within 5 s".to_owned()],
        chosen: Some(Chosen {
            rung: Rung::Backup,
            loss_seconds: Some(720),
            takes_seconds: Some(50),
        }),
        blockers: vec!["an image is missing: registry.k8s.io/etcd:3.5.16".to_owned()],
        latched: Some("3 recoveries within a day".to_owned()),
        running: Running::of(&running(), after(33_000)),
        last: Last::of(&restored()),
        ended: Ended {
            recovered: 3,
            ..Ended::default()
        },
    }
}

#[test]
fn r16_status_tells_how_the_control_plane_stands_and_why_nothing_more_is_done() {
    let lines = section(&lost(), after(3_657_200));
    let told: Vec<String> = lines
        .iter()
        .map(|(line, bad)| format!("{}{line}", if *bad { "!" } else { " " }))
        .collect();
    insta::assert_snapshot!("section", told.join("\n"));
    let calm = RecoveryReport {
        automatic: true,
        condition: Condition::Healthy,
        since_seconds: 7200,
        chosen: Some(Chosen {
            rung: Rung::Backup,
            loss_seconds: Some(0),
            takes_seconds: None,
        }),
        ..RecoveryReport::default()
    };
    let lines = section(&calm, after(0));
    let expected = [
        ("  condition  healthy for 2 h 0 min", false),
        ("  way back   backup: loses nothing", false),
    ];
    let expected = expected.map(|(text, bad)| (text.to_owned(), bad));
    assert_eq!(lines, expected);
}

#[test]
fn what_only_passes_wakes_nobody() {
    let mut later = lost();
    later.since_seconds += 5;
    later.losses[0].since_seconds += 5;
    later.losses[1].due_in_seconds -= 5;
    later.troubles[0].since_seconds += 5;
    let running = later.running.as_mut().unwrap();
    running.elapsed_seconds += 5;
    running.phase_seconds += 5;
    assert_ne!(later, lost());
    assert_eq!(later.timeless(), lost().timeless());
    later.losses[1].confirmed = true;
    assert_ne!(later.timeless(), lost().timeless());
    assert_eq!(Running::of(&restored(), after(0)), None);
    assert_eq!(Last::of(&crate::recovery_samples::running()), None);
}

#[test]
fn a_report_of_another_version_is_read() {
    let text = serde_json::to_string(&lost()).unwrap();
    assert_eq!(
        serde_json::from_str::<RecoveryReport>(&text).unwrap(),
        lost()
    );
    let old: RecoveryReport =
        serde_json::from_str("{\"condition\":\"healthy\",\"new\":1}").unwrap();
    assert_eq!(old.condition, Condition::Healthy);
}
