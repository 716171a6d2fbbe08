//! Who runs the temporary pods: the kubelet, or our own engine where there is none.

use std::time::Duration;

use super::component;
use super::journal::{Component, Journal, State};
use super::nodes::all_forgotten;
use super::turn::{Ended, Turn};
use crate::core::observed::EngineState;
use crate::core::stored::Engine;

/// A kubelet that neither answers nor runs anything after so long is none. One needs about 6 s
/// from its start to its first static pod.
const NO_KUBELET: Duration = Duration::from_secs(30);
/// One that was started just before this run may answer only now.
const KUBELET_STARTS: Duration = Duration::from_secs(15);

/// Finds out whether there is a kubelet that runs static pods.
pub(crate) fn choose_engine(journal: &mut Journal, turn: &mut Turn<'_>) {
    if journal.engine.is_some() {
        return;
    }
    let node = turn.orders.node.as_str();
    let runs = journal.components.iter().any(|component| {
        component::temporary(component, turn.observed, node).is_some_and(|it| !it.is_empty())
    });
    if runs {
        journal.engine = Some(Engine::Kubelet);
        return;
    }
    let until = journal.since.after(NO_KUBELET);
    let answers = turn.observed.kubelet.known().is_some();
    // That containerd does not answer says nothing about the kubelet.
    let silent = !answers && turn.observed.runtime.known().is_some();
    if silent && turn.now >= until {
        journal.engine = Some(Engine::Containerd);
        return;
    }
    turn.wake(until);
    turn.waits.push(if answers {
        format!(
            "the kubelet answers and has not started a pod from {}: is that its staticPodPath?",
            journal.manifest_dir
        )
    } else {
        format!(
            "no kubelet answers on this node yet; without one containerd is used in {} s",
            until.since(turn.now).as_secs()
        )
    });
}

/// Without a kubelet nobody starts the self-hosted pods: the temporary control plane is all there
/// can be, and it goes on without this process.
pub(crate) fn without_a_kubelet(journal: &Journal, turn: &mut Turn<'_>) {
    let ours = |component: &&Component| component.state == State::Temporary;
    let engine = turn.observed.engine.known();
    let serves = |component: &Component| {
        let pod = component::key(component).and_then(|key| engine?.pods.get(&key));
        pod.is_some_and(|pod| pod.state == EngineState::Serving)
    };
    let nobody = journal.engine == Some(Engine::Containerd)
        && turn.observed.kubelet.known().is_none()
        && turn.now.since(turn.orders.begun) >= KUBELET_STARTS
        && turn.now.since(journal.since) >= Duration::from_secs(5);
    let handing = journal
        .components
        .iter()
        .any(|component| matches!(component.state, State::HandingOver { .. }));
    if !nobody || handing || !all_forgotten(journal, turn) || turn.ended.is_some() {
        return;
    }
    let waiting: Vec<&str> = journal
        .components
        .iter()
        .filter(ours)
        .filter(|component| !serves(component))
        .map(|component| component.name.as_str())
        .collect();
    if waiting.is_empty() {
        turn.ended = Some(Ended::Temporary);
    } else {
        turn.waits.push(format!(
            "temporary pods do not serve yet: {}",
            waiting.join(", ")
        ));
    }
}
