//! Controller manager and scheduler end without an API server, again and again; once it serves, the
//! kubelet starts them up to 300 s later, by how often they had ended. During a recovery they are
//! worth starting at once: when the kubelet is made to forget the ended containers.
//!
//! Source: kubelet `pkg/kubelet/kuberuntime/kuberuntime_manager.go`, `doBackOff`: without an ended
//! container there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::evidence::{Evidence, Owner, Run};
use super::part::Part;
use crate::core::time::Moment;

/// Ended for so long, where it was never seen to run: what is only being started has no task either.
const ENDED: Duration = Duration::from_secs(5);
/// So often in one recovery: one that ends for a reason of its own is the kubelet's to slow down.
const MOST: u32 = 3;

/// What was seen to have ended, and how often a part was helped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deaths {
    seen: BTreeMap<String, Moment>,
    /// Containers that were seen to run: without a task they have ended.
    ran: BTreeSet<String>,
    /// Containers that the kubelet was made to forget.
    told: BTreeSet<String>,
    helped: BTreeMap<Part, u32>,
}

impl Deaths {
    /// Takes in what is seen; gives each part that waits for the kubelet, with its ended containers,
    /// each once. At once is best: a kubelet that has not seen the end yet, at its next look within a
    /// second, starts the next one then; later it does so 10 to 15 s after its last try.
    ///
    /// Source: kubelet `pkg/kubelet/kubelet.go`, `plegRelistPeriod`, `backOffPeriod`.
    ///
    /// Nothing while no API server serves, or where containerd is not known.
    pub fn look(&mut self, evidence: &Evidence) -> Vec<(Part, Vec<String>)> {
        let mut due = Vec::new();
        let mut seen = BTreeMap::new();
        let mut ran = BTreeSet::new();
        // Who ends for want of an API server.
        for part in Part::LEADERS {
            let Some(here) = evidence.here(part) else {
                return Vec::new();
            };
            let lives = here
                .iter()
                .any(|it| matches!(it.run, Run::Running | Run::Starting));
            let known = here
                .iter()
                .filter(|it| it.run == Run::Running || self.ran.contains(&it.container));
            ran.extend(known.map(|it| it.container.clone()));
            let ended = here
                .iter()
                .filter(|it| it.owner == Owner::Kubelet && matches!(it.run, Run::Ended(_)));
            let mut all = Vec::new();
            for instance in ended {
                let since = self.seen.get(&instance.container).copied();
                let since = since.unwrap_or(evidence.at);
                seen.insert(instance.container.clone(), since);
                let ended = ran.contains(&instance.container) || evidence.at.since(since) >= ENDED;
                if ended && !self.told.contains(&instance.container) {
                    all.push(instance.container.clone());
                }
            }
            let helped = self.helped.entry(part).or_default();
            if evidence.api_serves() && !lives && !all.is_empty() && *helped < MOST {
                *helped += 1;
                self.told.extend(all.iter().cloned());
                due.push((part, all));
            }
        }
        self.told.retain(|container| seen.contains_key(container));
        self.seen = seen;
        self.ran = ran;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::reading::Reading;
    use crate::core::recovery::evidence::{Door, DoorAnswer, DoorKind, Instance};

    fn seen(second: u64, answer: DoorAnswer, runs: &[(&str, Run)]) -> Evidence {
        let mut evidence = Evidence::nothing("n1", Moment(second * 1000));
        let here = runs.iter().map(|(container, run)| Instance {
            owner: Owner::Kubelet,
            name: "kube-system/kube-scheduler-n1".to_owned(),
            sandbox: "sandbox".to_owned(),
            container: (*container).to_owned(),
            run: run.clone(),
        });
        let all = BTreeMap::from([(Part::Scheduler, here.collect())]);
        evidence.containers = Reading::Known(all);
        evidence.doors = vec![Door {
            kind: DoorKind::Loopback,
            url: "https://127.0.0.1:6443".to_owned(),
            answer,
            detail: String::new(),
            at: evidence.at,
        }];
        evidence
    }

    fn ended() -> Run {
        Run::Ended("exit code 1".to_owned())
    }

    #[test]
    fn what_waits_for_the_kubelet_is_helped_once_an_api_server_serves_and_not_for_ever() {
        let mut deaths = Deaths::default();
        let gone = DoorAnswer::Refused;
        for second in [0, 10] {
            let none = deaths.look(&seen(second, gone, &[("a", ended())]));
            assert!(none.is_empty(), "no API server: it would only end again");
        }
        let serving = DoorAnswer::Serving;
        let due = deaths.look(&seen(11, serving, &[("a", ended())]));
        assert_eq!(due, [(Part::Scheduler, vec!["a".to_owned()])]);
        // One that ends by itself, each time anew.
        let mut helped = 1;
        for second in (20..200).step_by(10) {
            let name = format!("b{second}");
            let first = deaths.look(&seen(second, serving, &[(&name, ended())]));
            assert!(first.is_empty(), "it may only be being started");
            helped += deaths
                .look(&seen(second + 6, serving, &[(&name, ended())]))
                .len();
        }
        assert_eq!(helped, 3);
    }

    #[test]
    fn one_that_was_seen_to_run_is_helped_as_soon_as_it_has_ended_and_once() {
        let mut deaths = Deaths::default();
        let serving = DoorAnswer::Serving;
        let runs = [("a", Run::Running)];
        assert!(deaths.look(&seen(10, serving, &runs)).is_empty());
        let gone = [("a", ended()), ("old", ended())];
        let due = deaths.look(&seen(11, serving, &gone));
        assert_eq!(due, [(Part::Scheduler, vec!["a".to_owned()])]);
        // The same evidence again, and one in which it is still listed.
        for second in [11, 12] {
            assert!(deaths.look(&seen(second, serving, &gone)).is_empty());
        }
        // What was never seen to run may only be being started.
        let due = deaths.look(&seen(16, serving, &gone));
        assert_eq!(due, [(Part::Scheduler, vec!["old".to_owned()])]);
    }

    #[test]
    fn who_lives_or_is_not_known_is_left_alone() {
        let serving = DoorAnswer::Serving;
        for run in [Run::Running, Run::Starting] {
            let mut deaths = Deaths::default();
            for second in [0, 10, 20] {
                let both = [("a", ended()), ("b", run.clone())];
                assert!(deaths.look(&seen(second, serving, &both)).is_empty());
            }
        }
        let mut deaths = Deaths::default();
        for second in [0, 10, 20] {
            let mut unknown = seen(second, serving, &[("a", ended())]);
            unknown.containers = Reading::not_asked();
            assert!(deaths.look(&unknown).is_empty());
        }
    }
}
