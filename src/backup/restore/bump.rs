//! How far the revision is raised above the backup's, so that no client that saw the lost future
//! ever takes an old answer for a new one.
//!
//! The API server, its watchers and every controller remember revisions as resource versions. After
//! a restore the same numbers would come again with other content; so the restored database begins
//! above everything that was ever given out, and all before is marked compacted, which makes
//! watchers of old revisions list afresh.

/// Added to the highest revision on record. The record is up to ten seconds old where this node's
/// own is used, and as old as the backup where only that one is. etcd's documentation counts with
/// 1500 writes a second for a week and proposes this number
/// (<https://etcd.io/docs/v3.5/op-guide/recovery/#restoring-with-revision-bump>). It costs nothing:
/// there are 2^63 revisions.
pub const MARGIN: i64 = 1_000_000_000;

/// Largest revision after a bump: far below the end of the range, far above any real one.
const HIGHEST: i64 = 1 << 62;

/// What to raise the revision by, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bump {
    /// Added to the snapshot's revision.
    pub by: u64,
    /// How it was computed, in words.
    pub reason: String,
}

/// The bump for a snapshot at `revision` of a cluster that was seen at `high_water`.
///
/// `None` where the figures are no revisions.
pub fn bump(revision: i64, high_water: i64) -> Option<Bump> {
    if revision < 1 || high_water < 0 {
        return None;
    }
    let high_water = high_water.max(revision);
    let wanted = high_water.checked_add(MARGIN)?;
    if wanted > HIGHEST {
        return None;
    }
    let by = u64::try_from(wanted.checked_sub(revision)?).ok()?;
    let reason = format!(
        "{high_water} (highest revision on record) - {revision} (the backup's) + {MARGIN} (margin \
         for what was written after the record)"
    );
    Some(Bump { by, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_above_the_high_water() {
        let by = |revision, high_water| bump(revision, high_water).map(|bump| bump.by);
        assert_eq!(by(12, 40), Some(1_000_000_028));
        // A record of before the backup counts for nothing.
        assert_eq!(by(40, 12), Some(1_000_000_000));
        assert_eq!(by(0, 12), None);
        assert_eq!(by(5, -1), None);
        assert_eq!(by(5, i64::MAX), None);
        assert_eq!(by(5, i64::MAX - MARGIN), None);
    }
}
