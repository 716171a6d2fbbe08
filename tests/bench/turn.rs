//! Figures of the pure parts: `decide` with 500 pods, and one whole turn from the kubelet's JSON of
//! 500 pods (about 5 MB) to the decision, with the process's peak memory.
//!
//! `cargo bench --bench turn` prints one line for each figure. A figure is compared with nothing
//! here: the README records it beside this command.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rekindle::core::decide::decide;
use rekindle::core::id::{CheckpointId, PodRef, RevisionId};
use rekindle::core::manifest::list::pod_list;
use rekindle::core::observed::{
    ApiView, ContainerSeen, EngineView, KubeletView, ManifestsView, Observed, PodSeen, Probe,
    Rendering, RuntimeView, Sandbox, TaskState,
};
use rekindle::core::policy::Policy;
use rekindle::core::reading::Reading;
use rekindle::core::stored::Stored;
use rekindle::core::time::Moment;

/// Pods on the node; three of them are parents.
const PODS: usize = 500;
/// A captured answer of a real kubelet: its parent is the template of every pod.
const CAPTURED: &[u8] = include_bytes!("../fixtures/kubelet/pods-33-parent-recovered.json");

fn main() {
    // The answer is made in a process of its own, so that the peak is the turn's alone.
    let Some(file) = std::env::args().find(|arg| arg.ends_with(".kubelet-answer")) else {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("500.kubelet-answer");
        #[expect(clippy::disallowed_methods, reason = "a benchmark's own file")]
        std::fs::write(&file, kubelet_answer()).unwrap();
        let this = std::env::current_exe().unwrap();
        let ended = std::process::Command::new(this)
            .arg(&file)
            .status()
            .unwrap();
        assert!(ended.success(), "{ended}");
        return;
    };
    let body = std::fs::read(file).unwrap();
    let seen: Vec<PodSeen> = pod_list(&body)
        .unwrap()
        .into_iter()
        .map(|pod| pod.seen)
        .collect();
    assert_eq!(seen.len(), PODS);
    let observed = observed(&seen);
    let mut stored = Stored::default();
    for second in 0..3 {
        stored = decide(&observed, &stored, &policy(), Moment(second * 1000)).next;
    }
    let times = measure(2000, || {
        let _ = std::hint::black_box(decide(&observed, &stored, &policy(), Moment(10_000)));
    });
    report("decide, 500 pods", &times);
    let times = measure(50, || {
        let pods = pod_list(&body).unwrap();
        let mut observed = observed.clone();
        let pods = pods.into_iter().map(|pod| pod.seen).collect();
        observed.kubelet = Reading::Known(KubeletView { pods });
        let _ = std::hint::black_box(decide(&observed, &stored, &policy(), Moment(10_000)));
    });
    report(
        &format!("turn from {} kB of kubelet JSON", body.len() / 1000),
        &times,
    );
    println!("peak resident memory: {:.1} MiB", peak_mib());
}

fn kubelet_answer() -> Vec<u8> {
    let captured: serde_json::Value = serde_json::from_slice(CAPTURED).unwrap();
    let parent = captured["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| {
            !item["metadata"]["annotations"]["checkpointer.alpha.coreos.com/checkpoint"].is_null()
        })
        .unwrap();
    let items: Vec<serde_json::Value> = (0..PODS)
        .map(|index| {
            let mut item = parent.clone();
            item["metadata"]["name"] = format!("pod-{index}").into();
            item["metadata"]["uid"] = format!("uid-{index}").into();
            item["metadata"]["ownerReferences"][0]["name"] = format!("owner-{index}").into();
            if index >= 3 {
                item["metadata"]["annotations"] = serde_json::json!({});
            }
            // Real pods carry more environment than this one: up to about 10 kB each.
            let env: Vec<serde_json::Value> = (0..45)
                .map(|n| serde_json::json!({"name": format!("VARIABLE_{n}"), "value": "x".repeat(60)}))
                .collect();
            item["spec"]["containers"][0]["env"] = env.into();
            item
        })
        .collect();
    let list = serde_json::json!({"kind": "PodList", "apiVersion": "v1", "items": items});
    serde_json::to_vec(&list).unwrap()
}

fn observed(seen: &[PodSeen]) -> Observed {
    let sandboxes = seen
        .iter()
        .map(|seen| Sandbox {
            id: format!("sandbox-{}", seen.pod.name),
            pod: seen.pod.clone(),
            running: true,
            checkpoint: None,
            containers: vec![ContainerSeen {
                id: format!("container-{}", seen.pod.name),
                name: "kube-apiserver".into(),
                task: TaskState::Running,
                pid: 1,
            }],
        })
        .collect();
    let revision = RevisionId::parse("0123456789abcdef").unwrap();
    let parents = || seen.iter().filter(|seen| seen.parent_of.is_some());
    let renderings: BTreeMap<PodRef, Rendering> = parents()
        .map(|seen| (seen.pod.clone(), Rendering::Whole(revision.clone())))
        .collect();
    let probes = parents()
        .map(|seen| (seen.pod.clone(), Probe::Passing))
        .collect();
    Observed {
        boot_id: "boot".into(),
        runtime: Reading::Known(RuntimeView { sandboxes }),
        kubelet: Reading::Known(KubeletView {
            pods: seen.to_vec(),
        }),
        manifests: Reading::Known(ManifestsView::default()),
        apiserver: Reading::Known(ApiView {
            pods: seen.to_vec(),
            lists: 1,
        }),
        engine: Reading::Known(EngineView::default()),
        steering: BTreeMap::new(),
        renderings,
        probes,
        images: Reading::Known(BTreeMap::new()),
        stored_revisions: Reading::Known(BTreeMap::<CheckpointId, BTreeMap<_, _>>::new()),
        operations: Reading::Known(rekindle::core::operation::OperationsView::default()),
        hold: Reading::Known(None),
    }
}

fn policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy {
        node_name: "node".into(),
        ready: seconds(10),
        activation_delay: seconds(15),
        grace_period: seconds(300),
        kubelet_deadline: seconds(60),
        stop_deadline: seconds(10),
        handover_deadline: seconds(45),
        handover_backoff: seconds(5),
        handover_backoff_limit: seconds(600),
        handover_first: std::collections::BTreeSet::new(),
        handover_spread: Duration::ZERO,
        engine_enabled: true,
        rescue: std::collections::BTreeSet::new(),
        rescue_delay: seconds(30),
    }
}

fn measure(rounds: usize, mut work: impl FnMut()) -> Vec<Duration> {
    work();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn report(what: &str, times: &[Duration]) {
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "{what}: median {:.3} ms, p99 {:.3} ms, worst {:.3} ms, {} rounds",
        at(50),
        at(99),
        at(100),
        times.len()
    );
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}
