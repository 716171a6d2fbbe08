//! Findings on backups (scenario B01): is there one that is proven to restore, is it new enough,
//! and would the next one and a restore succeed?
//!
//! "New enough" is told by the schedule: a run that was due may be late by the spread of the
//! nodes and two hours, then it counts as missed. That is 26 hours for a daily one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Severity};
use crate::core::backup::policy::BackupPolicy;
use crate::core::backup::record::{Index, Kept};
use crate::core::backup::retention::{Room, room, size};
use crate::core::backup::schedule::Schedule;

const SECTION: &str = "backups";
/// A run may be late by this beside the spread.
const LATE: Duration = Duration::from_secs(2 * 3600);
/// A copy may be away for so long before it is missed.
const COPY_LATE: SignedDuration = SignedDuration::from_hours(26);

/// What is known of backups on this node.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Why none are taken; `None`: they are.
    pub off: Option<String>,
    /// When they are taken and rehearsed, which are kept.
    pub policy: &'a BackupPolicy,
    /// Those on this node.
    pub kept: &'a [Kept],
    /// Results, copies and runs.
    pub index: &'a Index,
    /// What was lost of the index, and what lies among the backups and is none.
    pub problems: Vec<String>,
    /// Free bytes where they are kept; `None`: not known.
    pub free_bytes: Option<u64>,
    /// Names of the targets.
    pub targets: &'a [String],
    /// The signing key: `Ok(false)`: none yet.
    pub signing_key: Result<bool, String>,
    /// The program that restores.
    pub tool: Result<Tool, String>,
    /// Encryption of Secrets.
    pub encryption: Encryption,
}

/// The program that restores snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// `etcdutl 3.6.1` or the like, for people.
    pub name: String,
    /// It can raise revisions over what clients have seen.
    pub bumps: bool,
}

/// How the API server of this node stores Secrets, as far as its manifests say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// No manifest names a configuration.
    None,
    /// A configuration that is there and understood.
    Found(String),
    /// One that opens nothing here: missing, unreadable, or with a key that is elsewhere.
    Unusable(String),
}

/// The findings.
pub fn backups(facts: &Facts<'_>, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(off) = &facts.off {
        let what = format!("this node takes no backups: {off}");
        found.push(finding(Severity::Warn, what).hint(
            "set etcd.* and backup.* in /etc/rekindle/config.toml, then `rekindle backup now`",
        ));
        if facts.kept.is_empty() {
            return found;
        }
    }
    found.push(proven(facts, now));
    found.push(verified(facts, now));
    found.extend(failures(facts));
    found.extend(facts.targets.iter().map(|name| target(name, facts, now)));
    found.push(free(facts, now));
    found.push(key(facts));
    found.push(tool(facts));
    found.push(encryption(facts));
    let problems = facts.problems.iter();
    found.extend(problems.map(|problem| {
        finding(Severity::Warn, problem.clone()).hint("`rekindle backup list` shows what is there")
    }));
    found
}

fn finding(severity: Severity, what: impl Into<String>) -> Finding {
    Finding::new(SECTION, severity, what)
}

fn newest<'a>(facts: &Facts<'a>, which: impl Fn(&Kept) -> bool) -> Option<&'a Kept> {
    let these = facts.kept.iter().filter(|kept| which(kept));
    these.max_by_key(|kept| (kept.taken_at, &kept.id))
}

/// Something of `at` is older than the schedule asks for.
fn overdue(
    schedule: Option<&Schedule>,
    policy: &BackupPolicy,
    at: Timestamp,
    now: Timestamp,
) -> bool {
    let late = now.checked_sub(LATE.saturating_add(policy.spread));
    let due = late.ok().and_then(|late| schedule?.last(late));
    due.is_some_and(|due| at < due)
}

fn proven(facts: &Facts<'_>, now: Timestamp) -> Finding {
    let schedule = facts.policy.rehearsal.as_ref();
    let when = |kept: &Kept| {
        let record = facts.index.records.get(&kept.id)?;
        record.rehearsed.as_ref().map(|outcome| outcome.at)
    };
    let hint = "`rekindle backup rehearse` proves the newest one now and says what fails";
    let Some(proven) = newest(facts, |kept| kept.rehearsed) else {
        // A first rehearsal that is not due yet is no failure.
        let oldest = facts.kept.iter().filter(|kept| kept.verified);
        let oldest = oldest.map(|kept| kept.taken_at).min();
        let due = oldest.is_none_or(|at| overdue(schedule, facts.policy, at, now));
        let severity = match (facts.kept.is_empty(), due) {
            (false, false) => Severity::Warn,
            _ => Severity::Fail,
        };
        return finding(severity, "no backup is proven restorable").hint(hint);
    };
    let at = when(proven).unwrap_or(proven.taken_at);
    let what = format!(
        "{} is proven restorable, taken {}",
        proven.id,
        ago(proven.taken_at, now)
    );
    if schedule.is_none() {
        return finding(Severity::Warn, format!("{what}; no schedule of rehearsals"))
            .since(Some(at))
            .hint("set backup.rehearsal_schedule");
    }
    if overdue(schedule, facts.policy, at, now) {
        let what = format!("{what}, and none since, although rehearsals were due");
        return finding(Severity::Fail, what).since(Some(at)).hint(hint);
    }
    finding(Severity::Ok, what).since(Some(at))
}

fn verified(facts: &Facts<'_>, now: Timestamp) -> Finding {
    let schedule = facts.policy.schedule.as_ref();
    let hint = "`rekindle backup now` takes one and says what fails";
    let Some(verified) = newest(facts, |kept| kept.verified) else {
        // Newly installed: nothing was due yet.
        let begun = facts.index.runs.backup_due;
        let new = facts.index.runs.last_try.is_none()
            && facts.kept.is_empty()
            && begun.is_some_and(|at| !overdue(schedule, facts.policy, at, now));
        let severity = if new { Severity::Warn } else { Severity::Fail };
        return finding(severity, "there is no verified backup").hint(hint);
    };
    let what = format!(
        "{} is the newest verified, taken {}",
        verified.id,
        ago(verified.taken_at, now)
    );
    let since = Some(verified.taken_at);
    if verified.taken_at > now {
        return finding(Severity::Warn, format!("{what}: dated in the future"))
            .since(since)
            .hint("has this node's clock jumped? `timedatectl` shows it");
    }
    if schedule.is_none() {
        return finding(Severity::Warn, format!("{what}; no schedule"))
            .since(since)
            .hint("set backup.schedule");
    }
    if overdue(schedule, facts.policy, verified.taken_at, now) {
        let what = format!("{what}, and none since, although backups were due");
        return finding(Severity::Fail, what).since(since).hint(hint);
    }
    finding(Severity::Ok, what).since(since)
}

fn failures(facts: &Facts<'_>) -> Option<Finding> {
    let runs = &facts.index.runs;
    let severity = match runs.failures {
        0 => return None,
        1 => Severity::Warn,
        _ => Severity::Fail,
    };
    let (at, why) = match &runs.last_try {
        Some((at, why)) => (Some(*at), why.as_deref().unwrap_or("not known")),
        None => (None, "not known"),
    };
    let what = match runs.failures {
        1 => format!("the last backup failed: {why}"),
        count => format!("the last {count} backups failed, the last one: {why}"),
    };
    Some(
        finding(severity, what)
            .since(at)
            .hint("`rekindle backup now` tries at once and shows each step"),
    )
}

fn target(name: &str, facts: &Facts<'_>, now: Timestamp) -> Finding {
    let copy = |kept: &Kept| facts.index.records.get(&kept.id)?.copies.get(name);
    let complete = |kept: &Kept| copy(kept).is_some_and(|copy| copy.complete_at.is_some());
    let pending = facts.kept.iter().filter(|kept| !complete(kept));
    let worst = pending
        .clone()
        .filter_map(copy)
        .max_by_key(|copy| copy.failures);
    // The newest is what a disaster asks for.
    let oldest = pending.map(|kept| kept.taken_at).min();
    let newest_there = newest(facts, complete).map(|kept| kept.taken_at);
    let Some(oldest) = oldest else {
        return finding(Severity::Ok, format!("target {name} has every backup"));
    };
    let failing = worst.filter(|copy| copy.failures > 0);
    let what = match failing {
        Some(copy) => format!(
            "target {name} fails, {} times in a row: {}",
            copy.failures,
            copy.last_failure.as_deref().unwrap_or("not known")
        ),
        None => format!("target {name} has not every backup yet"),
    };
    let long = now.duration_since(oldest) > COPY_LATE;
    let severity = match (failing, long) {
        (None, false) => Severity::Ok,
        (_, true) => Severity::Fail,
        (Some(_), false) => Severity::Warn,
    };
    let what = match newest_there {
        Some(at) => format!("{what}; the newest there was taken {}", ago(at, now)),
        None => format!("{what}; none is there"),
    };
    let told = finding(severity, what).since(Some(oldest));
    if severity == Severity::Ok {
        return told;
    }
    told.hint(format!(
        "check address, credentials, clock and permission to write of backup.targets.{name}; it is tried again by itself"
    ))
}

fn free(facts: &Facts<'_>, now: Timestamp) -> Finding {
    let retention = &facts.policy.retention;
    let Some(free) = facts.free_bytes else {
        return finding(
            Severity::Warn,
            "free space where backups are kept is not known",
        )
        .hint("look at backup.directory");
    };
    let estimated = newest(facts, |_| true).map_or(0, |kept| kept.bytes);
    let what = format!("{} are free where backups are kept", size(free));
    match room(estimated, facts.kept, retention, free, now) {
        Room::Enough => finding(Severity::Ok, what),
        Room::Prune(first) => {
            let what = format!("{what}: for the next one {} older must go", first.len());
            finding(Severity::Warn, what)
                .hint("keep fewer (backup.keep_*), or give backup.directory a larger file system")
        }
        Room::No { missing } => {
            let what = format!("{what}: {} are missing for the next one", size(missing));
            finding(Severity::Fail, what).hint(
                "`rekindle backup prune --dry-run` explains what is kept and why; backup.min_free_bytes stay free",
            )
        }
    }
}

fn key(facts: &Facts<'_>) -> Finding {
    match &facts.signing_key {
        Ok(true) => finding(Severity::Ok, "the signing key is there"),
        Ok(false) if facts.kept.is_empty() => {
            finding(Severity::Ok, "the signing key is made with the first backup")
        }
        Ok(false) => finding(Severity::Fail, "the signing key is gone: restore refuses the backups that are there")
            .hint("bring backup/signing-key and signing-key.pub of the state directory back, or trust their public key by backup.trusted_key_files"),
        Err(why) => finding(Severity::Fail, format!("the signing key cannot be used: {why}"))
            .hint("bring backup/signing-key of the state directory back"),
    }
}

fn tool(facts: &Facts<'_>) -> Finding {
    match &facts.tool {
        Ok(tool) if tool.bumps => {
            finding(Severity::Ok, format!("{} restores and raises revisions", tool.name))
        }
        Ok(tool) => finding(
            Severity::Warn,
            format!(
                "{} restores but cannot raise revisions: controllers may keep what they cached from before",
                tool.name
            ),
        )
        .hint("install etcdutl 3.5.10 or newer, or restore with --no-revision-bump and restart every client"),
        Err(why) => finding(Severity::Fail, format!("nothing here restores a snapshot: {why}"))
            .hint("install etcdutl (package etcd-client or etcd-server), or set backup.etcdutl"),
    }
}

fn encryption(facts: &Facts<'_>) -> Finding {
    match &facts.encryption {
        Encryption::None => finding(
            Severity::Ok,
            "no API server of this node encrypts Secrets by a configuration",
        ),
        Encryption::Found(path) => finding(
            Severity::Ok,
            format!("{path} is in each backup: Secrets can be read after a restore"),
        ),
        Encryption::Unusable(why) => finding(
            Severity::Fail,
            format!("Secrets could not be read after a restore: {why}"),
        )
        .hint("set backup.encryption_config_file to the EncryptionConfiguration of the API server"),
    }
}

/// `3 h ago`.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let Ok(age) = Duration::try_from(now.duration_since(then)) else {
        return "in the future".to_owned();
    };
    let minutes = age.as_secs() / 60;
    match minutes {
        0..=119 => format!("{minutes} min ago"),
        120..=2879 => format!("{} h ago", minutes / 60),
        _ => format!("{} d ago", minutes / 1440),
    }
}
