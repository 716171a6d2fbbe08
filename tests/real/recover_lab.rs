//! The lab's self-hosted cluster by every source: the same objects, for every controller that a
//! real control plane has.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::core::recover::found::{Found, Stored};
use rekindle::recover::{Source, Want, read};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::recover::told;

/// The lab's description of a node, `NAME=value` in lines.
struct Node(String);

impl Node {
    #[allow(
        clippy::disallowed_methods,
        reason = "the lab tells the tests by its environment"
    )]
    fn cluster() -> Self {
        let path = std::env::var("REKINDLE_LAB_CLUSTER_ENV");
        let path = path.expect("no cluster: tests/run real sets REKINDLE_LAB_CLUSTER_ENV");
        Self(std::fs::read_to_string(path).unwrap())
    }

    fn get(&self, name: &str) -> PathBuf {
        let lines = self.0.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(values.next().unwrap_or_else(|| panic!("no {name}")))
    }
}

/// Reads from within the node's network, on a thread of its own.
fn within(netns: &Path, source: Source) -> Found {
    let netns = File::open(netns).unwrap();
    let reading = std::thread::spawn(move || {
        let network = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(netns.as_fd(), network).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let found = runtime.unwrap().block_on(read(&source, &Want::default()));
        found.unwrap_or_else(|error| panic!("{source:?}: {error}"))
    });
    reading.join().unwrap()
}

#[test]
fn every_source_of_the_self_hosted_cluster_gives_the_same() {
    let node = Node::cluster();
    let netns = node.get("LAB_NETNS");
    let by_api = within(
        &netns,
        Source::ApiServer {
            kubeconfig: node.get("LAB_ADMIN_KUBECONFIG"),
            server: None,
        },
    );
    let names = |names: Vec<Option<&String>>| -> Vec<String> {
        names.into_iter().flatten().cloned().collect()
    };
    let daemon_sets = by_api.daemon_sets.iter();
    let daemon_sets = names(daemon_sets.map(|it| it.metadata.name.as_ref()).collect());
    let deployments = by_api.deployments.iter();
    let deployments = names(deployments.map(|it| it.metadata.name.as_ref()).collect());
    println!("{daemon_sets:?} {deployments:?}");
    for needed in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        let there = daemon_sets
            .iter()
            .chain(&deployments)
            .any(|name| name == needed);
        assert!(there, "{needed}");
    }
    assert!(by_api.secrets.len() > 3 && by_api.unreadable.is_empty());
    let plain = |stored: &Stored| matches!(stored, Stored::Plain(_));
    assert!(by_api.secrets.values().all(plain));

    let endpoint = node.get("LAB_ETCD_URL").display().to_string();
    let live = within(
        &netns,
        Source::Etcd {
            endpoints: vec![endpoint.clone()],
            ca: None,
            certificate: None,
            key: None,
        },
    );
    assert_eq!(told(live), told(by_api.clone()));

    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("saved.db");
    let done = Command::new("nsenter")
        .arg(format!("--net={}", netns.display()))
        .args(["env", "ETCDCTL_API=3", "etcdctl", "snapshot", "save"])
        .arg(&saved)
        .arg(format!("--endpoints={endpoint}"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let begun = std::time::Instant::now();
    let found = within(&netns, Source::File(saved.clone()));
    println!("the lab's snapshot: {:?}", begun.elapsed());
    assert_eq!(told(found), told(by_api));
}
