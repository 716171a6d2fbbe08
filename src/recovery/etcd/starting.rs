//! The static pod of a restored etcd, seen to be started.
//!
//! A kubelet that still remembers the sandbox of the pod before fails at it, and tries again 10 to
//! 15 s later; taken away and put back, the manifest is a new pod, and begun with at once. Source:
//! kubelet 1.20 `pkg/kubelet/pod_workers.go`, `wrapUp`, and `pkg/kubelet/kubelet.go`,
//! `backOffPeriod`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::power::{self, blocking, sandboxes_of, take_manifest};
use super::{Error, LOOK, Say, api_servers};
use crate::config::Settings;
use crate::containerd::Containerd;
use crate::core::observed::Sandbox;
use crate::core::recovery::etcd::{Home, Runs};
use crate::daemon::sources::containerd_config;

/// For the kubelet to make a sandbox, each time that it is asked anew. It takes half a second; after
/// the last it is left alone.
const PATIENCE: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// The kubelet looks at what containerd runs each second, and starts a pod by what it saw last.
const RELIST: Duration = Duration::from_millis(1500);
/// The kubelet hears of a change of its directory at once, and looks at what it means then.
const AWAY: Duration = Duration::from_millis(500);

/// Starts the member, with the API servers out of its way. Of a static pod, waits for a sandbox, and
/// asks the kubelet anew where none comes. `id`: the recovery's, which keeps the manifest. A kubelet
/// that does nothing is no error here: the member is waited for afterwards.
///
/// # Errors
/// It could not be asked to start.
pub(super) async fn start(
    settings: &Settings,
    home: &Home,
    id: &str,
    say: Say<'_>,
) -> Result<(), Error> {
    if matches!(home.runs, Runs::StaticPod { .. }) {
        sleep(RELIST).await;
    }
    // Not before: the kubelet starts them again within a second or two.
    api_servers::end(settings, say).await;
    power::start(settings, home, id).await?;
    let Runs::StaticPod {
        file,
        namespace,
        pod,
    } = &home.runs
    else {
        return Ok(());
    };
    let containerd = Containerd::new(containerd_config(settings));
    for (round, patience) in PATIENCE.iter().enumerate() {
        if round > 0 {
            say("the kubelet has not begun with etcd: its manifest is put there anew");
            let (owned, file, kept) = (settings.clone(), file.clone(), id.to_owned());
            blocking(move || take_manifest(&owned, &file, &kept)).await?;
            sleep(AWAY).await;
            power::start(settings, home, id).await?;
        }
        let end = Instant::now() + *patience;
        let mut known = false;
        while Instant::now() < end {
            if let Ok(all) = sandboxes_of(&containerd, settings, namespace, pod).await {
                known = true;
                if all.iter().any(Sandbox::has_task) {
                    return Ok(());
                }
            }
            sleep(LOOK).await;
        }
        // What is not seen is not absent.
        if !known {
            return Ok(());
        }
    }
    Ok(())
}
