//! The course of a recovery: what comes next, what is waited for, how it ends.

use std::time::Duration;

use rekindle::core::recovery::course::{CHECKPOINTS, EFFECT, Next, Position, SETTLE, next};
use rekindle::core::recovery::journal::{Act, Beginning, Journal};
use rekindle::core::recovery::loss::{Assessment, Condition, Loss, LossSeen};
use rekindle::core::recovery::plan::{Asked, Plan, Restraint, plan};
use rekindle::core::recovery::policy::RecoveryPolicy;
use rekindle::core::recovery::record::{Outcome, Trigger};
use rekindle::core::recovery::rung::Rung;
use rekindle::core::time::Moment;

use crate::recovery_plan::{now as wall, policy, resources};

fn lost(loss: Loss) -> Assessment {
    Assessment {
        condition: Condition::Lost,
        losses: vec![LossSeen {
            loss,
            since: Moment(0),
            due: Moment(60_000),
            confirmed: true,
            evidence: vec!["nobody answers".to_owned()],
        }],
        ..Assessment::default()
    }
}

fn well(condition: Condition) -> Assessment {
    Assessment {
        condition,
        ..Assessment::default()
    }
}

fn planned(loss: Loss, journal: &Journal) -> Plan {
    let generous = RecoveryPolicy {
        max_auto_data_loss: Duration::from_secs(86400),
        ..policy()
    };
    plan(
        loss,
        &resources(),
        &generous,
        &Restraint::default(),
        journal.asked.as_ref(),
        &journal.tried,
        wall(),
    )
}

fn begun(loss: Loss, asked: Option<Asked>) -> Journal {
    let plan = plan(
        loss,
        &resources(),
        &policy(),
        &Restraint::default(),
        asked.as_ref(),
        &[],
        wall(),
    );
    Journal::begin(Beginning {
        id: "20261125T120000Z-master1".to_owned(),
        node: "master1",
        losses: vec![loss],
        evidence: vec!["nobody answers".to_owned()],
        rung: plan.chosen.unwrap(),
        plan: &plan,
        asked,
        suspected_at: wall(),
        wall: wall(),
        boot_id: "boot",
    })
}

fn step(journal: &Journal, assessment: &Assessment, lasts: u64, now: u64) -> Next {
    step_by(&policy(), journal, assessment, lasts, now)
}

fn step_by(
    policy: &RecoveryPolicy,
    journal: &Journal,
    assessment: &Assessment,
    lasts: u64,
    now: u64,
) -> Next {
    let plan = assessment.confirmed().map(|loss| planned(loss, journal));
    next(&Position {
        journal,
        assessment,
        plan: plan.as_ref(),
        resources: &resources(),
        policy,
        lasts: Duration::from_secs(lasts),
        now: Moment(now),
    })
}

#[test]
fn etcd_comes_back_from_its_data_then_what_is_stale_is_cleared_up_then_it_ends() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    assert_eq!(journal.record.trigger, Trigger::Automatic);
    let loss = lost(Loss::EtcdQuorum);
    assert_eq!(step(&journal, &loss, 0, 1000), Next::Do(Act::RestoreData));
    journal.start(Act::RestoreData, Moment(1000), wall());
    // While it is under way nothing else is begun, whatever is seen.
    assert!(matches!(step(&journal, &loss, 9, 9000), Next::Wait(..)));
    assert!(matches!(
        step(&journal, &well(Condition::Healthy), 9, 9000),
        Next::Wait(..)
    ));
    assert_eq!(journal.restored_at(), None);
    journal.end(Ok("etcd serves".to_owned()), Moment(20_000), wall());
    assert_eq!(journal.restored_at(), Some(wall()));
    // Its effect is waited for: the evidence is older than the act.
    let Next::Wait(waits, Some(until)) = step(&journal, &loss, 20, 21_000) else {
        panic!("not waited for");
    };
    assert_eq!(until, Moment(20_000).after(EFFECT));
    assert!(waits[0].contains("restoring etcd"), "{waits:?}");
    let healthy = well(Condition::Healthy);
    assert_eq!(step(&journal, &healthy, 30, 30_000), Next::Do(Act::Hygiene));
    journal.start(Act::Hygiene, Moment(30_000), wall());
    journal.end(Ok(String::new()), Moment(31_000), wall());
    journal.well_since = Some(Moment(30_000));
    assert!(matches!(
        step(&journal, &healthy, 32, 32_000),
        Next::Wait(..)
    ));
    let settled = Moment(30_000).after(SETTLE).0;
    assert_eq!(
        step(&journal, &healthy, 40, settled),
        Next::End(Outcome::Recovered)
    );
}

#[test]
fn a_way_that_fails_gives_way_to_the_next() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    journal.start(Act::RestoreData, Moment(0), wall());
    journal.end(
        Err("the database is damaged".to_owned()),
        Moment(5000),
        wall(),
    );
    let next = step(&journal, &lost(Loss::EtcdQuorum), 6, 6000);
    assert_eq!(
        next,
        Next::Do(Act::RestoreBackup("20261125T113000Z-master1".to_owned()))
    );
    assert!(
        journal.record.phases[0]
            .note
            .contains("failed: the database is damaged")
    );
}

#[test]
fn a_way_without_effect_counts_as_tried() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    journal.start(Act::RestoreData, Moment(0), wall());
    journal.end(Ok("done".to_owned()), Moment(5000), wall());
    let late = Moment(5000).after(EFFECT).0;
    let Next::Fruitless(rung, _) = step(&journal, &lost(Loss::EtcdQuorum), 70, late) else {
        panic!("tried for ever");
    };
    assert_eq!(rung, Rung::DataDirectory);
}

#[test]
fn checkpoints_have_their_time_and_no_more() {
    let mut journal = begun(Loss::ApiServers, None);
    let loss = lost(Loss::ApiServers);
    assert_eq!(step(&journal, &loss, 0, 0), Next::Do(Act::Checkpoints));
    journal.start(Act::Checkpoints, Moment(0), wall());
    assert!(matches!(step(&journal, &loss, 10, 10_000), Next::Wait(..)));
    let late = Moment(0).after(CHECKPOINTS).0;
    assert!(matches!(step(&journal, &loss, 90, late), Next::GiveUp(_)));
    journal.well_since = Some(Moment(20_000));
    assert_eq!(
        step(&journal, &well(Condition::Healthy), 30, 30_000),
        Next::End(Outcome::Recovered)
    );
}

/// Emulated masters: an API server that was restarted was still starting when a temporary one came.
#[test]
fn on_a_slow_machine_what_was_started_has_more_time() {
    let slow = RecoveryPolicy {
        wedged_after: Duration::from_secs(960),
        ..policy()
    };
    let at = |journal: &Journal, loss, seconds| {
        step_by(&slow, journal, &lost(loss), seconds, seconds * 1000)
    };
    let mut journal = begun(Loss::ApiServers, None);
    journal.start(Act::Checkpoints, Moment(0), wall());
    let checkpoints = |seconds| at(&journal, Loss::ApiServers, seconds);
    assert!(matches!(checkpoints(719), Next::Wait(..)));
    assert!(matches!(checkpoints(720), Next::GiveUp(_)));

    let mut journal = begun(Loss::EtcdQuorum, None);
    journal.start(Act::RestoreData, Moment(0), wall());
    journal.end(Ok("done".to_owned()), Moment(0), wall());
    let restored = |seconds| at(&journal, Loss::EtcdQuorum, seconds);
    assert!(matches!(restored(479), Next::Wait(..)));
    assert!(matches!(
        restored(480),
        Next::Fruitless(Rung::DataDirectory, _)
    ));
}

#[test]
fn r14_what_comes_back_by_itself_ends_as_unneeded() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    journal.well_since = Some(Moment(0));
    assert_eq!(
        step(&journal, &well(Condition::Healthy), 6, 6000),
        Next::End(Outcome::Unneeded)
    );
}

#[test]
fn a_member_that_its_cluster_has_forgotten_is_replaced_when_an_operator_asks_for_it() {
    let asked = Asked {
        from: Some(Rung::ReplaceMember),
        source: None,
        allow_loss_seconds: 0,
        uid: 0,
    };
    let mut journal = begun(Loss::EtcdMember, Some(asked.clone()));
    let seen = well(Condition::Degraded);
    let loss = asked.loss_of_etcd().unwrap();
    let at = |journal: &Journal, now: u64| {
        next(&Position {
            journal,
            assessment: &seen,
            plan: Some(&planned(loss, journal)),
            resources: &resources(),
            policy: &policy(),
            lasts: Duration::from_secs(1),
            now: Moment(now),
        })
    };
    journal.well_since = Some(Moment(0));
    let settled = Moment(0).after(CHECKPOINTS).0;
    assert_eq!(at(&journal, settled), Next::Do(Act::ReplaceMember));
    // Once: where it is refused, or has been done, the recovery ends.
    journal.start(Act::ReplaceMember, Moment(settled), wall());
    journal.end(Ok(String::new()), Moment(settled), wall());
    journal.well_since = Some(Moment(0));
    assert_eq!(at(&journal, settled), Next::End(Outcome::Recovered));
    let mut refused = begun(Loss::EtcdMember, Some(asked));
    refused.start(Act::ReplaceMember, Moment(0), wall());
    refused.end(Err("the member is healthy".to_owned()), Moment(1), wall());
    refused.well_since = Some(Moment(0));
    let why = "replace-member: the member is healthy".to_owned();
    assert_eq!(
        at(&refused, settled),
        Next::End(Outcome::Abandoned(why)),
        "a refusal is no recovery"
    );
}

#[test]
fn an_operator_restores_etcd_whose_other_members_give_no_sign() {
    let asked = Asked {
        from: Some(Rung::DataDirectory),
        source: None,
        allow_loss_seconds: 0,
        uid: 0,
    };
    let journal = begun(Loss::EtcdQuorum, Some(asked.clone()));
    // Cut off, or without power: nothing is called lost.
    for condition in [Condition::Unknown, Condition::Degraded] {
        let at = next(&Position {
            journal: &journal,
            assessment: &well(condition),
            plan: Some(&planned(asked.loss_of_etcd().unwrap(), &journal)),
            resources: &resources(),
            policy: &policy(),
            lasts: Duration::from_secs(1),
            now: Moment(1000),
        });
        assert_eq!(at, Next::Do(Act::RestoreData), "{condition:?}");
    }
}

#[test]
fn a_recovery_without_end_fails_with_its_reasons() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    for rung in Rung::ALL {
        journal.tried.push((rung, "no".to_owned()));
    }
    let Next::Wait(waits, _) = step(&journal, &lost(Loss::EtcdQuorum), 100, 100_000) else {
        panic!("nothing is left to do");
    };
    assert!(
        waits.iter().any(|why| why.contains("it was tried: no")),
        "{waits:?}"
    );
    let Next::End(Outcome::Failed(why)) = step(&journal, &lost(Loss::EtcdQuorum), 1800, 1_800_000)
    else {
        panic!("it goes on for ever");
    };
    assert!(why.contains("not recovered within 1800 s"), "{why}");
}

#[test]
fn an_operator_ends_it_once_what_runs_has_stopped() {
    let asked = Asked {
        uid: 0,
        ..Asked::default()
    };
    let mut journal = begun(Loss::EtcdQuorum, Some(asked));
    assert_eq!(journal.record.trigger, Trigger::Operator { uid: 0 });
    journal.start(Act::RestoreData, Moment(0), wall());
    journal.ending = Some("by an operator".to_owned());
    assert!(matches!(
        step(&journal, &lost(Loss::EtcdQuorum), 1, 1000),
        Next::Wait(..)
    ));
    journal.end(Err("an operator ended it".to_owned()), Moment(2000), wall());
    assert_eq!(
        step(&journal, &lost(Loss::EtcdQuorum), 3, 3000),
        Next::End(Outcome::Abandoned("by an operator".to_owned()))
    );
}

#[test]
fn r08_another_boot_begins_its_clocks_anew() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    journal.start(Act::RestoreData, Moment(900_000), wall());
    journal.well_since = Some(Moment(800_000));
    journal.rebase("boot", Moment(1_000_000));
    assert_eq!(journal.doing_since, Some(Moment(900_000)));
    journal.rebase("another", Moment(500));
    assert_eq!(journal.doing_since, Some(Moment(500)));
    assert_eq!(journal.well_since, None);
    assert_eq!(journal.doing, Some(Act::RestoreData));
}

/// R03: one source for one recovery. A backup that is newer by now changes nothing about the one
/// that is being restored, also where the daemon was cut off in between.
#[test]
fn r03_a_source_that_was_chosen_stays_the_source() {
    let mut journal = begun(Loss::EtcdQuorum, None);
    let chosen = Act::RestoreBackup("20261125T080000Z-master1".to_owned());
    journal.start(chosen.clone(), Moment(1000), wall());
    let written = serde_json::to_vec(&journal).unwrap();
    let mut journal: Journal = serde_json::from_slice(&written).unwrap();
    journal.rebase("another boot", Moment(5));
    // What there is to recover with has another backup, and whole data: both are better.
    let loss = lost(Loss::EtcdQuorum);
    let plan = planned(Loss::EtcdQuorum, &journal);
    assert_eq!(plan.chosen, Some(Rung::DataDirectory));
    assert!(matches!(step(&journal, &loss, 9, 9000), Next::Wait(..)));
    assert_eq!(journal.doing, Some(chosen));
}
