//! Which backups are pruned, each with its reason.
//!
//! The rules count backups and never measure their age against `now`, so a clock that jumps
//! forward prunes nothing (scenario D03). What is dated after `now` is kept and displaces nothing.
//! Unverified backups are counted apart and so never displace a verified one: each rule is applied
//! to the verified ones, and for the unverified ones to all together. The limits of bytes and of
//! free space take unverified ones first, then verified ones, oldest first.
//!
//! Never pruned: the newest verified one (scenario B04), the newest rehearsed one, and, as long as
//! none is verified, anything at all.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::id::BackupId;
use super::policy::Retention;
use super::record::Kept;

/// What becomes of one backup, and why, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fate {
    /// The backup.
    pub id: BackupId,
    /// False: pruned.
    pub keep: bool,
    /// `newest verified`, `daily 2026-11-23`, `no rule keeps it`, `over the limit of 20.0 GiB`.
    pub reason: String,
}

/// Whether there is room to begin another backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Enough,
    /// Once these are pruned, in this order.
    Prune(Vec<BackupId>),
    /// No: even then so many bytes are missing.
    No {
        /// What is missing in bytes.
        missing: u64,
    },
}

/// Why a backup must stay, or what rules say of it.
struct Judged<'a> {
    backup: &'a Kept,
    /// It stays whatever the limits say.
    protected: bool,
    /// Why it is kept; empty: no rule keeps it.
    reasons: Vec<String>,
}

/// What becomes of each backup, newest first. `free_bytes`: of the file system they are on.
pub fn fates(kept: &[Kept], retention: &Retention, free_bytes: u64, now: Timestamp) -> Vec<Fate> {
    let judged = judge(kept, retention, now);
    let mut fates: Vec<Fate> = judged.iter().map(Judged::fate).collect();
    let bytes_of = |fates: &[Fate], keep: bool| -> u64 {
        let these = fates
            .iter()
            .zip(&judged)
            .filter(|(fate, _)| fate.keep == keep);
        these.fold(0, |sum, (_, judged)| {
            sum.saturating_add(judged.backup.bytes)
        })
    };
    for place in expendable(&judged) {
        let over = retention.max_bytes > 0 && bytes_of(&fates, true) > retention.max_bytes;
        let free = free_bytes.saturating_add(bytes_of(&fates, false));
        let reason = if over {
            format!("over the limit of {}", size(retention.max_bytes))
        } else if free < retention.min_free_bytes {
            format!("less than {} are free", size(retention.min_free_bytes))
        } else {
            break;
        };
        if let Some(fate) = fates.get_mut(place).filter(|fate| fate.keep) {
            fate.keep = false;
            fate.reason = reason;
        }
    }
    fates
}

/// Why backups must stay whatever the rules and limits say; those that may go are not in it.
pub fn protections(kept: &[Kept], now: Timestamp) -> BTreeMap<BackupId, String> {
    let judged = judge(kept, &Retention::NONE, now);
    let protected = judged.into_iter().filter(|it| it.protected);
    protected
        .map(|it| (it.backup.id.clone(), it.reasons.join(", ")))
        .collect()
}

/// Whether a backup of about `estimated` bytes may be begun where `free_bytes` are free: as many
/// as are to stay free must be left, if need be after others are pruned. The limit of bytes refuses
/// none: it is enforced once the new one is verified, for only then the old one may go.
pub fn room(
    estimated: u64,
    kept: &[Kept],
    retention: &Retention,
    free_bytes: u64,
    now: Timestamp,
) -> Room {
    let wanted = estimated.saturating_add(retention.min_free_bytes);
    let mut missing = wanted.saturating_sub(free_bytes);
    if missing == 0 {
        return Room::Enough;
    }
    let judged = judge(kept, retention, now);
    let mut order = expendable(&judged);
    // Those that no rule keeps go first; the sort is stable.
    order.sort_by_key(|place| judged.get(*place).is_some_and(|it| !it.reasons.is_empty()));
    let mut first = Vec::new();
    for judged in order.into_iter().filter_map(|place| judged.get(place)) {
        first.push(judged.backup.id.clone());
        missing = missing.saturating_sub(judged.backup.bytes);
        if missing == 0 {
            return Room::Prune(first);
        }
    }
    Room::No { missing }
}

/// Bytes in words: `20.0 GiB`, `512 B`.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in units {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

impl Judged<'_> {
    fn fate(&self) -> Fate {
        Fate {
            id: self.backup.id.clone(),
            keep: !self.reasons.is_empty(),
            reason: if self.reasons.is_empty() {
                "no rule keeps it".to_owned()
            } else {
                self.reasons.join(", ")
            },
        }
    }
}

/// The rules without the limits, newest first.
fn judge<'a>(kept: &'a [Kept], retention: &Retention, now: Timestamp) -> Vec<Judged<'a>> {
    let mut judged: Vec<Judged<'a>> = kept
        .iter()
        .map(|backup| Judged {
            backup,
            protected: false,
            reasons: Vec::new(),
        })
        .collect();
    judged.sort_by(|left, right| {
        let key = |it: &Judged<'a>| (it.backup.taken_at, &it.backup.id);
        key(right).cmp(&key(left))
    });
    let mut protect = |why: &str, which: &dyn Fn(&Kept) -> bool, all: bool| {
        for it in judged.iter_mut().filter(|it| which(it.backup)) {
            it.protected = true;
            if !it.reasons.iter().any(|reason| reason == why) {
                it.reasons.push(why.to_owned());
            }
            if !all {
                break;
            }
        }
    };
    let past = |backup: &Kept| backup.taken_at <= now;
    protect("newest verified", &|it| it.verified && past(it), false);
    protect("newest rehearsed", &|it| it.rehearsed && past(it), false);
    // A rehearsal that passed before damage was found proves nothing any more.
    protect(
        "newest rehearsed",
        &|it| it.rehearsed && it.verified && past(it),
        false,
    );
    protect(
        "dated in the future: has a clock jumped?",
        &|it| !past(it),
        true,
    );
    if !kept.iter().any(|it| it.verified && past(it)) {
        protect("no backup is verified", &|_| true, true);
        return judged;
    }
    let verified: Vec<usize> = places(&judged, |it| it.verified && past(it));
    let all: Vec<usize> = places(&judged, past);
    let newest = verified.first().copied().unwrap_or(0);
    for place in all.iter().filter(|place| **place < newest) {
        if let Some(it) = judged.get_mut(*place) {
            it.reasons.push("newer than the newest verified".to_owned());
        }
    }
    count(&mut judged, &verified, retention, true);
    count(&mut judged, &all, retention, false);
    judged
}

fn places(judged: &[Judged<'_>], which: impl Fn(&Kept) -> bool) -> Vec<usize> {
    let numbered = judged.iter().enumerate();
    numbered
        .filter(|(_, it)| which(it.backup))
        .map(|(place, _)| place)
        .collect()
}

/// Applies the rules to the backups at `places`, newest first, and notes what they say of those
/// that are `verified` or not.
fn count(judged: &mut [Judged<'_>], places: &[usize], retention: &Retention, verified: bool) {
    type Label = fn(DateTime, usize) -> String;
    let rules: [(u32, &str, Label); 5] = [
        (retention.last, "last", |_, number| number.to_string()),
        (retention.hourly, "hourly", |at, _| {
            at.strftime("%Y-%m-%dT%H").to_string()
        }),
        (retention.daily, "daily", |at, _| {
            at.strftime("%Y-%m-%d").to_string()
        }),
        (retention.weekly, "weekly", |at, _| {
            at.strftime("%G-W%V").to_string()
        }),
        (retention.monthly, "monthly", |at, _| {
            at.strftime("%Y-%m").to_string()
        }),
    ];
    for (most, name, label) in rules {
        let mut before = None;
        let mut count = 0;
        for (number, place) in places.iter().enumerate() {
            let Some(it) = judged.get_mut(*place) else {
                continue;
            };
            let label = label(Offset::UTC.to_datetime(it.backup.taken_at), number + 1);
            if before.as_ref() == Some(&label) {
                continue;
            }
            count += 1;
            if count > most {
                break;
            }
            if it.backup.verified == verified {
                it.reasons.push(format!("{name} {label}"));
            }
            before = Some(label);
        }
    }
}

/// Places of what the limits may take, in that order.
fn expendable(judged: &[Judged<'_>]) -> Vec<usize> {
    let mut places: Vec<usize> = places(judged, |_| true);
    places.retain(|place| judged.get(*place).is_some_and(|it| !it.protected));
    places.reverse();
    places.sort_by_key(|place| judged.get(*place).is_some_and(|it| it.backup.verified));
    places
}
