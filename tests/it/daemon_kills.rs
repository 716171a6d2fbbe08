//! The whole daemon killed around every commit and every action (feature `failpoints`), then
//! started again: it converges.

use std::os::unix::process::ExitStatusExt;

use rekindle::failpoints::ALL;

use crate::daemon::{Daemon, nothing_there};

const DAMAGED: &str = "rekindle-daemonset.kube-system.kube-apiserver.json";

#[test]
fn d01_killed_around_every_commit_and_action() {
    let points: Vec<&&str> = ALL
        .iter()
        .filter(|name| name.starts_with("turn.") || name.starts_with("action."))
        .collect();
    assert_eq!(points.len(), 4, "{points:?}");
    for point in points {
        let dir = tempfile::tempdir().unwrap();
        let manifests = dir.path().join("manifests");
        std::fs::create_dir_all(&manifests).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's own files")]
        {
            std::fs::write(manifests.join(DAMAGED), "{\"half\": ").unwrap();
            std::fs::write(manifests.join("etcd.yaml"), "foreign").unwrap();
        }
        let mut killed = Daemon::start_with(dir, nothing_there(), point);
        let status = killed.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{point} was reached");
        let daemon = killed.again(nothing_there());
        daemon.told("READY=1");
        let report = daemon.status_with(|report| {
            let manifests = report
                .sources
                .iter()
                .find(|source| source.name == "manifests");
            manifests.is_some_and(|source| source.detail == "0 files of ours, 1 of others")
                && !daemon.dir.path().join("manifests").join(DAMAGED).exists()
        });
        assert!(report.problems.is_empty(), "{point}: {:?}", report.problems);
        let foreign = daemon.dir.path().join("manifests/etcd.yaml");
        assert_eq!(
            std::fs::read_to_string(foreign).unwrap(),
            "foreign",
            "{point}"
        );
    }
}
