//! This node's member replaced in a real cluster of three, and when it is not.

use rekindle::core::recovery::etcd::Source;
use rekindle::recovery::etcd::{Error, prepare_replace};

use crate::recovery_etcd_kills::killed;
use crate::recovery_etcd_node::{Node, replace_in};

async fn members(node: &Node) -> Vec<(String, bool)> {
    let list = node.client(1).await.member_list().await.unwrap();
    let members = list.members().iter();
    let mut members: Vec<_> = members
        .map(|member| (member.name().to_owned(), member.is_learner()))
        .collect();
    members.sort();
    members
}

fn whole() -> Vec<(String, bool)> {
    (0..3).map(|at| (format!("m{at}"), false)).collect()
}

#[tokio::test]
async fn r13_a_member_is_replaced_only_with_a_quorum_and_never_while_it_is_healthy() {
    let mut node = Node::start(3, &[]).await;
    node.put(1, 0..5).await;
    let refused = prepare_replace(&node.settings(), "r13").await.unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("answers and is healthy"), "{said}");

    node.crash();
    node.kill(2);
    let started = std::fs::read(node.manifest()).unwrap();
    let refused = replace_in(node.dir(), "r13").await.unwrap_err();
    assert!(matches!(refused, Error::NotReplaced(_)), "{refused:?}");
    // And no restore beside a member that answers, quorum or not (invariant 6).
    let refused = node.restore("r13", Source::DataDirectory).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Answers(_)), "{refused:?}");
    assert_eq!(std::fs::read(node.manifest()).unwrap(), started);
    node.finish();
    node.revive(2);
    node.serves(1).await;
    assert_eq!(members(&node).await, whole());
}

#[tokio::test]
async fn a_member_whose_data_is_damaged_is_replaced_without_a_loss() {
    let node = Node::start(3, &[]).await;
    node.put(1, 0..300).await;
    node.crash();
    node.put(1, 300..400).await;
    let before = std::fs::read(node.manifest()).unwrap();
    std::fs::remove_file(node.path("m0/member/snap/db")).unwrap();
    let cluster = node.stands(1).await.0;

    let replaced = replace_in(node.dir(), "replaced").await.unwrap();

    assert_eq!(members(&node).await, whole());
    node.serves(0).await;
    node.holds(0, 400).await;
    assert_eq!(node.stands(0).await.0, cluster);
    assert_eq!(std::fs::read(node.manifest()).unwrap(), before);
    assert_eq!(replaced.aside, Some(node.path("m0.before-replaced")));
    assert!(node.path("m0.before-replaced/member/wal").is_dir());
}

#[tokio::test]
async fn r08_killed_at_every_step_a_replacement_arrives() {
    let node = Node::start(3, &[]).await;
    let mut written = 0;
    let steps = (1..=10).map(|time| ("replace-etcd.recorded", time));
    let steps = steps.chain((1..=9).map(|time| ("replace-etcd.step-done", time)));
    let further = [
        ("recovery-etcd.member-aside", 1),
        ("recovery-etcd.joining-kept", 1),
        ("recovery-etcd.joining-taken", 1),
    ];
    for (point, time) in steps.chain(further) {
        node.put(1, written..written + 10).await;
        written += 10;
        node.crash();
        // Where the leader was killed, the others choose one first.
        node.serves(1).await;
        let at = format!("{point}:{time}");
        let id = format!("replace-{}-{time}", point.replace('.', "-"));
        assert!(killed(node.dir(), &id, &at), "{at} is never passed");
        let replaced = replace_in(node.dir(), &id).await;
        let replaced = replaced.unwrap_or_else(|error| panic!("{at}: {error:?}"));
        assert_eq!(members(&node).await, whole(), "{at}");
        node.serves(0).await;
        node.holds(0, written).await;
        node.finish();
        std::fs::remove_dir_all(replaced.aside.unwrap()).unwrap();
    }
}
