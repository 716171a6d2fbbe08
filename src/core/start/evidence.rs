//! What counts as "it is back". Phases and conditions that the API server repeats from etcd date
//! from before the disaster (scenario R09): a pod counts because it runs and serves before our
//! eyes, or because a kubelet that lives now says so.

use std::time::Duration;

use super::component::parents;
use super::journal::Journal;
use super::observed::{Bound, Observed};
use super::required::Required;
use crate::core::observed::{Probe, TaskState};
use crate::core::reading::Reading;
use crate::core::time::Moment;

/// A pod on another node must be seen Ready for so long while its kubelet renews its lease: a
/// kubelet corrects what it finds of its pods within a few seconds of its start.
const ELSEWHERE: Duration = Duration::from_secs(20);
/// A lease that was not renewed for so long has no kubelet behind it: the node controller's own
/// patience. Source: Kubernetes 1.20, `--node-monitor-grace-period`.
pub const SILENT: Duration = Duration::from_secs(40);

/// What is known of one required pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// It is back.
    pub met: bool,
    /// By a pod on another node.
    pub elsewhere: bool,
    /// What it is, or what is missing.
    pub text: String,
}

fn no(text: String) -> Evidence {
    Evidence {
        met: false,
        elsewhere: false,
        text,
    }
}

/// Whether `required` is back. `serves`: for an API server, whether one answers that is not the
/// temporary one; its own answer counts instead of probes.
#[must_use]
pub fn evidence(
    required: &Required,
    serves: Option<bool>,
    observed: &Observed,
    journal: &Journal,
    node: &str,
    now: Moment,
) -> Evidence {
    let Some(here) = parents(required, observed, journal, node) else {
        let why = observed.runtime.unseen().map(|unseen| &unseen.detail);
        return no(format!("containerd: {}", why.map_or("", String::as_str)));
    };
    let mut said = None;
    for sandbox in here {
        let running = sandbox
            .containers
            .iter()
            .any(|container| container.task == TaskState::Running);
        if !running {
            said.get_or_insert(format!("{}: no container of it runs", sandbox.pod.name));
            continue;
        }
        let met = match serves {
            Some(serves) => serves,
            None => observed.probes.get(&sandbox.pod) == Some(&Probe::Passing),
        };
        if met {
            return Evidence {
                met: true,
                elsewhere: false,
                text: format!("{} runs here and serves", sandbox.pod.name),
            };
        }
        said = Some(match (serves, observed.probes.get(&sandbox.pod)) {
            (Some(_), _) => format!("{} runs and does not serve yet", sandbox.pod.name),
            (None, Some(Probe::Failing(why))) => format!("{} runs: {why}", sandbox.pod.name),
            (None, Some(Probe::Closed(_))) => {
                format!("{} runs, but has closed its port", sandbox.pod.name)
            }
            (None, _) => format!("{} runs, not asked yet", sandbox.pod.name),
        });
    }
    let elsewhere = by_the_api_server(required, observed, node, now);
    if elsewhere.met {
        // Of an API server, its own answer has the last word.
        let met = serves != Some(false);
        return Evidence { met, ..elsewhere };
    }
    let mut text = said.unwrap_or(elsewhere.text);
    if let Some(why) = observed.why.get(&required.name) {
        text = format!("{text} ({why})");
    }
    no(text)
}

/// What the API server and the kubelets of other nodes say.
fn by_the_api_server(required: &Required, observed: &Observed, own: &str, now: Moment) -> Evidence {
    let cluster = match &observed.cluster {
        Reading::Known(cluster) => cluster,
        Reading::Unknown(unseen) => return no(unseen.detail.clone()),
    };
    let candidates = cluster.pods.iter().filter(|bound| {
        !bound.mirror && !bound.ends && required.names(&bound.pod.namespace, &bound.pod.name)
    });
    let mut texts = Vec::new();
    for bound in candidates {
        match elsewhere(bound, observed, own, now) {
            Ok(text) => {
                return Evidence {
                    met: true,
                    elsewhere: true,
                    text,
                };
            }
            Err(text) => texts.push(text),
        }
    }
    if texts.is_empty() {
        return no("the API server has no such pod yet".to_owned());
    }
    no(texts.join("; "))
}

fn elsewhere(bound: &Bound, observed: &Observed, own: &str, now: Moment) -> Result<String, String> {
    let (pod, node) = (&bound.pod.name, &bound.node);
    if node.is_empty() {
        return Err(format!("{pod} is bound to no node yet"));
    }
    if node == own {
        return Err(match &observed.kubelet {
            Reading::Known(()) => {
                format!("{pod} is bound to this node; its kubelet has not started it yet")
            }
            Reading::Unknown(_) => format!("{pod} is bound to this node, which has no kubelet"),
        });
    }
    let Some(seen) = observed
        .cluster
        .known()
        .and_then(|cluster| cluster.nodes.get(node))
    else {
        return Err(format!("{pod} is bound to node {node}, not looked at yet"));
    };
    let forget = format!("if that machine is gone for good: rekindle start … --forget-node {node}");
    if !seen.exists {
        return Err(format!(
            "{pod} is bound to node {node}, which does not exist; {forget}"
        ));
    }
    if !seen.renewed {
        let last = seen.last.as_deref().unwrap_or("ever");
        let text =
            format!("{pod} is bound to node {node}, whose kubelet has not reported since {last}");
        return Err(if now.since(seen.watched_since) >= SILENT {
            format!("{text}; {forget}")
        } else {
            text
        });
    }
    match bound.ready_since {
        Some(since) if now.since(since) >= ELSEWHERE => {
            Ok(format!("{pod} is Ready on node {node}"))
        }
        Some(_) => Err(format!("{pod} on node {node} has not been Ready for long")),
        None => Err(format!("{pod} on node {node} is not Ready")),
    }
}
