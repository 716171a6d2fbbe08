//! What the task answers to who asks: plans, the beginning of a recovery, its end.

use std::sync::Arc;

use tracing::warn;

use super::door::{Planned, Question};
use super::resources::THOUGHT_OF;
use super::task::Task;
use crate::core::recovery::assess::assess;
use crate::core::recovery::loss::{Assessment, Loss};
use crate::core::recovery::memory::Memory;
use crate::core::recovery::plan::{Asked, Plan, plan};
use crate::core::recovery::rung::Rung;
use crate::daemon::clock;

impl Task {
    pub(super) async fn answer(&mut self, question: Question) {
        match question {
            Question::Plan(asked, answer) => {
                // Before: what is asked while the plans are made may come too late for them.
                let unasked = self.unasked(&self.evidence.borrow());
                let plans = self.plans(asked.as_ref()).await;
                // Who asked has gone: nothing was changed.
                let _gone = answer.send(Planned { plans, unasked });
            }
            Question::Enter(asked, answer) => {
                let _gone = answer.send(self.enter(asked).await);
            }
            Question::Exit(uid, answer) => {
                let _gone = answer.send(self.exit(uid).await);
            }
        }
    }

    /// What is seen now, without remembering it: the turn does that.
    fn seen(&self) -> Assessment {
        let evidence = Arc::clone(&self.evidence.borrow());
        let policy = &self.settings.recovery.policy;
        assess(&evidence, &self.memory, policy, clock::now()).0
    }

    /// Plans for what is lost; while nothing is, for what could be.
    async fn plans(&mut self, asked: Option<&Asked>) -> Vec<Plan> {
        let evidence = Arc::clone(&self.evidence.borrow());
        let mut found = self.gather(&evidence).await;
        let restraint = self.restraint(&evidence);
        let seen = self.seen();
        self.static_pods(&mut found, &seen, &restraint, asked.is_some());
        let lost: Vec<Loss> = match asked.and_then(|asked| asked.from) {
            Some(from) => vec![loss_of(from, &seen)],
            None if seen.losses.is_empty() => THOUGHT_OF.to_vec(),
            None => seen.losses.iter().map(|seen| seen.loss).collect(),
        };
        let policy = &self.settings.recovery.policy;
        let plans = lost
            .into_iter()
            .map(|loss| plan(loss, &found, policy, &restraint, asked, &[], clock::wall()));
        plans.collect()
    }

    /// An operator asks for a recovery.
    async fn enter(&mut self, asked: Asked) -> Result<String, String> {
        if let Some(journal) = &self.journal {
            return Err(format!("recovery {} is under way", journal.record.id));
        }
        if self.current.is_none() {
            let problems = self.told.problems.join("; ");
            return Err(format!("nothing can be written down: {problems}"));
        }
        let evidence = Arc::clone(&self.evidence.borrow());
        let seen = self.seen();
        let loss = match asked.from {
            Some(from) => loss_of(from, &seen),
            None => seen
                .worst()
                .ok_or("nothing is lost, as far as is seen here: name a rung with --from")?,
        };
        let mut found = self.gather(&evidence).await;
        let restraint = self.restraint(&evidence);
        self.static_pods(&mut found, &seen, &restraint, true);
        let policy = &self.settings.recovery.policy;
        let plan = plan(
            loss,
            &found,
            policy,
            &restraint,
            Some(&asked),
            &[],
            clock::wall(),
        );
        let Some(rung) = plan.chosen else {
            return Err(plan.refusals.join("; "));
        };
        warn!(
            uid = asked.uid,
            rung = rung.word(),
            "an operator begins a recovery"
        );
        let mut lines = seen.evidence();
        lines.push(format!("an operator (user id {}) asked for it", asked.uid));
        let suspected = super::task::since(&seen, clock::now());
        self.begin(&plan, rung, lines, Some(asked), suspected).await;
        match &self.journal {
            Some(journal) => Ok(journal.record.id.clone()),
            None => Err("it could not be written down".to_owned()),
        }
    }

    /// An operator ends the recovery that is under way, or the latch.
    async fn exit(&mut self, uid: u32) -> Result<String, String> {
        let mut said = Vec::new();
        if let Some(journal) = &mut self.journal {
            warn!(
                uid,
                recovery = journal.record.id,
                "an operator ends the recovery"
            );
            journal.ending = Some(format!("by an operator (user id {uid})"));
            said.push(format!("recovery {} is being ended", journal.record.id));
            if let Some(job) = &self.job {
                job.stop();
            }
            self.record().await;
        }
        if let Some(why) = self.standing.latched.take() {
            warn!(uid, why, "an operator ends the latch");
            self.standing.began.clear();
            if !self.remember().await {
                self.standing.latched = Some(why);
                return Err("the latch could not be written down".to_owned());
            }
            said.push("the latch is off: recoveries may begin by themselves again".to_owned());
        }
        let lost = self
            .seen()
            .losses
            .iter()
            .any(|seen| seen.loss == Loss::EtcdQuorum);
        if lost && self.journal.is_none() && self.standing.identity.take().is_some() {
            // Where this is another cluster by somebody's will, it is ours from now on.
            self.memory = Memory::default();
            self.remember().await;
            said.push("what etcd holds now counts as the cluster's data".to_owned());
        }
        if said.is_empty() {
            return Err("no recovery is under way, and nothing is latched".to_owned());
        }
        Ok(said.join("; "))
    }
}

/// The loss that a rung is asked for.
fn loss_of(from: Rung, seen: &Assessment) -> Loss {
    match (from.loss_of_etcd(), seen.worst()) {
        (Some(member @ Loss::EtcdMember), _) => member,
        (_, Some(worse @ (Loss::Everything | Loss::EtcdQuorum))) => worse,
        (Some(of_etcd), _) => of_etcd,
        (None, Some(worst)) => worst,
        (None, None) => Loss::ApiServers,
    }
}
