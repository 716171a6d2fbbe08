//! Records of recoveries for tests: one that restored etcd in 45 s, and how others end.

use jiff::{SignedDuration, Timestamp};
use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::record::{Ending, Event, Finding, Outcome, Phase, Record, Trigger};
use rekindle::core::recovery::rung::Rung;

/// When the loss of the samples was first seen.
pub fn zero() -> Timestamp {
    "2026-11-25T09:30:00Z".parse().unwrap()
}

/// So many milliseconds after it.
pub fn after(millis: i64) -> Timestamp {
    zero() + SignedDuration::from_millis(millis)
}

fn phase(what: &str, from: i64, to: i64, note: &str) -> Phase {
    Phase {
        what: what.to_owned(),
        began: after(from),
        ended: Some(after(to)),
        note: note.to_owned(),
    }
}

fn event(at: i64, what: &str, api: Option<bool>) -> Event {
    Event {
        at: after(at),
        what: what.to_owned(),
        api,
    }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// etcd's data directory was deleted; the newest backup brought it back in 45 s.
pub fn restored() -> Record {
    Record {
        id: "20261125T093012Z-master1".to_owned(),
        node: "master1".to_owned(),
        trigger: Trigger::Automatic,
        losses: vec![Loss::EtcdQuorum],
        evidence: texts(&[
            "etcd at https://127.0.0.1:2379 refuses connections, and has for 12 s",
            "the data directory /var/lib/etcd has no member directory",
            "the API server at https://127.0.0.1:6443 answers /readyz with 500: etcd failed",
            "containerd answers: the container of etcd exited with 1 four times in a row",
            "no other master is configured, and this boot is 3 h 12 min old",
        ]),
        rung: Rung::Backup,
        plan: texts(&[
            "checkpoints: would not help, etcd has no data",
            "data-directory: not possible, nothing is left of it",
            "backup: 20261125T091900Z-master1, rehearsed at 09:21, loses at most 11 min 0 s, takes about 50 s",
        ]),
        suspected_at: zero(),
        entered_at: after(12_000),
        ended_at: Some(after(57_200)),
        outcome: Some(Outcome::Recovered),
        phases: vec![
            phase("stopping etcd", 12_000, 13_400, "its manifest moved aside, its container seen to be gone"),
            phase("choosing a backup", 13_400, 14_100, "20261125T091900Z-master1: signature and digests are good"),
            phase("restoring the snapshot", 14_100, 21_300, "revision 1 402 113 raised to 2 402 113, marked as compacted"),
            phase("putting the new data in place", 21_300, 21_700, ""),
            phase("starting etcd", 21_700, 27_900, "the kubelet took 4 s to see the manifest"),
            phase("waiting for the API server", 27_900, 38_600, "its container was in back-off"),
            phase("waiting for controller manager and scheduler", 38_600, 49_000, "both are Ready"),
            phase("clearing up", 49_000, 57_200, "2 things"),
        ],
        events: vec![
            event(800, "no API server serves", Some(false)),
            event(12_000, "etcd quorum counts as lost; recovery begins by itself", None),
            event(13_300, "etcd is stopped", None),
            event(21_300, "the snapshot is restored and verified: 8 214 keys", None),
            event(26_900, "etcd answers with revision 2 402 113", None),
            event(38_600, "the API server serves", Some(true)),
            event(44_100, "kube-controller-manager holds its lease", None),
            event(48_700, "kube-scheduler is Ready", None),
            event(51_200, "master lease of 10.0.0.12 is deleted", None),
            event(57_200, "recovery has ended", None),
        ],
        lost_seconds: Some(660),
        moved_aside: texts(&[
            "/var/lib/etcd.before-20261125T093012Z-master1",
            "/var/lib/rekindle/recovery/20261125T093012Z-master1/etcd.yaml",
        ]),
        hygiene: vec![
            Finding {
                kind: "endpoints".to_owned(),
                what: "an API server at 10.0.0.12 is registered and does not renew it".to_owned(),
                end: Ending::Done,
            },
            Finding {
                kind: "leases".to_owned(),
                what: "lease kube-scheduler is held by master2_5c1d, of master2, which is no node any more".to_owned(),
                end: Ending::Done,
            },
            Finding {
                kind: "pods".to_owned(),
                what: "pod default/job-x7 runs here and is not in the restored data".to_owned(),
                end: Ending::Left("the kubelet ends it by itself".to_owned()),
            },
        ],
    }
}

/// The same, cut off in the middle.
pub fn running() -> Record {
    let mut record = restored();
    "20261125T103012Z-master1".clone_into(&mut record.id);
    record.phases.truncate(6);
    let last = record.phases.last_mut().unwrap();
    last.ended = None;
    "the API server answers /readyz".clone_into(&mut last.note);
    record.events.truncate(5);
    record.outcome = None;
    record.ended_at = None;
    record.lost_seconds = None;
    record.hygiene.clear();
    record
}

/// Text that would break out of any place that it is not escaped in.
pub const HOSTILE: &str = "</title></style><script>alert('x')</script>\"'><img src=x \
                           onerror=alert(1)>&amp;\u{202e}\u{0}\u{1b}[2J";

/// Every text of it is hostile.
pub fn hostile() -> Record {
    let text = HOSTILE.to_owned();
    let mut record = restored();
    record.id.clone_from(&text);
    record.node.clone_from(&text);
    record.outcome = Some(Outcome::Failed(text.clone()));
    for line in record
        .evidence
        .iter_mut()
        .chain(&mut record.plan)
        .chain(&mut record.moved_aside)
    {
        line.clone_from(&text);
    }
    for phase in &mut record.phases {
        phase.what.clone_from(&text);
        phase.note.clone_from(&text);
    }
    for event in &mut record.events {
        event.what.clone_from(&text);
    }
    for finding in &mut record.hygiene {
        finding.kind.clone_from(&text);
        finding.what.clone_from(&text);
        finding.end = Ending::Left(text.clone());
    }
    record
}
