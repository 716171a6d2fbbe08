//! containerd as a source, on a real containerd.

use std::time::{Duration, Instant};

use rekindle::containerd::{normalised, spawn_source};
use rekindle::core::observed::{ImagePresence, TaskState};
use rekindle::core::reading::{Reading, UnseenKind};
use tokio_util::sync::CancellationToken;

use crate::containerd_process::{BUSYBOX, PATIENCE, Process, until};

#[tokio::test]
async fn view_shows_sandboxes_with_their_containers() {
    let process = Process::start().await;
    process.cri_container("sb1", "sandbox", "u1", "", &["/bin/sleep", "1000"]);
    process.cri_container("c1", "container", "u1", "one", &["/bin/sleep", "1000"]);
    process.cri_container("c2", "container", "u1", "two", &["/bin/sh", "-c", "exit 7"]);
    let client = process.client();
    until("the second container has ended", async || {
        let view = client.view().await.unwrap();
        view.sandboxes[0].containers[1].task == TaskState::Exited(7)
    })
    .await;
    let view = client.view().await.unwrap();
    assert_eq!(view.sandboxes.len(), 1);
    let sandbox = &view.sandboxes[0];
    assert!(sandbox.running);
    assert_eq!(sandbox.pod.to_string(), "kube-system/u1-pod");
    assert_eq!(sandbox.containers[0].task, TaskState::Running);
    assert_eq!(sandbox.containers[0].name, "one");
    assert_ne!(sandbox.containers[0].pid, 0);

    let code = async |script: &str| {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let limit = Duration::from_millis(1500);
        client.exec(&process.kubelets, "c1", &command, limit).await
    };
    assert_eq!(code("exit 0").await.unwrap(), 0);
    assert_eq!(code("exit 3").await.unwrap(), 3);
    assert!(code("exec sleep 600").await.is_err());
    assert_eq!(code("exit 4").await.unwrap(), 4);

    client.pause("c1").await.unwrap();
    let view = client.view().await.unwrap();
    assert_eq!(view.sandboxes[0].containers[0].task, TaskState::Paused);
    // Also what is frozen ends, and all may be repeated.
    for _ in 0..2 {
        client
            .kill_sandbox_tasks("sb1", true, Duration::ZERO)
            .await
            .unwrap();
    }
    let view = client.view().await.unwrap();
    assert!(!view.sandboxes[0].running);
    assert_eq!(view.sandboxes[0].containers[0].task, TaskState::Exited(137));
    let none = client.kill_sandbox_tasks("nothing", true, Duration::ZERO);
    none.await.unwrap();
}

/// A clean-up that is run again meets shims that the run before it is still ending (scenario R21).
#[tokio::test]
async fn a_shim_that_goes_while_its_task_is_ended_is_no_error() {
    let process = Process::start().await;
    let deaf = "trap '>/termed' TERM; while :; do sleep 0.1; done";
    process.cri_container("sb1", "sandbox", "u1", "", &["/bin/sleep", "1000"]);
    process.cri_container("c1", "container", "u1", "one", &["/bin/sh", "-c", deaf]);
    let client = process.client();
    let pid = client.view().await.unwrap().sandboxes[0].containers[0].pid;
    let ending = {
        let client = client.clone();
        tokio::spawn(async move {
            let grace = Duration::from_mins(1);
            client.kill_sandbox_tasks("sb1", false, grace).await
        })
    };
    until("the task has had its SIGTERM", async || {
        std::path::Path::new(&format!("/proc/{pid}/root/termed")).exists()
    })
    .await;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let shim = status
        .lines()
        .find_map(|l| l.strip_prefix("PPid:"))
        .unwrap();
    let shim = rustix::process::Pid::from_raw(shim.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
    let ended = tokio::time::timeout(PATIENCE, ending).await;
    ended.unwrap().unwrap().unwrap();
    until("containerd has killed what the shim left", async || {
        !std::path::Path::new(&format!("/proc/{pid}/root/termed")).exists()
    })
    .await;
}

#[tokio::test]
async fn an_event_is_in_the_view_within_milliseconds() {
    const PODS: usize = 25;
    let process = Process::start().await;
    for n in 0..PODS {
        let uid = format!("u{n}");
        process.cri_container(
            &format!("sb{n}"),
            "sandbox",
            &uid,
            "",
            &["/bin/sleep", "9999"],
        );
        process.cri_container(
            &format!("c{n}"),
            "container",
            &uid,
            "c",
            &["/bin/sleep", "9999"],
        );
    }
    let shutdown = CancellationToken::new();
    let mut view = spawn_source(process.client(), shutdown.clone());
    let sandboxes = |reading: &Reading<_>| {
        reading
            .known()
            .map(|v: &rekindle::core::observed::RuntimeView| v.sandboxes.len())
    };
    wait(&mut view, |r| sandboxes(r) == Some(PODS)).await;
    let client = process.client();
    let mut took = Vec::new();
    for n in 0..PODS {
        let id = format!("c{n}");
        let pid = client.view().await.unwrap();
        let pid = pid.sandboxes.iter().flat_map(|s| &s.containers);
        let pid = pid.clone().find(|c| c.id == id).unwrap().pid;
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let start = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        wait(&mut view, |r| {
            let view = r.known().unwrap();
            let mut all = view.sandboxes.iter().flat_map(|s| &s.containers);
            all.any(|c| c.id == id && c.task == TaskState::Exited(137))
        })
        .await;
        took.push(start.elapsed());
    }
    took.sort();
    println!(
        "{PODS} pods, {} containers; kill to published view: median {:?}, worst {:?}",
        2 * PODS,
        took[PODS / 2],
        took[PODS - 1]
    );
    assert!(took[PODS / 2] < Duration::from_secs(2), "{took:?}");
    shutdown.cancel();
}

#[tokio::test]
async fn c01_a_silent_containerd_is_unknown_and_comes_back() {
    let mut process = Process::start().await;
    process.cri_container("sb1", "sandbox", "u1", "", &["/bin/sleep", "1000"]);
    let mut config = process.config();
    config.call_deadline = Duration::from_secs(2);
    config.resync = Duration::from_millis(500);
    let client = rekindle::containerd::Containerd::new(config);
    let shutdown = CancellationToken::new();
    let mut view = spawn_source(client, shutdown.clone());
    wait(&mut view, |r| {
        r.known().is_some_and(|v| v.sandboxes[0].running)
    })
    .await;

    let pid = rustix::process::Pid::from_raw(process.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    wait(&mut view, |r| {
        r.unseen().is_some_and(|u| u.kind == UnseenKind::TimedOut)
    })
    .await;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    wait(&mut view, |r| {
        r.known().is_some_and(|v| v.sandboxes[0].running)
    })
    .await;

    process.kill();
    wait(&mut view, |r| r.known().is_none()).await;
    process.run().await;
    wait(&mut view, |r| {
        r.known().is_some_and(|v| v.sandboxes[0].running)
    })
    .await;
    shutdown.cancel();
}

#[tokio::test]
async fn c19_images_are_pinned_and_a_missing_part_is_found() {
    let process = Process::start().await;
    let client = process.client();
    let presence = async || client.image_presence(BUSYBOX).await.unwrap();
    assert_eq!(presence().await, ImagePresence::Unpinned);
    let other = "lab.local/second:2";
    process.ctr(&process.kubelets, &["images", "tag", BUSYBOX, other]);
    process.ctr(&process.kubelets, &["images", "label", BUSYBOX, "keep=me"]);
    client.pin_image(BUSYBOX).await.unwrap();
    assert_eq!(presence().await, ImagePresence::Proven);
    let second = client.image_presence(other).await.unwrap();
    assert_eq!(second, ImagePresence::Proven);
    let list = process.ctr(&process.kubelets, &["images", "list"]);
    assert!(list.contains("keep=me"), "{list}");

    let missing = client.image_presence("lab.local/none:1").await.unwrap();
    assert_eq!(
        missing,
        ImagePresence::Missing("lab.local/none:1 is not in containerd".to_owned())
    );
    // The file of each blob in turn is moved away behind containerd's back. The layer's is not
    // missed: the image is unpacked.
    let blobs = process.path("root/io.containerd.content.v1.content/blobs/sha256");
    let mut missed = 0;
    for blob in std::fs::read_dir(&blobs).unwrap() {
        let blob = blob.unwrap().path();
        let aside = process.path("aside");
        rustix::fs::rename(&blob, &aside).unwrap();
        if matches!(presence().await, ImagePresence::Missing(_)) {
            missed += 1;
        }
        rustix::fs::rename(&aside, &blob).unwrap();
    }
    assert!(
        missed >= 2,
        "manifest and configuration, at least: {missed}"
    );
    assert_eq!(presence().await, ImagePresence::Proven);
    assert_eq!(normalised("busybox"), "docker.io/library/busybox:latest");
}

async fn wait<T>(
    view: &mut tokio::sync::watch::Receiver<Reading<T>>,
    is_so: impl FnMut(&Reading<T>) -> bool,
) {
    let seen = tokio::time::timeout(PATIENCE, view.wait_for(is_so)).await;
    seen.expect("never so").expect("the source ended");
}
