//! Leases of leader election that are looked at again, on a real API server.

use jiff::{SignedDuration, Timestamp};
use rekindle::core::recovery::leaders::Proven;
use rekindle::core::recovery::record::Ending;
use rekindle::recovery::hygiene::{Released, Restored, release};

use crate::control_plane::NODE;
use crate::hygiene::{Stage, lease};

#[tokio::test]
async fn a_lease_is_released_once_its_holder_has_given_up_and_whoever_leads_keeps_his() {
    let stage = Stage::new().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    let lost = Timestamp::now();
    let before = lost - SignedDuration::from_secs(33);
    let (held, led) = ("kube-scheduler", "kube-controller-manager");
    stage.create(leases, &lease(held, "n_1", before)).await;
    let later = lost + SignedDuration::from_secs(60);
    stage.create(leases, &lease(led, "n_2", later)).await;
    let holder = async |name: &str| {
        let lease = stage.get(&format!("{leases}/{name}")).await.unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    };
    let mut known = Restored {
        node: NODE.to_owned(),
        lost_at: lost,
        restored_at: lost + SignedDuration::from_secs(1),
        etcd_lived: false,
    };
    let nothing = Proven::default();
    let early = release(&stage.asker, &known, &nothing).await.unwrap();
    assert_eq!((early.cleared.len(), early.left), (0, 1));
    assert_eq!(holder(held).await, "n_1", "it may still lead");
    // Two durations of 15 s after the loss it does no more.
    known.lost_at = lost - SignedDuration::from_secs(31);
    let due = release(&stage.asker, &known, &nothing).await.unwrap();
    assert_eq!((due.cleared.len(), due.left), (1, 0), "{due:?}");
    assert_eq!(due.cleared[0].end, Ending::Done);
    assert_eq!(holder(held).await, "");
    assert_eq!(holder(led).await, "n_2");
    let again = release(&stage.asker, &known, &nothing).await.unwrap();
    assert_eq!(again, Released::default());
    stage.plane.stop().await;
}
