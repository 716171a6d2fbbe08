//! Whom nobody has asked yet: shortly after a start of the daemon what is not known may be known a
//! moment later, and is worth waiting for. Who was asked and did not answer is not among them.

use super::evidence::Evidence;
use crate::core::reading::{Reading, Unseen};

/// Names of the sources of which nothing has been heard since the start, not even that they do not
/// answer. `copies`: the copies of static manifests were looked at.
#[must_use]
pub fn unasked(evidence: &Evidence, copies: bool) -> Vec<String> {
    let fresh = [
        ("containerd", never(&evidence.containers)),
        ("the static pod directory", never(&evidence.manifests)),
        ("the API servers", evidence.doors.is_empty()),
        ("etcd's data directory", never(&evidence.etcd.here.data)),
        ("who runs etcd here", never(&evidence.etcd.here.host)),
        ("operations on this node", never(&evidence.operations)),
        ("an operator's hold", never(&evidence.hold)),
        ("the checkpoints", !evidence.loop_turned),
        ("the copies of static manifests", !copies),
    ];
    let fresh = fresh.into_iter().filter(|(_, never)| *never);
    fresh.map(|(name, _)| name.to_owned()).collect()
}

fn never<T>(reading: &Reading<T>) -> bool {
    reading.unseen().is_some_and(Unseen::was_never_asked)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::unasked;
    use crate::core::reading::{Reading, Unseen, UnseenKind};
    use crate::core::recovery::evidence::Evidence;
    use crate::core::time::Moment;

    #[test]
    fn who_was_asked_and_did_not_answer_is_not_waited_for() {
        let mut seen = Evidence::nothing("n1", Moment(0));
        let all = unasked(&seen, false);
        assert_eq!(all.len(), 9, "{all:?}");
        seen.containers = Reading::Unknown(Unseen::new(UnseenKind::TimedOut, "no answer"));
        // Switched off is not the same as not asked yet.
        seen.manifests = Reading::Unknown(Unseen::new(UnseenKind::NotAsked, "switched off"));
        seen.operations = Reading::Known(crate::core::operation::OperationsView::default());
        seen.hold = Reading::Known(None);
        seen.loop_turned = true;
        let left = unasked(&seen, true);
        let expected = [
            "the API servers",
            "etcd's data directory",
            "who runs etcd here",
        ];
        assert_eq!(left, expected);
        seen.containers = Reading::Known(BTreeMap::new());
        assert_eq!(unasked(&seen, true), expected);
    }
}
