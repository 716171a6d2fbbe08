//! The plan where there is nothing to restore from.

use rekindle::core::reading::{Reading, Unseen, UnseenKind};
use rekindle::core::recovery::loss::Loss;
use rekindle::core::recovery::plan::Asked;
use rekindle::core::recovery::resources::{Data, Resources};
use rekindle::core::recovery::rung::Rung;

use crate::recovery_plan::{asked, planned, policy, resources};

#[test]
fn of_a_restore_from_nothing_no_loss_is_foretold_and_no_backup_is_its_blocker() {
    let seen = |backup, data| Resources {
        backup,
        data,
        ..resources()
    };
    let silent = || Unseen::new(UnseenKind::Unreadable, "the disk does not answer");
    let all = [
        (Reading::Known(None), Reading::Known(Data::Absent)),
        (Reading::Unknown(silent()), Reading::Unknown(silent())),
    ];
    for (backup, data) in all {
        let absent = backup.known().is_some();
        let found = seen(backup, data);
        let by_hand = Asked::default();
        for plan in [
            planned(Loss::EtcdQuorum, &found, &policy()),
            asked(Loss::EtcdQuorum, &found, &policy(), &by_hand),
        ] {
            assert!(plan.chosen.is_none() && !plan.has_way(), "{plan:#?}");
            for rung in [Rung::DataDirectory, Rung::Backup] {
                let way = plan.rungs.iter().find(|way| way.rung == rung).unwrap();
                assert_eq!(way.loses_seconds, None, "{way:?}");
                assert_eq!(way.loses, "not known", "{way:?}");
                assert!(way.asks.iter().all(|why| !why.contains("loses")), "{way:?}");
                let told = way.blockers.join("; ");
                if absent && rung == Rung::Backup {
                    assert!(told.starts_with("no backup: "), "{told}");
                }
            }
            let told = plan.refusals.join("; ");
            assert!(!told.contains("loses"), "{told}");
        }
    }
}
