//! The fixture itself: real clusters of each version.

use crate::etcd_cluster::Cluster;

#[tokio::test]
async fn a_cluster_of_three_loses_one_and_gets_it_back() {
    let mut cluster = Cluster::start("3.5", 3).await;
    cluster.ctl(&["put", "a", "1"]);
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.healthy().await;
    cluster.ctl(&["put", "a", "2"]);
    cluster.restart(leader).await;
    let learner = cluster.add_learner().await;
    assert_eq!(learner, 3);
    assert!(cluster.ctl(&["member", "list"]).contains("true"));
}
