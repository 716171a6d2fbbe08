//! Whose leases may be released after a restore: no two may ever lead at once.

use std::path::PathBuf;

use rekindle::core::reading::Reading;
use rekindle::core::recovery::etcd_seen::{DataDir, EtcdAnswer};
use rekindle::core::recovery::evidence::{DoorAnswer, Evidence, Instance, Owner, Run};
use rekindle::core::recovery::hygiene::Act;
use rekindle::core::recovery::hygiene::facts::Lease;
use rekindle::core::recovery::hygiene::leases::{Election, stale, superseded};
use rekindle::core::recovery::leaders::{Leaders, Proven, Stage};
use rekindle::core::recovery::part::Part;
use rekindle::core::recovery::record::{Ending, Finding};
use rekindle::core::time::Moment;

use crate::recovery_hygiene::lease;
use crate::recovery_samples::after;
use crate::recovery_world::{etcd_door, healthy, instance, status, unknown};

const LEASE: &str = "kube-scheduler";

/// A node on which etcd serves or is down, looked at second by second.
struct Node {
    evidence: Evidence,
    leaders: Leaders,
}

impl Node {
    /// All well, and looked at twice.
    fn new() -> Self {
        let mut node = Self {
            evidence: healthy(1),
            leaders: Leaders::default(),
        };
        node.look(1, Stage::Untouched);
        node.look(2, Stage::Untouched);
        node
    }

    fn look(&mut self, second: u64, stage: Stage) {
        self.evidence.at = Moment(second * 1000);
        self.leaders.look(&self.evidence, stage);
    }

    fn set(&mut self, part: Part, here: Vec<Instance>) {
        let mut all = self.evidence.containers.known().unwrap().clone();
        all.insert(part, here);
        self.evidence.containers = Reading::Known(all);
    }

    fn etcd_dies(&mut self) {
        self.set(Part::Etcd, vec![instance(Part::Etcd, "etcd-0", ended())]);
        let refused = EtcdAnswer::Not(DoorAnswer::Refused);
        self.evidence.etcd.endpoints = vec![etcd_door(1, refused)];
        self.evidence.etcd.here.data = Reading::Known(DataDir::Absent);
    }

    fn etcd_serves(&mut self, id: &str) {
        self.set(Part::Etcd, vec![instance(Part::Etcd, id, Run::Running)]);
        let serves = EtcdAnswer::Status(status(1, Some(1)));
        self.evidence.etcd.endpoints = vec![etcd_door(1, serves)];
    }

    /// The scheduler's containers by their ids.
    fn schedulers(&mut self, all: &[(&str, Run)]) {
        let here = all
            .iter()
            .map(|(id, run)| instance(Part::Scheduler, id, run.clone()));
        self.set(Part::Scheduler, here.collect());
    }

    fn proven(&self) -> Proven {
        self.leaders.proven("Host1", true)
    }

    fn covers(&self, holder: &str) -> bool {
        self.proven().covers(LEASE, holder)
    }
}

fn ended() -> Run {
    Run::Ended(String::new())
}

/// etcd dies, the scheduler ends for want of its lease and is started again, etcd is restored.
fn restored() -> Node {
    let mut node = Node::new();
    node.etcd_dies();
    node.look(3, Stage::Untouched);
    node.look(8, Stage::Untouched);
    node.schedulers(&[
        ("kube-scheduler-0", ended()),
        ("kube-scheduler-1", Run::Running),
    ]);
    node.look(13, Stage::Untouched);
    node.look(14, Stage::BeingRestored);
    node.etcd_serves("etcd-1");
    node.look(16, Stage::Restored);
    node
}

#[test]
fn a_holder_whose_container_has_ended_leads_no_more_and_its_successor_never_did() {
    let mut node = restored();
    assert!(node.covers("host1_5c1d"), "{:?}", node.leaders);
    assert!(
        node.covers("kube-scheduler-node1_5c1d"),
        "of the pod's name"
    );
    // Of another host, or no identity of leader election.
    assert!(!node.covers("host2_5c1d"));
    assert!(!node.covers("host1"));
    // The controller manager still runs as before, and nobody knows of others.
    let proven = node.proven();
    assert!(!proven.covers("kube-controller-manager", "host1_5c1d"));
    assert!(!proven.covers("cloud-controller-manager", "host1_5c1d"));
    // Later ones are no proof against it, and none is needed again.
    node.schedulers(&[("kube-scheduler-2", Run::Running)]);
    node.look(20, Stage::Restored);
    assert!(node.covers("host1_5c1d"));
    // The recovery has ended: the next one begins with nothing.
    node.look(60, Stage::Untouched);
    assert_eq!(node.proven(), Proven::default());
}

#[test]
fn nothing_is_proven_while_what_may_lead_runs() {
    for run in [Run::Running, Run::Starting] {
        let mut node = Node::new();
        node.etcd_dies();
        for second in [3, 8, 13] {
            node.look(second, Stage::Untouched);
        }
        node.schedulers(&[
            ("kube-scheduler-0", run.clone()),
            ("kube-scheduler-1", ended()),
        ]);
        node.look(14, Stage::BeingRestored);
        node.etcd_serves("etcd-1");
        node.look(16, Stage::Restored);
        assert!(!node.covers("host1_5c1d"), "{run:?}");
        // Until it ends.
        node.schedulers(&[("kube-scheduler-0", ended())]);
        node.look(17, Stage::Restored);
        assert!(node.covers("host1_5c1d"), "{run:?}");
    }
    // A copy of our own engine that is being stopped still runs.
    let mut node = restored();
    let copy = Instance {
        owner: Owner::Engine,
        ..instance(
            Part::Scheduler,
            "copy",
            Run::Ended("being stopped".to_owned()),
        )
    };
    let mut stopping = Node::new();
    stopping.set(Part::Scheduler, vec![copy]);
    stopping.look(3, Stage::Untouched);
    stopping.etcd_dies();
    for second in [4, 9, 13] {
        stopping.look(second, Stage::Untouched);
    }
    stopping.look(14, Stage::BeingRestored);
    stopping.look(16, Stage::Restored);
    assert!(!stopping.covers("host1_5c1d"));
    // Two of it, one of which could take it from the other.
    let two = [
        ("kube-scheduler-1", Run::Running),
        ("kube-scheduler-2", Run::Starting),
    ];
    node.schedulers(&two);
    node.look(17, Stage::Restored);
    assert!(!node.covers("host1_5c1d"));
}

#[test]
fn who_started_while_etcd_may_have_served_may_lead() {
    // On an emptied directory it serves until it is stopped.
    let mut emptied = Node::new();
    emptied.schedulers(&[("kube-scheduler-1", Run::Running)]);
    for second in [3, 8, 13] {
        emptied.look(second, Stage::Untouched);
    }
    emptied.look(14, Stage::BeingRestored);
    emptied.look(16, Stage::Restored);
    assert!(!emptied.covers("host1_5c1d"));
    emptied.schedulers(&[("kube-scheduler-2", Run::Running)]);
    emptied.look(17, Stage::Restored);
    assert!(!emptied.covers("host1_5c1d"), "never seen to be down");
    // In the look after one in which it served.
    let mut between = Node::new();
    between.etcd_dies();
    between.schedulers(&[("kube-scheduler-1", Run::Running)]);
    between.look(3, Stage::Untouched);
    between.look(4, Stage::BeingRestored);
    between.look(5, Stage::Restored);
    assert!(!between.covers("host1_5c1d"));
    // Nobody looked for long enough to become a leader in.
    let mut gap = Node::new();
    gap.etcd_dies();
    gap.look(3, Stage::Untouched);
    gap.look(4, Stage::Untouched);
    gap.schedulers(&[("kube-scheduler-1", Run::Running)]);
    gap.look(19, Stage::Untouched);
    gap.look(20, Stage::BeingRestored);
    gap.look(21, Stage::Restored);
    assert!(!gap.covers("host1_5c1d"));
}

/// Every way in which etcd may serve although it does not answer.
#[test]
fn an_etcd_that_may_live_is_not_down() {
    type Change = (&'static str, fn(&mut Node));
    let changes: [Change; 6] = [
        ("its container runs", |node| {
            node.set(
                Part::Etcd,
                vec![instance(Part::Etcd, "etcd-1", Run::Running)],
            );
        }),
        ("its database is open", |node| {
            node.evidence.etcd.here.data = crate::recovery_world::data(true);
        }),
        ("its directory is not known", |node| {
            node.evidence.etcd.here.data = unknown();
        }),
        ("it answers and is not ready", |node| {
            let answer = EtcdAnswer::Not(DoorAnswer::NotReady);
            node.evidence.etcd.endpoints = vec![etcd_door(1, answer)];
        }),
        ("it runs elsewhere", |node| {
            let answer = EtcdAnswer::Not(DoorAnswer::Refused);
            node.evidence.etcd.endpoints = vec![etcd_door(2, answer)];
        }),
        ("nobody was asked", |node| {
            let dir = PathBuf::from("/var/lib/etcd");
            let nothing = rekindle::core::recovery::etcd_seen::EtcdEvidence::nothing(dir);
            let data = node.evidence.etcd.here.data.clone();
            node.evidence.etcd = nothing;
            node.evidence.etcd.here.data = data;
        }),
    ];
    for (what, change) in changes {
        let mut node = Node::new();
        node.etcd_dies();
        change(&mut node);
        for second in [3, 8, 12] {
            node.look(second, Stage::Untouched);
        }
        node.schedulers(&[("kube-scheduler-1", Run::Running)]);
        node.look(13, Stage::BeingRestored);
        node.look(14, Stage::Restored);
        assert!(!node.covers("host1_5c1d"), "{what}");
    }
}

#[test]
fn what_is_not_known_proves_nothing() {
    // Not the only master; a name that cannot be read.
    let node = restored();
    assert_eq!(node.leaders.proven("host1", false), Proven::default());
    assert!(!node.leaders.proven("", true).covers(LEASE, "_5c1d"));
    // containerd, while somebody may have become a leader.
    let mut unseen = Node::new();
    let known = unseen.evidence.containers.clone();
    unseen.evidence.containers = unknown();
    unseen.look(3, Stage::Untouched);
    unseen.evidence.containers = known;
    unseen.etcd_dies();
    unseen.schedulers(&[("kube-scheduler-1", Run::Running)]);
    for second in [4, 9] {
        unseen.look(second, Stage::Untouched);
    }
    unseen.look(13, Stage::BeingRestored);
    unseen.look(14, Stage::Restored);
    assert!(
        !unseen.covers("host1_5c1d"),
        "the first that was seen since may lead"
    );
    // None was ever seen in a container: a unit of systemd, say.
    let mut unit = Node {
        evidence: healthy(1),
        leaders: Leaders::default(),
    };
    unit.schedulers(&[]);
    unit.look(1, Stage::Untouched);
    unit.etcd_dies();
    for second in [2, 7, 12] {
        unit.look(second, Stage::Untouched);
    }
    unit.look(13, Stage::BeingRestored);
    unit.look(14, Stage::Restored);
    assert!(!unit.covers("host1_5c1d"));
    // A daemon that was started meanwhile, and sees for the first time what runs.
    let mut anew = restored();
    anew.leaders = Leaders::default();
    anew.etcd_dies();
    anew.look(20, Stage::BeingRestored);
    anew.look(21, Stage::BeingRestored);
    anew.look(22, Stage::Restored);
    assert!(!anew.covers("host1_5c1d"));
}

#[test]
fn a_proven_lease_is_cleared_at_once_and_only_that_one() {
    let node = restored();
    let proven = node.proven();
    // Lost at 0, restored at 14 s, looked at at 16 s: by time alone it would be 30 s.
    let look = |leases: &[Lease], at: i64| {
        let election = Election {
            node: "node1",
            lost_at: after(0),
            restored_at: after(14_000),
            wall: after(at),
            nodes: None,
            proven: &proven,
            etcd_lived: false,
        };
        stale(leases, &election)
    };
    let ours = lease(LEASE, "host1_5c1d", -1000);
    let cleared = look(std::slice::from_ref(&ours), 16_000);
    let act = Act::ClearLease {
        name: LEASE.to_owned(),
        resource_version: "7".to_owned(),
    };
    assert_eq!(cleared[0].act, Ok(act));
    assert_eq!(
        cleared[0].what,
        "lease kube-scheduler is held by host1_5c1d, whose container on this node has ended"
    );
    for left in [
        lease(LEASE, "host2_5c1d", -1000),
        lease("kube-controller-manager", "host1_5c1d", -1000),
        lease("mine", "host1_5c1d", -1000),
    ] {
        let early = look(std::slice::from_ref(&left), 29_999);
        assert!(early[0].act.is_err(), "{early:?}");
        // By its own terms later.
        assert!(look(&[left], 30_000)[0].act.is_ok());
    }
    // Somebody has it: it was renewed since.
    assert_eq!(look(&[lease(LEASE, "host1_77", 15_000)], 16_000), []);

    let finding = |what: &str, end: Ending| Finding {
        kind: "leases".to_owned(),
        what: what.to_owned(),
        end,
    };
    let done = finding(&cleared[0].what, Ending::Done);
    let why = || Ending::Left("no answer".to_owned());
    let of_time = "lease kube-scheduler is held by host1_5c1d, who has not renewed it";
    assert!(superseded(&finding(of_time, why()), &done));
    let all = "leases of kube-system could not be looked at";
    assert!(superseded(&finding(all, why()), &done));
    assert!(!superseded(&done, &done));
    let other = "lease kube-scheduler-2 is held by host1_5c1d, who has not renewed it";
    assert!(!superseded(&finding(other, why()), &done));
}

/// etcd lives, and the controllers were deleted: their ends are proof until others start.
#[test]
fn what_has_ended_under_a_living_etcd_leads_no_more_until_another_starts() {
    let mut node = Node::new();
    let covers = |node: &Node| {
        node.leaders
            .ended("Host1", true)
            .covers(LEASE, "host1_5c1d")
    };
    assert!(!covers(&node), "it runs");
    node.schedulers(&[("kube-scheduler-0", ended())]);
    node.look(3, Stage::Untouched);
    assert!(covers(&node), "{:?}", node.leaders);
    assert!(!node.covers("host1_5c1d"), "no etcd was restored");
    let others = node.leaders.ended("Host1", false);
    assert_eq!(others, Proven::default(), "another master may have one");
    let proven = node.leaders.ended("Host1", true);
    let look = |held: Lease| {
        let election = Election {
            node: "node1",
            lost_at: after(0),
            restored_at: after(14_000),
            wall: after(3_600_000),
            nodes: None,
            proven: &proven,
            etcd_lived: true,
        };
        stale(&[held], &election)
    };
    assert!(look(lease(LEASE, "host1_5c1d", -1000))[0].act.is_ok());
    // A holder elsewhere whose clock is behind renews it all the time.
    assert!(look(lease(LEASE, "host2_5c1d", -1000))[0].act.is_err());
    node.schedulers(&[("kube-scheduler-1", Run::Running)]);
    node.look(4, Stage::Untouched);
    assert!(!covers(&node), "that one may lead");
}
