//! What runs on this node of the control plane, by name of the container.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::core::id::CheckpointId;
use crate::core::observed::{ContainerSeen, EngineView, RuntimeView, Sandbox, TaskState};
use crate::core::reading::Reading;
use crate::core::recovery::evidence::{Instance, Owner, Run};
use crate::core::recovery::part::Part;
use crate::core::time::Moment;
use crate::daemon::clock;

/// Where the control plane's pods are. A container of the same name elsewhere is somebody's own.
const NAMESPACE: &str = "kube-system";

/// Containers of each part; unknown where either of the two is.
pub(super) fn containers(
    runtime: &Reading<RuntimeView>,
    engine: &Reading<EngineView>,
) -> Reading<BTreeMap<Part, Vec<Instance>>> {
    let (runtime, engine) = match (runtime, engine) {
        (Reading::Known(runtime), Reading::Known(engine)) => (runtime, engine),
        (Reading::Unknown(unseen), _) | (_, Reading::Unknown(unseen)) => {
            return Reading::Unknown(unseen.clone());
        }
    };
    let mut all = BTreeMap::from(Part::ALL.map(|part| (part, Vec::new())));
    for sandbox in &runtime.sandboxes {
        for container in &sandbox.containers {
            let Some(part) = Part::of_name(&container.name) else {
                continue;
            };
            if sandbox.pod.namespace == NAMESPACE {
                all.entry(part)
                    .or_default()
                    .push(instance(sandbox, container));
            }
        }
    }
    for (id, pod) in &engine.pods {
        if let Some(part) = part_of(id, "") {
            all.entry(part).or_default().push(Instance {
                owner: Owner::Engine,
                name: id.to_string(),
                sandbox: String::new(),
                container: id.to_string(),
                run: Run::of_engine(&pod.state),
            });
        }
    }
    Reading::Known(all)
}

fn instance(sandbox: &Sandbox, container: &ContainerSeen) -> Instance {
    let run = match container.task {
        // Paused is how a parent is held back during a hand-over: it has not ended.
        TaskState::Running | TaskState::Paused => Run::Running,
        TaskState::Created => Run::Starting,
        TaskState::Exited(code) => Run::Ended(format!("exit code {code}")),
        TaskState::None => Run::Ended(String::new()),
    };
    Instance {
        owner: if sandbox.checkpoint.is_some() {
            Owner::Copy
        } else {
            Owner::Kubelet
        },
        name: sandbox.pod.to_string(),
        sandbox: sandbox.id.clone(),
        container: container.id.clone(),
        run,
    }
}

/// The part whose checkpoint this is: of a controller of its name, or of a pod of its name, with
/// the node's name behind it or not.
pub(super) fn part_of(id: &CheckpointId, node: &str) -> Option<Part> {
    let (kind, namespace, name) = id.parts();
    if namespace != NAMESPACE {
        return None;
    }
    let bare = if kind == "pod" && !node.is_empty() {
        let suffix = format!("-{node}");
        name.strip_suffix(suffix.as_str()).unwrap_or(name)
    } else {
        name
    };
    Part::of_name(bare)
}

/// When this boot began, on the clock of [`Moment`]: at its zero, unless the boot id is not the
/// kernel's. A lab's node, which has no clock of its own, writes its boot id when it boots.
pub(super) fn booted(boot_id_file: &Path) -> Moment {
    if boot_id_file == Path::new(clock::BOOT_ID_FILE) {
        return Moment(0);
    }
    let written = std::fs::metadata(boot_id_file).and_then(|meta| meta.modified());
    let age = written.ok().and_then(|written| {
        let written = jiff::Timestamp::try_from(written).ok()?;
        let age = clock::wall().duration_since(written);
        Duration::try_from(age).ok()
    });
    let now = clock::now();
    Moment(
        now.0.saturating_sub(
            age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_of_parts_by_their_controller_or_pod() {
        for (id, part) in [
            (
                "daemonset.kube-system.kube-apiserver",
                Some(Part::ApiServer),
            ),
            (
                "pod.kube-system.kube-apiserver-node1",
                Some(Part::ApiServer),
            ),
            (
                "deployment.kube-system.kube-scheduler",
                Some(Part::Scheduler),
            ),
            ("pod.kube-system.kube-etcd-node1", Some(Part::Etcd)),
            ("daemonset.kube-system.kube-proxy", None),
            ("deployment.kube-system.etcd-operator", None),
            ("daemonset.mine.kube-apiserver", None),
        ] {
            let id = CheckpointId::parse(id).unwrap();
            assert_eq!(part_of(&id, "node1"), part, "{id}");
        }
    }
}
