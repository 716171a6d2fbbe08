//! Which member a backup comes from, on a real cluster of three with TLS (scenario B08).

use std::time::Duration;

use rekindle::backup::Progress;
use rekindle::backup::high_water::{observe, read};
use rekindle::backup::take::{Request, TakeError, take};
use rekindle::core::reading::chain;
use rekindle::etcd::{Alarm, AlarmKind, Allow, EtcdError};
use tokio::time::timeout;

use crate::backup_take::{Place, etcd, taken};
use crate::etcd_cluster::{Cluster, until};
use crate::etcd_load::{client, fill};

#[tokio::test]
async fn b08_a_follower_is_taken_and_what_does_not_answer_is_said() {
    let mut cluster = Cluster::start("3.5", 3).await;
    fill(&client(&cluster, 0).await, 100, 100).await;
    let leader = cluster.leader();
    let etcd = etcd(&cluster, &[0, 1, 2]).await;
    let chosen = etcd.choose(Allow::default()).await.unwrap();
    assert_ne!(chosen.endpoint, cluster.endpoint(leader));
    assert_eq!(chosen.members.len(), 3);
    assert!(chosen.marks.is_empty(), "{:?}", chosen.marks);
    assert_eq!(etcd.alarms().await.unwrap(), []);
    let follower = (0..3).find(|m| *m != leader && cluster.endpoint(*m) != chosen.endpoint);
    cluster.pause(follower.unwrap());
    let place = Place::new();
    let backup = taken(&etcd, &place.request()).await;
    let marks = &backup.bundle.manifest().marks;
    assert_eq!(marks.len(), 1, "{marks:?}");
    let silent = format!("no answer from m{}", follower.unwrap());
    assert!(marks[0].contains(&silent), "{marks:?}");
    cluster.resume(follower.unwrap());
    // The same from one endpoint alone: the others are found through it.
    cluster.healthy().await;
    cluster.kill(follower.unwrap());
    let alone = crate::backup_take::etcd(&cluster, &[leader]).await;
    let marks = alone.choose(Allow::default()).await.unwrap().marks;
    assert!(
        marks[0].contains("not compared with the other members"),
        "{marks:?}"
    );
}

#[tokio::test]
async fn b08_a_learner_is_refused() {
    let mut cluster = Cluster::start("3.5", 3).await;
    let learner = cluster.add_learner().await;
    let place = Place::new();
    let only = etcd(&cluster, &[learner]).await;
    let error = take(&only, &place.request(), &Progress::default())
        .await
        .unwrap_err();
    assert!(chain(&error).contains("learner"), "{}", chain(&error));
    assert!(error.hint().unwrap().contains("--allow-doubtful"));
    assert_eq!(place.names(), [""; 0]);
    let all = etcd(&cluster, &[learner, 0, 1, 2]).await;
    let chosen = all.choose(Allow::default()).await.unwrap();
    assert_ne!(chosen.endpoint, cluster.endpoint(learner));
}

#[tokio::test]
async fn b08_a_lagging_member_is_refused_or_marked() {
    let cluster = Cluster::start_cuttable("3.5").await;
    let leader = cluster.leader();
    let lagging = (leader + 1) % 3;
    cluster.pause(lagging);
    // More than what lies in sockets, and is read when it goes on.
    fill(&client(&cluster, leader).await, 4000, 16 << 10).await;
    cluster.cut();
    cluster.resume(lagging);
    let place = Place::new();
    let only = etcd(&cluster, &[lagging]).await;
    until("the lagging member knows no leader", async || {
        let status = only.status(&cluster.endpoint(lagging)).await;
        status.is_ok_and(|status| status.leader == 0)
    })
    .await;
    let error = take(&only, &place.request(), &Progress::default())
        .await
        .unwrap_err();
    println!("{}", chain(&error));
    assert!(chain(&error).contains("lags"), "{}", chain(&error));
    assert!(error.hint().unwrap().contains("--allow-doubtful"));
    let allow = Allow { doubtful: true };
    let marked = taken(
        &only,
        &Request {
            allow,
            ..place.request()
        },
    )
    .await;
    let marks = marked.bundle.manifest().marks.join("; ");
    assert!(marks.contains("lags"), "{marks}");
    assert!(marks.contains("no leader"), "{marks}");
    // Where there is a better one, it is taken.
    let all = etcd(&cluster, &[lagging, 0, 1, 2]).await;
    let chosen = all.choose(Allow::default()).await.unwrap();
    assert_ne!(chosen.endpoint, cluster.endpoint(lagging));
}

#[tokio::test]
async fn b08_a_full_database_is_backed_up_and_marked() {
    let quota = "--quota-backend-bytes=2097152";
    let cluster = Cluster::start_with("3.5", 1, &[quota]).await;
    let client = client(&cluster, 0).await;
    until("the database is full", async || {
        let put = client
            .clone()
            .put("/registry/big", vec![7; 1 << 20], None)
            .await;
        put.is_err()
    })
    .await;
    let etcd = etcd(&cluster, &[0]).await;
    let alarms = etcd.alarms().await.unwrap();
    assert!(
        matches!(
            alarms[..],
            [Alarm {
                kind: AlarmKind::NoSpace,
                ..
            }]
        ),
        "{alarms:?}"
    );
    let backup = taken(&etcd, &Place::new().request()).await;
    let marks = &backup.bundle.manifest().marks;
    assert!(marks[0].contains("NOSPACE"), "{marks:?}");
}

#[tokio::test]
async fn a_backup_without_quorum_is_taken_and_marked() {
    for version in ["3.4", "3.5"] {
        let mut cluster = Cluster::start(version, 3).await;
        fill(&client(&cluster, 0).await, 100, 100).await;
        cluster.kill(1);
        cluster.kill(2);
        let etcd = etcd(&cluster, &[0, 1, 2]).await;
        until("the last member knows no leader", async || {
            etcd.status(&cluster.endpoint(0))
                .await
                .is_ok_and(|status| status.leader == 0)
        })
        .await;
        let backup = taken(&etcd, &Place::new().request()).await;
        let marks = backup.bundle.manifest().marks.join("; ");
        assert!(marks.contains("no leader"), "{marks}");
        assert!(marks.contains("not compared"), "{marks}");
        assert_eq!(backup.bundle.manifest().content.resources["pods"], 100);
    }
}

#[tokio::test]
async fn the_high_water_mark_is_observed_and_outlives_a_restored_cluster() {
    let mut cluster = Cluster::start("3.5", 1).await;
    fill(&client(&cluster, 0).await, 64, 10).await;
    let etcd = etcd(&cluster, &[0]).await;
    let place = Place::new();
    let first = observe(&etcd, &place.state()).await.unwrap();
    assert_eq!(first.revision, 2);
    cluster.ctl(&["put", "a", "b"]);
    assert_eq!(observe(&etcd, &place.state()).await.unwrap().revision, 3);
    cluster.kill(0);
    assert!(observe(&etcd, &place.state()).await.is_err());
    std::fs::remove_dir_all(cluster.data_dir(0)).unwrap();
    cluster.restart(0).await;
    let fallen = observe(&etcd, &place.state()).await.unwrap();
    assert_eq!(fallen.notices.len(), 1, "{fallen:?}");
    let mark = read(&place.state()).unwrap();
    assert_eq!(mark.of(first.cluster_id).unwrap().revision, 3);
}

/// The hanging member costs its deadline and no more.
#[tokio::test]
async fn a_hanging_member_holds_nothing_up() {
    let cluster = Cluster::start("3.5", 3).await;
    cluster.pause(0);
    let only = etcd(&cluster, &[0]).await;
    let asked = timeout(Duration::from_secs(5), only.choose(Allow::default())).await;
    let error = asked.unwrap().unwrap_err();
    assert!(matches!(error, EtcdError::TimedOut { .. }), "{error:?}");
    let place = Place::new();
    let error = take(&only, &place.request(), &Progress::default())
        .await
        .unwrap_err();
    assert!(
        matches!(error, TakeError::Etcd(EtcdError::TimedOut { .. })),
        "{error:?}"
    );
}
