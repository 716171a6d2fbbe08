//! `rekindle doctor`: what it says of backups, from data.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::outcome::Outcome;
use rekindle::core::backup::policy::{BackupPolicy, Retention};
use rekindle::core::backup::record::{Copy, Index, Kept, Record};
use rekindle::core::backup::schedule::Schedule;
use rekindle::core::doctor::backup::{Encryption, Facts, Tool, backups};
use rekindle::core::doctor::{Severity, worst};

const GIB: u64 = 1 << 30;

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A node on which all is well: a backup every six hours, rehearsed daily at 3:00.
struct Node {
    policy: BackupPolicy,
    kept: Vec<Kept>,
    index: Index,
    targets: Vec<String>,
    off: Option<String>,
    problems: Vec<String>,
    free: Option<u64>,
    key: Result<bool, String>,
    tool: Result<Tool, String>,
    encryption: Encryption,
}

impl Node {
    fn well() -> Self {
        let cron = |text| Schedule::parse(text, TimeZone::UTC).ok();
        let mut node = Self {
            policy: BackupPolicy {
                schedule: cron("0 */6 * * *"),
                rehearsal: cron("0 3 * * *"),
                spread: Duration::from_secs(3600),
                retention: Retention {
                    last: 12,
                    min_free_bytes: GIB,
                    ..Retention::NONE
                },
            },
            kept: Vec::new(),
            index: Index::default(),
            targets: vec!["nas".to_owned()],
            off: None,
            problems: Vec::new(),
            free: Some(100 * GIB),
            key: Ok(true),
            tool: Ok(Tool {
                name: "etcdutl 3.6.1".to_owned(),
                bumps: true,
            }),
            encryption: Encryption::Found("/etc/kubernetes/enc.yaml".to_owned()),
        };
        for hours in [0, 6, 12, 18] {
            node.backup(hours, Some(8).filter(|_| hours == 12));
        }
        node
    }

    /// A verified backup of so many hours ago, rehearsed so many hours ago.
    fn backup(&mut self, hours: i64, rehearsed: Option<i64>) {
        let ago = |hours| now() - SignedDuration::from_hours(hours);
        let passed = |hours| Outcome {
            at: ago(hours),
            took_ms: 1,
            checked: Vec::new(),
            failure: None,
            content: None,
        };
        let id = BackupId::new(ago(hours), "m", 0).unwrap();
        let copy = Copy {
            complete_at: Some(ago(hours)),
            ..Copy::default()
        };
        self.kept.push(Kept {
            id: id.clone(),
            taken_at: ago(hours),
            bytes: GIB,
            verified: true,
            rehearsed: rehearsed.is_some(),
            copied: true,
        });
        let record = Record {
            verified: Some(passed(hours)),
            rehearsed: rehearsed.map(passed),
            copies: [("nas".to_owned(), copy)].into(),
        };
        self.index.records.insert(id, record);
    }

    fn copy(&mut self, hours: i64) -> &mut Copy {
        let id = BackupId::new(now() - SignedDuration::from_hours(hours), "m", 0).unwrap();
        let record = self.index.records.get_mut(&id).unwrap();
        record.copies.get_mut("nas").unwrap()
    }

    /// The worst of it, and the text of all that is not well.
    fn says(&self) -> (Severity, String) {
        let found = backups(
            &Facts {
                off: self.off.clone(),
                policy: &self.policy,
                kept: &self.kept,
                index: &self.index,
                problems: self.problems.clone(),
                free_bytes: self.free,
                targets: &self.targets,
                signing_key: self.key.clone(),
                tool: self.tool.clone(),
                encryption: self.encryption.clone(),
            },
            now(),
        );
        let bad = found.iter().filter(|it| it.severity != Severity::Ok);
        // What is not well has something to do about it.
        assert!(bad.clone().all(|it| it.hint.is_some()), "{found:#?}");
        let text: Vec<String> = bad
            .map(|it| format!("{}: {}", it.severity.word(), it.what))
            .collect();
        (worst(&found), text.join("\n"))
    }
}

/// Spoils a node, and makes all on it so many hours older where it is asked to.
type Change = fn(&mut Node, &dyn Fn(&mut Node, i64));

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as it is"
)]
fn b01_silent_failures_are_found() {
    assert_eq!(Node::well().says(), (Severity::Ok, String::new()));
    let hours = |node: &mut Node, by: i64| {
        // All is so many hours older.
        let mut old = Node::well();
        old.kept.clear();
        old.index = Index::default();
        for hours in [0, 6, 12, 18] {
            old.backup(hours + by, Some(8).filter(|_| hours == 12));
        }
        (node.kept, node.index) = (old.kept, old.index);
    };
    let cases: [(&str, Change, Severity, &str); 19] = [
        (
            "months without a backup",
            |n, old| old(n, 2000),
            Severity::Fail,
            "although backups were due",
        ),
        (
            "a run missed by less than its grace",
            |n, old| old(n, 5),
            Severity::Ok,
            "",
        ),
        (
            "a run missed",
            |n, old| old(n, 10),
            Severity::Fail,
            "although backups were due",
        ),
        (
            "backups go on, rehearsals do not",
            |n, _| {
                n.kept.clear();
                n.index = Index::default();
                n.backup(0, None);
                n.backup(40, Some(36));
            },
            Severity::Fail,
            "although rehearsals were due",
        ),
        (
            "never rehearsed, for long",
            |n, _| {
                n.kept.clear();
                n.backup(0, None);
                n.backup(50, None);
            },
            Severity::Fail,
            "no backup is proven restorable",
        ),
        (
            "not yet rehearsed",
            |n, _| {
                n.kept.clear();
                n.backup(0, None);
            },
            Severity::Warn,
            "no backup is proven restorable",
        ),
        (
            "nothing at all",
            |n, _| {
                n.kept.clear();
                n.index = Index::default();
            },
            Severity::Fail,
            "there is no verified backup",
        ),
        (
            "nothing verified",
            |n, _| n.kept.iter_mut().for_each(|it| it.verified = false),
            Severity::Fail,
            "there is no verified backup",
        ),
        (
            "one failure",
            |n, _| {
                n.index.runs.failures = 1;
                n.index.runs.last_try = Some((now(), Some("etcd does not answer".to_owned())));
            },
            Severity::Warn,
            "the last backup failed: etcd does not answer",
        ),
        (
            "failures in a row",
            |n, _| n.index.runs.failures = 7,
            Severity::Fail,
            "the last 7 backups failed",
        ),
        (
            "a target begins to fail",
            |n, _| {
                *n.copy(0) = Copy {
                    failures: 2,
                    last_failure: Some("403".to_owned()),
                    ..Copy::default()
                };
            },
            Severity::Warn,
            "target nas fails, 2 times in a row: 403; the newest there was taken 6 h ago",
        ),
        (
            "a target has failed for long",
            |n, _| {
                n.backup(48, None);
                *n.copy(48) = Copy {
                    failures: 40,
                    last_failure: Some("403".to_owned()),
                    ..Copy::default()
                };
            },
            Severity::Fail,
            "target nas fails, 40 times in a row",
        ),
        (
            "a target that nothing is copied to",
            |n, _| {
                n.backup(48, None);
                n.targets.push("s3".to_owned());
            },
            Severity::Fail,
            "target s3 has not every backup yet; none is there",
        ),
        (
            "no room",
            |n, _| n.free = Some(GIB / 2),
            Severity::Warn,
            "older must go",
        ),
        (
            "no room for any",
            |n, _| {
                n.free = Some(0);
                n.policy.retention.min_free_bytes = 50 * GIB;
            },
            Severity::Fail,
            "are missing for the next one",
        ),
        (
            "the key is gone",
            |n, _| n.key = Ok(false),
            Severity::Fail,
            "the signing key is gone",
        ),
        (
            "an old etcdctl",
            |n, _| {
                n.tool = Ok(Tool {
                    name: "etcdctl 3.4.23".to_owned(),
                    bumps: false,
                });
            },
            Severity::Warn,
            "etcdctl 3.4.23 restores but cannot raise revisions",
        ),
        (
            "nothing restores",
            |n, _| n.tool = Err("none".to_owned()),
            Severity::Fail,
            "nothing here restores a snapshot",
        ),
        (
            "the encryption configuration is missing",
            |n, _| n.encryption = Encryption::Unusable("/e: gone".to_owned()),
            Severity::Fail,
            "Secrets could not be read after a restore",
        ),
    ];
    for (name, change, severity, told) in cases {
        let mut node = Node::well();
        change(&mut node, &hours);
        let (worst, text) = node.says();
        assert_eq!(worst, severity, "{name}: {text}");
        assert!(text.contains(told), "{name}: {text}");
    }
}

#[test]
fn d03_a_backup_from_the_future_is_said() {
    let mut node = Node::well();
    node.backup(-30, None);
    let (worst, text) = node.says();
    assert_eq!(worst, Severity::Warn, "{text}");
    assert!(text.contains("dated in the future"), "{text}");
}

#[test]
fn a_node_without_etcd_is_no_failure() {
    let mut node = Node::well();
    node.kept.clear();
    node.off = Some("no etcd here".to_owned());
    let (worst, text) = node.says();
    assert_eq!(worst, Severity::Warn);
    assert_eq!(text.lines().count(), 1, "{text}");
}
