//! Rehearsals on real etcd: what passes, what fails and says why, and that nothing stays.

use rekindle::backup::Progress;
use rekindle::backup::index::IndexFile;
use rekindle::backup::rehearse::{RehearseError, Request, rehearse};
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::manifest::Manifest;
use tokio::process::Command;

use crate::etcd_cluster::{Cluster, until};
use crate::rehearsal::{CONFIGURATION, Flaw, ID, Node, answer, fill};

/// Runs it to its end: exit code and answer.
async fn run(command: std::process::Command) -> (i32, serde_json::Value) {
    let output = Command::from(command).output().await.unwrap();
    (output.status.code().unwrap(), answer(&output))
}

async fn fails(node: &Node, command: std::process::Command, reason: &str) {
    let (code, answer) = run(command).await;
    assert_eq!((code, &answer["passed"]), (1, &false.into()), "{answer:#}");
    let failure = answer["failure"].as_str().unwrap();
    assert!(failure.contains(reason), "{failure}");
    println!("{failure}");
    assert_eq!(node.leftovers(), [""; 0]);
}

#[tokio::test]
async fn b01_a_rehearsal_on_each_etcd_passes_and_is_remembered() {
    for version in ["3.4", "3.5"] {
        let cluster = Cluster::start(version, 1).await;
        fill(&cluster, 3000, 700, true).await;
        let node = Node::with_backup(&cluster, Some(CONFIGURATION), 1, &Flaw::default());
        let (code, answer) = run(node.rehearse(&[])).await;
        println!("{answer:#}");
        assert_eq!((code, &answer["passed"]), (0, &true.into()));
        let resources = &answer["content"]["resources"];
        assert_eq!(resources["configmaps"], 3001);
        assert_eq!(resources["secrets"], 2);
        assert_eq!(resources["other"], 1);
        assert_eq!(resources["events"], 1);
        let checked = answer["checked"].to_string();
        for word in [
            "aescbc v1",
            "aesgcm v1",
            "secretbox v1",
            "3005 objects decode",
        ] {
            assert!(checked.contains(word), "no {word} in {checked}");
        }
        assert_eq!(node.leftovers(), [""; 0]);
        // What an alert asks: the newest proven restorable, and since when.
        let index = IndexFile::new(&node.path("state"), &node.backups());
        let index = index.read().unwrap().index;
        let record = &index.records[&BackupId::parse(ID).unwrap()];
        let rehearsed = record.rehearsed.as_ref().unwrap();
        assert!(rehearsed.passed());
        let age = rekindle::daemon::clock::wall().duration_since(rehearsed.at);
        assert!((0..60).contains(&age.as_secs()), "{age:?}");
        println!("etcd {version}: {} ms", rehearsed.took_ms);
    }
}

#[tokio::test]
async fn b09_encrypted_secrets_need_their_configuration_in_the_backup() {
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 3, 10, true).await;
    let without = Node::with_backup(&cluster, None, 1, &Flaw::default());
    let command = without.rehearse(&[]);
    fails(&without, command, "holds no encryption configuration").await;

    let wrong = CONFIGURATION
        .replace("Y2Nj", "eHh4")
        .replace("Z2dn", "eHh4");
    let wrong = Node::with_backup(&cluster, Some(&wrong), 0, &Flaw::default());
    let command = wrong.rehearse(&[]);
    fails(
        &wrong,
        command,
        "the key of that name in the encryption configuration",
    )
    .await;

    let renamed = CONFIGURATION.replace("key1", "key2");
    let renamed = Node::with_backup(&cluster, Some(&renamed), 1, &Flaw::default());
    let command = renamed.rehearse(&[]);
    fails(&renamed, command, "has no such key").await;
}

#[tokio::test]
async fn a_damaged_snapshot_and_figures_that_differ_fail_and_say_why() {
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 50, 100, false).await;
    let sealed_so = Flaw {
        snapshot: Some(|bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ..Flaw::default()
    };
    let damaged = Node::with_backup(&cluster, None, 1, &sealed_so);
    let command = damaged.rehearse(&[]);
    fails(&damaged, command, "the snapshot cannot be restored").await;

    let altered = Node::with_backup(&cluster, None, 0, &Flaw::default());
    let snapshot = altered.backups().join(ID).join("snapshot.db");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    crate::rehearsal::put(&snapshot, &bytes);
    let command = altered.rehearse(&[]);
    fails(&altered, command, "is damaged or was altered").await;

    let counted = Flaw {
        manifest: Some(|manifest| {
            manifest.content.live_keys += 1;
            *manifest.content.resources.get_mut("configmaps").unwrap() += 1;
        }),
        ..Flaw::default()
    };
    let counted = Node::with_backup(&cluster, None, 1, &counted);
    let command = counted.rehearse(&[]);
    fails(&counted, command, "configmaps: 50 instead of 51").await;

    let later: fn(&mut Manifest) = |it| it.content.revision += 1;
    let earlier: fn(&mut Manifest) = |it| it.content.revision -= 1;
    let newer: fn(&mut Manifest) = |it| "3.9.0".clone_into(&mut it.etcd.version);
    for (flaw, reason) in [
        (later, "is at revision"),
        (earlier, "holds revision"),
        (newer, "older than the etcd 3.9.0"),
    ] {
        let flaw = Flaw {
            manifest: Some(flaw),
            ..Flaw::default()
        };
        let node = Node::with_backup(&cluster, None, 1, &flaw);
        let command = node.rehearse(&[]);
        fails(&node, command, reason).await;
    }
}

#[tokio::test]
async fn an_etcd_that_hangs_or_dies_ends_the_rehearsal_with_a_reason() {
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 3, 10, false).await;
    let hangs = |version: &str| {
        format!("#!/bin/sh\ncase $1 in *version) echo '{version}'; exit;; esac\nkill -STOP $$\n")
    };
    let short: &[&str] = &["--stall-seconds", "2"];
    for (name, version, reason) in [
        (
            "etcd",
            "etcd Version: 3.5.99",
            "etcd does not serve the restored data: no progress for 2 s",
        ),
        (
            "etcdutl",
            "etcdutl version: 3.5.99",
            "etcdutl hangs while it restores: no progress for 2 s",
        ),
    ] {
        let node = Node::with_backup(&cluster, None, 1, &Flaw::default());
        let tools = node.tools_with(name, &hangs(version));
        fails(&node, node.rehearse_with(&tools, short), reason).await;
    }
    let node = Node::with_backup(&cluster, None, 1, &Flaw::default());
    let dies = "#!/bin/sh\ncase $1 in *version) echo 'etcd Version: 3.5.99'; exit;; esac\necho 'no such flag' >&2\nexit 7\n";
    let tools = node.tools_with("etcd", dies);
    fails(
        &node,
        node.rehearse_with(&tools, short),
        "exit status: 7, and said: no such flag",
    )
    .await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn killed_in_each_step_nothing_stays_and_the_next_one_passes() {
    let steps = rekindle::failpoints::ALL.iter();
    let steps: Vec<_> = steps.filter(|name| name.starts_with("rehearse.")).collect();
    assert!(steps.len() >= 7);
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 300, 1000, true).await;
    let node = Node::with_backup(&cluster, Some(CONFIGURATION), 1, &Flaw::default());
    for step in steps {
        let mut command = node.rehearse(&[]);
        command.env("REKINDLE_KILL_AT", step);
        let output = Command::from(command).output().await.unwrap();
        assert_eq!(output.status.code(), None, "{step}: {output:?}");
        until(&format!("nothing is left of {step}"), async || {
            node.leftovers().is_empty()
        })
        .await;
    }
    let (code, answer) = run(node.rehearse(&[])).await;
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(node.leftovers(), [""; 0]);
}

#[tokio::test]
async fn too_little_memory_fails_with_a_reason_and_the_limit_is_real() {
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 3, 10, false).await;
    let node = Node::with_backup(&cluster, None, 1, &Flaw::default());
    let mut request = Request::new(node.backups().join(ID), node.scratch());
    request.tools = Some(cluster.binaries().to_owned());
    request.limits.memory_bytes = 24 << 20;
    let outcome = rehearse(request.clone(), Progress::default())
        .await
        .unwrap();
    println!("{outcome:?}");
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("limit of 25165824 bytes"), "{failure}");
    // Nothing learnt about the backup is no failure of it.
    request.limits.min_free_bytes = 1 << 60;
    let error = rehearse(request, Progress::default()).await.unwrap_err();
    assert!(matches!(error, RehearseError::Space { .. }), "{error}");
    assert_eq!(node.leftovers(), [""; 0]);
}

#[tokio::test]
async fn without_its_reaper_the_children_die_and_the_next_one_sweeps() {
    let cluster = Cluster::start("3.5", 1).await;
    fill(&cluster, 3, 10, false).await;
    let node = Node::with_backup(&cluster, None, 1, &Flaw::default());
    let stops =
        "#!/bin/sh\ncase $1 in *version) echo 'etcd Version: 3.5.99'; exit;; esac\nkill -STOP $$\n";
    let tools = node.tools_with("etcd", stops);
    let mut rehearsal = node.rehearse_with(&tools, &[]).spawn().unwrap();
    until("its etcd is started", async || {
        node.leftovers().iter().any(|it| it.contains("\"etcd"))
    })
    .await;
    let busy = run_busy(&node).await;
    assert!(
        busy.contains("another process takes or rehearses a backup"),
        "{busy}"
    );
    let reaper = node.reaper().expect("there is a reaper");
    rustix::process::kill_process(reaper, rustix::process::Signal::KILL).unwrap();
    rehearsal.kill().unwrap();
    rehearsal.wait().unwrap();
    until("the children are dead", async || {
        node.leftovers().iter().all(|it| !it.starts_with("/proc"))
    })
    .await;
    assert_eq!(node.leftovers().len(), 1, "only the directory is left");
    let (code, answer) = run(node.rehearse(&[])).await;
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(node.leftovers(), [""; 0]);
}

async fn run_busy(node: &Node) -> String {
    let output = Command::from(node.rehearse(&[])).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_was_cut_off_with_its_machine_is_swept() {
    let cluster = Cluster::start("3.4", 1).await;
    fill(&cluster, 3, 10, false).await;
    let node = Node::with_backup(&cluster, None, 1, &Flaw::default());
    std::fs::create_dir(node.scratch()).unwrap();
    let left = node.scratch().join("run-1-1");
    std::fs::create_dir(&left).unwrap();
    crate::rehearsal::put(&left.join("file"), b"x");
    let mut stays = std::process::Command::new("tail")
        .args(["-f", "/dev/null"])
        .current_dir(&left)
        .spawn()
        .unwrap();
    rekindle::backup::rehearse::sweep(&node.scratch()).unwrap();
    let status = stays.wait().unwrap();
    assert!(!status.success(), "{status}");
    assert_eq!(node.leftovers(), [""; 0]);
}
