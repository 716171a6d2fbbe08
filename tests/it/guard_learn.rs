//! Which content of a static manifest is known to be good.

use std::time::Duration;

use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::recovery::guard::learn::{GuardStep, Wrong};
use rekindle::core::recovery::guard::memory::{GuardMemory, OLDER};
use rekindle::core::recovery::guard::seen::FileSeen;
use rekindle::core::recovery::part::Part;

use crate::guard_world::{ALL, API, Does, ETCD, Node, SCHEDULER, content, manifest};
use crate::world::silent;

#[test]
fn a_content_is_good_once_its_pod_has_served_for_a_while() {
    let mut node = Node::new();
    node.write(API, &manifest(API, "a"));
    node.turns(60);
    assert_eq!(node.good(API), None, "nothing runs");
    node.run(API, Does::Serve);
    node.turns(9);
    assert_eq!(node.good(API), None, "not long enough");
    node.run(API, Does::Crash);
    node.turns(5);
    node.run(API, Does::Serve);
    node.turns(9);
    assert_eq!(node.good(API), None, "a break begins it again");
    let woken = node.turn().wake_at.unwrap();
    assert_eq!(woken, node.now.after(Duration::from_secs(1)));
    node.turns(4);
    assert_eq!(node.good(API), Some(Node::digest(&manifest(API, "a"))));
    assert_eq!(node.file(API).part, Some(Part::ApiServer));
}

#[test]
fn at_rest_nothing_is_written_and_nobody_probed() {
    let mut node = Node::proven(&ALL);
    node.turns(2);
    node.commits = 0;
    node.turns(100);
    assert_eq!(node.commits, 0);
    let done = node.turn();
    assert!(done.probe.is_empty() && done.steps.is_empty() && done.wake_at.is_none());
}

#[test]
fn what_still_runs_of_the_old_content_proves_nothing_of_the_new_one() {
    let mut node = Node::proven(&[API]);
    let before = node.good(API);
    node.write(API, &manifest(API, "wrong"));
    // The kubelet is slow, or dead: the old pod serves on.
    node.turns(100);
    assert_eq!(node.good(API), before);
    assert!(node.file(API).what.contains("as it was before the change"));
    node.run(API, Does::Crash);
    node.turns(10);
    assert_eq!(node.good(API), before);
}

#[test]
fn a_change_that_serves_becomes_the_good_one_and_three_older_ones_stay() {
    let mut node = Node::proven(&[API]);
    for flag in ["b", "c", "d", "e", "f"] {
        node.write(API, &manifest(API, flag));
        node.turns(3);
        node.run(API, Does::Serve);
        node.turns(15);
        assert_eq!(node.good(API), Some(Node::digest(&manifest(API, flag))));
    }
    let kept = &node.memory.files[API];
    assert_eq!(kept.older.len(), OLDER);
    let copies = &node.seen.copies.known().unwrap()[API];
    assert_eq!(copies.len(), OLDER + 1, "nothing is kept that nobody needs");
    for flag in ["f", "e", "d", "c"] {
        assert!(copies.contains_key(&Node::digest(&manifest(API, flag))));
    }
}

#[test]
fn a_comment_changes_no_pod_so_the_one_that_runs_proves_it() {
    let mut node = Node::proven(&[API]);
    let text = format!("# by hand\n{}", manifest(API, "a"));
    node.write(API, &text);
    node.turns(15);
    assert_eq!(node.good(API), Some(Node::digest(&text)));
}

#[test]
fn a_change_while_nobody_looked_is_proven_by_the_pod_that_came_with_it() {
    let mut node = Node::proven(&[API]);
    // The daemon was down meanwhile.
    node.write(API, &manifest(API, "b"));
    node.run(API, Does::Serve);
    node.turns(15);
    assert_eq!(node.good(API), Some(Node::digest(&manifest(API, "b"))));
}

#[test]
fn a_reboot_starts_every_timer_again_and_forgets_nothing() {
    let mut node = Node::proven(&ALL);
    let good = node.good(API);
    node.write(API, &manifest(API, "wrong"));
    node.remove(ETCD);
    node.turns(100);
    node.power_cut();
    node.turns(100);
    assert_eq!(node.file(API).wrong, None, "its time has begun anew");
    assert_eq!(node.file(ETCD).wrong, Some(Wrong::Gone));
    assert_eq!(node.good(API), good);
    node.turns(30);
    assert_eq!(node.file(API).wrong, Some(Wrong::Wedged));
}

#[test]
fn what_is_not_known_changes_nothing() {
    let mut node = Node::proven(&ALL);
    let before = node.memory.clone();
    node.seen.files = silent(UnseenKind::Unreadable);
    node.turns(600);
    assert_eq!(node.memory, before);
    for report in node.turn().files {
        assert!(report.wrong.is_none() && report.what.contains("not known"));
    }
    // One file that cannot be read.
    node.seen.files = Reading::Known([(API.to_owned(), FileSeen::Unseen("EIO".into()))].into());
    node.turns(600);
    assert_eq!(node.memory.files[API], before.files[API]);
    assert_eq!(node.file(API).wrong, None);
    // containerd is silent: nothing is proven, and nothing called wedged.
    node.write(API, &manifest(API, "b"));
    node.seen.runtime = silent(UnseenKind::TimedOut);
    node.turns(600);
    assert_eq!(
        node.good(API),
        before.files[API].good.as_ref().map(|g| g.digest.clone())
    );
    assert_eq!(node.file(API).wrong, None);
}

#[test]
fn each_way_to_break_a_file_is_told_from_the_others() {
    let mut node = Node::proven(&[API, SCHEDULER]);
    let pod = manifest(API, "a");
    let broken = [
        ("", Wrong::Empty),
        (" \n\n", Wrong::Empty),
        ("{", Wrong::Broken),
        ("# all of it commented out\n", Wrong::Broken),
        ("a: b\n", Wrong::Broken),
        (&pod[..60], Wrong::Broken),
        (&pod.replace("kind: Pod", "kind: Deployment"), Wrong::Broken),
        (&pod.replace("v1\nkind", "v2\nkind"), Wrong::Broken),
        (&pod.replace("  name: kube-apiserver\n", ""), Wrong::Broken),
    ];
    for (text, wrong) in broken {
        node.write(API, text);
        let report = node.file(API);
        assert_eq!(report.wrong, Some(wrong), "{text:?}");
        assert_eq!(report.copy, Some(Node::digest(&pod)), "{text:?}");
        assert_eq!(report.present, None);
    }
    node.remove(API);
    assert_eq!(node.file(API).wrong, Some(Wrong::Gone));
    let since = node.file(API).since;
    node.turns(50);
    assert_eq!(node.file(API).since, since);
    node.write(API, &pod);
    assert_eq!(node.file(API).wrong, None);
}

#[test]
fn without_a_good_copy_nothing_is_called_wrong() {
    let mut node = Node::new();
    for file in ALL {
        node.remove(file);
    }
    node.turns(300);
    assert!(node.turn().files.iter().all(|file| file.wrong.is_none()));
    node.write(API, &manifest(API, "a"));
    node.run(API, Does::Crash);
    node.turns(300);
    assert_eq!(node.file(API).wrong, None);
}

#[test]
fn a_damaged_copy_is_kept_again_and_an_older_one_stands_in() {
    let mut node = Node::proven(&[API]);
    node.write(API, &manifest(API, "b"));
    node.run(API, Does::Serve);
    node.turns(15);
    let (old, new) = (
        Node::digest(&manifest(API, "a")),
        Node::digest(&manifest(API, "b")),
    );
    let Reading::Known(copies) = &mut node.seen.copies else {
        panic!()
    };
    copies.get_mut(API).unwrap().remove(&new);
    // The file is gone too: what is left is the older one.
    let there = node.files()[API].clone();
    node.remove(API);
    assert_eq!(node.file(API).copy, Some(old));
    node.files().insert(API.to_owned(), there);
    let done = node.turn();
    let keep = GuardStep::Keep {
        file: API.to_owned(),
        digest: new.clone(),
    };
    assert_eq!(done.steps, [keep]);
    assert_eq!(node.file(API).copy, Some(new));
}

#[test]
fn a_lost_memory_is_made_anew_from_the_copies() {
    let mut node = Node::proven(&ALL);
    let memory = GuardMemory::rebuilt(node.seen.copies.known().unwrap());
    for file in ALL {
        assert_eq!(memory.files[file].good, node.memory.files[file].good);
    }
    node.memory = memory;
    node.remove(API);
    assert_eq!(node.file(API).wrong, Some(Wrong::Gone));
}

#[test]
fn the_part_is_told_by_label_container_program_and_file() {
    let part = |file: &str, text: &str| match content(file, text) {
        FileSeen::Pod(pod) => pod.part,
        other => panic!("{other:?}"),
    };
    let pod = |labels: &str, name: &str, command: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: x, labels: {{{labels}}}}}\nspec:\n  \
             containers:\n  - {{name: {name}, command: [{command}]}}\n"
        )
    };
    let etcd = Some(Part::Etcd);
    assert_eq!(part("x.yaml", &pod("component: etcd", "a", "b")), etcd);
    assert_eq!(part("x.yaml", &pod("", "etcd", "b")), etcd);
    assert_eq!(part("x.yaml", &pod("", "a", "/usr/bin/etcd")), etcd);
    assert_eq!(part("etcd.yaml", &pod("", "a", "b")), etcd);
    assert_eq!(part("x.yaml", &pod("", "a", "b")), None);
}

#[test]
fn no_content_is_shown_by_debug() {
    let text = manifest(API, "topsecret");
    let shown = format!("{:?}", content(API, &text));
    assert!(!shown.contains("topsecret"), "{shown}");
}
