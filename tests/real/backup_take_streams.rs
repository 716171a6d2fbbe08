//! Snapshots that stall and break off in the middle (scenario B11), of databases that are large
//! enough for it.

use std::path::Path;
use std::time::{Duration, Instant};

use rekindle::backup::Progress;
use rekindle::backup::take::{TakeError, take};
use rekindle::core::reading::chain;
use rekindle::etcd::{Etcd, EtcdError};

use crate::backup_binary::{Machine, program};
use crate::backup_take::{Place, etcd, settings, taken};
use crate::etcd_cluster::{Cluster, until};
use crate::etcd_load::{client, fill};

const MIB: usize = 1 << 20;
/// More than sockets and windows hold.
const LARGE: usize = 300 * MIB;
const VALUE: usize = 16 << 10;

async fn large(version: &str, members: usize) -> Cluster {
    let cluster = match version {
        "3.4" => Cluster::start(version, members).await,
        _ => Cluster::start_with(version, members, &["--unsafe-no-fsync"]).await,
    };
    fill(&client(&cluster, 0).await, LARGE / VALUE, VALUE).await;
    cluster.healthy().await;
    cluster
}

/// Takes a backup and does `then` when its snapshot has begun to come.
async fn disturbed(
    etcd: &Etcd,
    place: &Place,
    mut then: impl FnMut(),
) -> (Result<(), TakeError>, Duration) {
    let progress = Progress::default();
    let request = place.request();
    let take = take(etcd, &request, &progress);
    let mut at = Instant::now();
    let watch = async {
        until("the snapshot has begun", async || {
            let position = progress.position();
            position.phase.contains("stream") && position.done > 0
        })
        .await;
        then();
        at = Instant::now();
    };
    let (result, ()) = tokio::join!(take, watch);
    (result.map(drop), at.elapsed())
}

#[tokio::test]
async fn b11_a_stalled_stream_ends_after_the_deadline_between_two_pieces() {
    let cluster = large("3.5", 1).await;
    let place = Place::new();
    let etcd = etcd(&cluster, &[0]).await;
    let (result, after) = disturbed(&etcd, &place, || cluster.pause(0)).await;
    let error = result.unwrap_err();
    let TakeError::Etcd(EtcdError::Stalled { received, .. }) = error else {
        panic!("{error:?}");
    };
    println!("stalled after {} MiB, said after {after:?}", received >> 20);
    let deadline = settings(&cluster, &[0]).chunk_deadline;
    assert!(after >= deadline / 2, "too soon: {after:?}");
    assert!(
        after < deadline + Duration::from_secs(10),
        "too late: {after:?}"
    );
    assert_eq!(place.names(), [""; 0], "nothing is left of it");
    cluster.resume(0);
    taken(&etcd, &place.request()).await;
    assert_eq!(place.names().len(), 1);
}

/// Stands still so often and so long in the middle of one stream: longer in all than any deadline,
/// and never as long as the one between two pieces, with room for a machine under load.
const PAUSES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn b11_there_is_no_deadline_for_the_whole() {
    let cluster = large("3.4", 1).await;
    let place = Place::new();
    let mut settings = settings(&cluster, &[0]);
    settings.deadline = Duration::from_secs(5);
    settings.chunk_deadline = Duration::from_secs(10);
    let etcd = Etcd::connect(&settings).await.unwrap();
    let (request, progress) = (place.request(), Progress::default());
    let pauses = async {
        let mut before = 0;
        for pause in 1..=PAUSES {
            until("more of the snapshot has come", async || {
                let position = progress.position();
                position.phase.contains("stream") && position.done > before
            })
            .await;
            cluster.pause(0);
            let over = Instant::now() + PAUSE;
            until("the pause is over", async || {
                let phase = progress.position().phase;
                assert!(phase.contains("stream"), "pause {pause} came in {phase}");
                Instant::now() >= over
            })
            .await;
            before = progress.position().done;
            cluster.resume(0);
        }
    };
    let (taken, ()) = tokio::join!(take(&etcd, &request, &progress), pauses);
    let backup = taken.unwrap_or_else(|error| panic!("{}", chain(&error)));
    println!(
        "{} ms with deadlines of {:?} and {:?}",
        backup.took_ms, settings.deadline, settings.chunk_deadline
    );
    assert!(backup.took_ms > 10_000, "too short to show anything");
}

#[tokio::test]
async fn b08_a_leader_that_dies_in_the_middle_fails_the_try_and_the_next_takes_another() {
    let mut cluster = large("3.5", 3).await;
    let leader = cluster.leader();
    let place = Place::new();
    let only = etcd(&cluster, &[leader]).await;
    let (result, _) = disturbed(&only, &place, || cluster.kill(leader)).await;
    let error = result.unwrap_err();
    println!("{}", chain(&error));
    let broke = matches!(error, TakeError::Etcd(EtcdError::BrokeOff { .. }));
    assert!(broke, "{error:?}");
    assert!(error.hint().is_some());
    assert_eq!(place.names(), [""; 0], "nothing is left of it");
    cluster.healthy().await;
    let all = etcd(&cluster, &[0, 1, 2]).await;
    let backup = taken(&all, &place.request()).await;
    assert_ne!(
        backup.bundle.manifest().etcd.endpoint,
        cluster.endpoint(leader)
    );
}

#[tokio::test]
#[allow(clippy::cast_precision_loss, reason = "MiB with one decimal")]
async fn b11_memory_is_constant() {
    let cluster = Cluster::start_with("3.5", 1, &["--unsafe-no-fsync"]).await;
    let client = client(&cluster, 0).await;
    let mut peaks = Vec::new();
    for (mib, level) in [(20, 0), (300, 0), (300, 1)] {
        fill(&client, mib * MIB / VALUE, VALUE).await;
        let machine = Machine::new(&cluster, &[0], level);
        let ran = machine.backup();
        assert!(ran.success, "{}", ran.stderr);
        let peak = ran.peak_kib as f64 / 1024.0;
        println!(
            "level {level}, {mib} MiB or more: peak {peak:.1} MiB, {:?}",
            ran.wall
        );
        peaks.push(peak);
    }
    // Compressing takes some MiB of its own: only what is written alike is compared.
    assert!(
        peaks[1] <= peaks[0] + 4.0,
        "it grows with the database: {peaks:?}"
    );
    // A program that is not optimized is itself some 20 MiB larger.
    let optimized = program() != Path::new(env!("CARGO_BIN_EXE_rekindle"));
    let goal = if optimized { 40.0 } else { 60.0 };
    assert!(peaks.iter().all(|peak| *peak <= goal), "{peaks:?}");
}
