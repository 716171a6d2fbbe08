//! This node's API servers begin anew with a restored etcd.
//!
//! One that has no etcd accepts connections and answers nothing, and its clients wait: a kubelet does
//! so in the loop and in the worker that would start etcd's static pod, 10 to 20 s for each try to
//! delete or make its mirror pod; and it finds the new etcd up to half a minute late. Ended, it
//! refuses connections, and the kubelet starts it again a second after etcd. The makers of
//! Kubernetes advise to start API servers again after a restore.
//!
//! Once only: one that comes and goes between two looks of the kubelet's is started again a minute
//! later.
//!
//! Source: kubelet 1.20 `pkg/kubelet/kubelet_pods.go`, `HandlePodCleanups`, called by `syncLoop`;
//! `pkg/kubelet/kubelet.go`, `syncPod`; kubernetes.io, "Operating etcd clusters".

use std::time::Duration;

use super::Say;
use crate::config::Settings;
use crate::containerd::Containerd;
use crate::core::observed::TaskState;
use crate::core::recovery::part::Part;
use crate::daemon::sources::containerd_config;

/// Ends those that the kubelet runs here. What cannot be ended is only said: it costs time.
pub(super) async fn end(settings: &Settings, say: Say<'_>) {
    let containerd = Containerd::new(containerd_config(settings));
    let seen = match containerd.view().await {
        Ok(seen) => seen,
        Err(error) => return not_ended(&error, say),
    };
    let namespace = settings.containerd.kubelet_namespace.as_str();
    for sandbox in &seen.sandboxes {
        let containers = sandbox.containers.iter();
        for container in containers.filter(|it| Part::of_name(&it.name) == Some(Part::ApiServer)) {
            let begins_anew = match container.task {
                TaskState::Running => {
                    // It cannot finish anything: there was no etcd.
                    let ended = containerd.end_task(namespace, &container.id, Duration::ZERO);
                    if let Err(error) = ended.await {
                        not_ended(&error, say);
                        continue;
                    }
                    true
                }
                TaskState::Exited(_) => false,
                TaskState::None | TaskState::Created | TaskState::Paused => continue,
            };
            // An end that the kubelet sees is counted, and the next start waits for 10 s and more.
            if let Err(error) = containerd.forget_ended(&container.id).await {
                not_ended(&error, say);
            } else if begins_anew {
                say(&format!("{} begins anew", sandbox.pod.name));
            }
        }
    }
}

fn not_ended(error: &crate::containerd::Error, say: Say<'_>) {
    let why = crate::store::chain(error);
    say(&format!("an API server may take long to find etcd: {why}"));
}
