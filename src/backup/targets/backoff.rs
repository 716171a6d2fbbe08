//! When a failed copy is tried again. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::core::backup::record::Copy;

/// Wait after the first failure.
const FIRST: u64 = 30;
/// Longest wait, in seconds.
const LONGEST: u64 = 3600;

/// How long to wait after so many failures in a row: doubled each time up to an hour, moved by up
/// to a quarter either way, differently for each node, so that masters do not come together.
pub fn delay(failures: u32, node: &str, target: &str) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let seconds = (FIRST << doublings).min(LONGEST);
    let digest = Sha256::digest(format!("{node}\n{target}\n{failures}"));
    let spread = digest
        .iter()
        .take(2)
        .fold(0, |sum, byte| sum * 256 + u64::from(*byte));
    // 0.75 to 1.25 in steps of 1/131072.
    let millis = seconds * 1000 * (98_304 + spread) / 131_072;
    Duration::from_millis(millis)
}

/// Whether a copy may be tried now. A time too far ahead is of a clock that was wrong.
pub fn is_due(copy: &Copy, now: Timestamp) -> bool {
    copy.complete_at.is_none() && wait(copy, now).is_zero()
}

/// How long until it may be tried.
pub fn wait(copy: &Copy, now: Timestamp) -> Duration {
    let left = copy
        .not_before
        .map_or(SignedDuration::ZERO, |at| at.duration_since(now));
    let left = left.unsigned_abs().min(Duration::MAX);
    match copy.not_before {
        Some(at) if at > now && left <= Duration::from_secs(2 * LONGEST) => left,
        _ => Duration::ZERO,
    }
}

/// What the index says after a success.
pub fn completed(now: Timestamp) -> Copy {
    Copy {
        complete_at: Some(now),
        ..Copy::default()
    }
}

/// What the index says after a failure.
pub fn failed(before: &Copy, why: String, now: Timestamp, node: &str, target: &str) -> Copy {
    let failures = before.failures.saturating_add(1);
    let later = SignedDuration::try_from(delay(failures, node, target));
    Copy {
        complete_at: None,
        failures,
        last_failure: Some(why),
        not_before: later.ok().and_then(|later| now.checked_add(later).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_differ_by_node() {
        for (failures, about) in [
            (1, 30),
            (2, 60),
            (3, 120),
            (7, 1920),
            (8, 3600),
            (900, 3600),
        ] {
            for node in ["master1", "master2", "master3"] {
                let waited = delay(failures, node, "s3").as_secs_f64();
                let about = f64::from(about);
                assert!(
                    (0.75 * about..=1.25 * about).contains(&waited),
                    "{failures}: {waited}"
                );
            }
            assert_ne!(
                delay(failures, "master1", "s3"),
                delay(failures, "master2", "s3")
            );
        }
    }

    #[test]
    fn a_failure_is_kept_with_its_reason_and_a_clock_set_back_does_not_stop_copies() {
        let now: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let copy = failed(&Copy::default(), "no".to_owned(), now, "master1", "s3");
        assert_eq!(
            (copy.failures, copy.last_failure.as_deref()),
            (1, Some("no"))
        );
        assert!(!is_due(&copy, now));
        assert!(is_due(&copy, copy.not_before.unwrap()));
        let years_before: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        assert!(is_due(&copy, years_before));
        assert!(!is_due(&completed(now), now));
    }
}
