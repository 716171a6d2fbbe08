//! Leases of leader election, looked at from when etcd was restored, or controllers were found
//! lost, until the recovery ends: a holder that cannot be proven to have given up at first can be a
//! moment later, and an API server that has just begun to serve does not answer everything yet. Its
//! successor waits meanwhile.
//!
//! Beside the acts, which never wait for it. That it began is on the disk before it looks; what it
//! clears names the version of the lease that it saw, so doing it again is harmless.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use super::task::Task;
use crate::apiserver::ask::Asker;
use crate::core::recovery::evidence::Evidence;
use crate::core::recovery::hygiene::leases::superseded;
use crate::core::recovery::journal::{Act, Journal};
use crate::core::recovery::leaders::{Leaders, Proven, Stage};
use crate::core::recovery::loss::Loss;
use crate::core::recovery::policy::Hygiene;
use crate::core::recovery::record::Finding;
use crate::daemon::clock;
use crate::recover::host::Host;
use crate::recovery::hygiene::{Restored, release};

/// Of each question: an API server that hangs is asked again.
const DEADLINE: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Who may still lead, and what looks after their leases.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leaders: Leaders,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    proven: watch::Sender<Proven>,
    cleared: mpsc::UnboundedReceiver<Finding>,
    /// It ends with this.
    _stop: DropGuard,
}

impl Task {
    /// Takes in what is seen; begins to look at the leases, or goes on; notes what was cleared.
    /// `held`: nothing may be done.
    pub(super) async fn release_leases(&mut self, evidence: &Evidence, held: bool) {
        let stage = stage(self.journal.as_ref());
        let etcd_lived = stage == Stage::Untouched && lost_controllers(self.journal.as_ref());
        self.leases.leaders.look(evidence, stage);
        let policy = &self.settings.recovery.policy;
        let wanted = stage == Stage::Restored || etcd_lived;
        if !wanted || held || !policy.hygiene.contains(&Hygiene::Leases) {
            self.leases.watch = None;
            return;
        }
        let alone = policy.other_masters.is_empty();
        let (leaders, host) = (&self.leases.leaders, Host::read().name);
        let proven = if etcd_lived {
            leaders.ended(&host, alone)
        } else {
            leaders.proven(&host, alone)
        };
        if self.leases.watch.is_none() {
            self.watch_leases(proven, etcd_lived).await;
            return;
        }
        let (Some(watch), Some(journal)) = (&mut self.leases.watch, &mut self.journal) else {
            return;
        };
        watch.proven.send_if_modified(|told| {
            *told != proven && {
                *told = proven;
                true
            }
        });
        let mut noted = false;
        while let Ok(finding) = watch.cleared.try_recv() {
            let line = format!("{}: cleared up", finding.what);
            info!(recovery = journal.record.id, line, "recovery");
            journal.event(&line, None, clock::wall());
            journal
                .record
                .hygiene
                .retain(|it| !superseded(it, &finding));
            journal.record.hygiene.push(finding);
            noted = true;
        }
        if noted {
            self.record().await;
        }
    }

    async fn watch_leases(&mut self, proven: Proven, etcd_lived: bool) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let since = etcd_lived.then_some(journal.record.entered_at);
        let Some(restored_at) = since.or_else(|| journal.restored_at()) else {
            return;
        };
        let line = "leases of leader election are looked at until their holders have given up";
        journal.event(line, None, clock::wall());
        let known = Restored {
            node: self.settings.node.name.clone(),
            lost_at: journal.record.suspected_at,
            restored_at,
            etcd_lived,
        };
        if !self.record().await {
            return;
        }
        let asker = Asker::new(self.settings.recovery.kubeconfig.clone(), DEADLINE);
        let (proven, seen) = watch::channel(proven);
        let (say, cleared) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let looking = look(asker, known, seen, say);
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking));
        self.leases.watch = Some(Watch {
            proven,
            cleared,
            _stop: stop.drop_guard(),
        });
    }
}

/// Looks until nothing stale is left.
async fn look(
    asker: Asker,
    known: Restored,
    mut proven: watch::Receiver<Proven>,
    say: mpsc::UnboundedSender<Finding>,
) {
    loop {
        let holders = proven.borrow_and_update().clone();
        if let Ok(released) = release(&asker, &known, &holders).await {
            for finding in released.cleared {
                // Nobody listens any more: the recovery has ended.
                let _gone = say.send(finding);
            }
            if released.left == 0 {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// It is about controllers, whose leases nobody renews any more.
fn lost_controllers(journal: Option<&Journal>) -> bool {
    let lost = |loss: &Loss| matches!(loss, Loss::Schedulers | Loss::ControllerManagers);
    journal.is_some_and(|journal| journal.record.losses.iter().any(lost))
}

/// How far etcd is restored.
fn stage(journal: Option<&Journal>) -> Stage {
    match journal {
        Some(journal) if journal.doing.as_ref().is_some_and(Act::restores_etcd) => {
            Stage::BeingRestored
        }
        Some(journal) if journal.restored_etcd() => Stage::Restored,
        _ => Stage::Untouched,
    }
}
