//! The facts that a clean-up is planned from. Changes nothing.

use std::path::Path;
use std::time::Duration;

use super::kubelet::Kubelet;
use super::quarantine::Quarantine;
use super::{etcd, logs, mounts};
use crate::apiserver::{self, health};
use crate::config::Settings;
use crate::containerd::clear::{Found, Owner};
use crate::containerd::{self, Containerd};
use crate::core::cleanup::facts::{Answer, Containers, Facts, Place, Served};
use crate::core::cleanup::list::ASIDE;
use crate::core::reading::{Reading, Unseen, UnseenKind, chain};
use crate::engine::container::CHECKPOINT;
use crate::etcd::Etcd;
use crate::store::dir::Dir;

/// Where an API server of this node listens, as far as nobody says otherwise.
const LOOPBACK: &str = "https://127.0.0.1:6443";
/// Of a mounted file system's root, and no data.
const LOST: &str = "lost+found";

/// A client of containerd with the configured names.
pub(super) fn containerd(settings: &Settings) -> Containerd {
    let configured = &settings.containerd;
    Containerd::new(containerd::Config {
        socket: configured.socket.clone(),
        cri_namespace: configured.kubelet_namespace.clone(),
        engine_namespace: configured.engine_namespace.clone(),
        call_deadline: configured.call_deadline,
        resync: configured.resync_interval,
    })
}

/// Looks at everything. `quarantine` is that of the run that is gone on with.
pub async fn gather(settings: &Settings, quarantine: Option<&Quarantine>) -> Facts {
    let found = containerd(settings).found(CHECKPOINT).await;
    let list = found.as_deref().unwrap_or_default();
    let data_dir = &settings.etcd_data_dir;
    let etcd_owner = etcd::owner(data_dir, &settings.etcd_unit, list).await;
    let dir = quarantine.map(Quarantine::dir);
    let paths = &settings.paths;
    let mut etcd_place = place(data_dir, false);
    let database = etcd::database(data_dir).unwrap_or_else(|error| {
        etcd_place.unreadable = Some(chain(&error));
        None
    });
    Facts {
        control_plane: control_plane(settings).await,
        kubelet: Kubelet::new(settings).facts().await,
        mounts: mounted(&settings.kubelet.pods_dir),
        manifests: place(&paths.manifest_dir, true),
        pods: place(&settings.kubelet.pods_dir, false),
        etcd: etcd_place,
        etcd_owner,
        database,
        database_copied: dir.is_some_and(|dir| etcd::verified(dir).is_ok()),
        logs: logs::count(&[&paths.container_log_dir, &paths.pod_log_dir]),
        logs_archived: dir.is_some_and(|dir| logs::archived(dir).unwrap_or(false)),
        containers: match &found {
            Ok(found) => Reading::Known(counted(found)),
            Err(error) => Reading::Unknown(error.unseen()),
        },
    }
}

fn counted(found: &[Found]) -> Containers {
    let of = |owner| {
        found
            .iter()
            .filter(move |found| found.owner == owner)
            .count()
    };
    let pods = found.iter().filter(|found| found.owner != Owner::Foreign);
    let mut pods: Vec<String> = pods.map(|found| found.pod.clone()).collect();
    pods.retain(|pod| !pod.is_empty());
    pods.sort_unstable();
    pods.dedup();
    Containers {
        kubernetes: of(Owner::Kubernetes),
        ours: of(Owner::Ours),
        foreign: of(Owner::Foreign),
        pods,
    }
}

fn mounted(pods_dir: &Path) -> Reading<Vec<std::path::PathBuf>> {
    match mounts::below(pods_dir) {
        Ok(mut found) => {
            let real = std::fs::canonicalize(pods_dir).unwrap_or_else(|_| pods_dir.to_owned());
            found.retain(|point| *point != real);
            Reading::Known(found)
        }
        Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error)),
    }
}

/// What a directory holds. `dots`: names that begin with a dot are nobody's business there.
pub(super) fn place(path: &Path, dots: bool) -> Place {
    let mut place = Place::empty(path);
    let names = match Dir::open(path) {
        Ok(dir) => dir.names().map(|names| (dir, names)),
        Err(error) if error.is_absent() => return place,
        Err(error) => Err(error),
    };
    let (dir, names) = match names {
        Ok(found) => found,
        Err(error) => {
            place.unreadable = Some(chain(&error));
            return place;
        }
    };
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounted = mounts::below(path).unwrap_or_default();
    for name in names {
        if name.starts_with(ASIDE) || name == LOST || (dots && name.starts_with('.')) {
            continue;
        }
        match dir.stat(&name) {
            // What was listed with replacement characters has no such name.
            Ok(None) if name.contains(char::REPLACEMENT_CHARACTER) => {
                place.stuck.push((name, "its name is no UTF-8".to_owned()));
            }
            Ok(None) => {}
            Err(error) => place.stuck.push((name, chain(&error))),
            Ok(Some(_)) if mounted.contains(&real.join(&name)) => {
                let why = "a file system is mounted there".to_owned();
                place.stuck.push((name, why));
            }
            Ok(Some(_)) => place.entries.push(name),
        }
    }
    place
}

async fn control_plane(settings: &Settings) -> Vec<Served> {
    let configured = &settings.apiserver;
    let config = apiserver::Config {
        kubeconfig: configured.kubeconfig.clone(),
        server_override: configured.server_override.as_ref().map(ToString::to_string),
        node_name: settings.node.name.clone(),
        deadline: configured.call_deadline,
        relist: configured.relist_interval,
        retry: configured.retry_interval,
    };
    let deadline: Duration = configured.call_deadline;
    let (api, loopback, etcd) = tokio::join!(
        health::by_kubeconfig(&config),
        health::at(LOOPBACK, deadline),
        members(settings)
    );
    let mut all = vec![
        Served {
            who: format!("the API server of {}", configured.kubeconfig.display()),
            answer: answered(api),
        },
        Served {
            who: format!("the API server at {LOOPBACK}"),
            answer: answered(loopback),
        },
    ];
    all.extend(etcd);
    all
}

fn answered(answer: Result<(), Unseen>) -> Answer {
    match answer {
        Ok(()) => Answer::Healthy,
        Err(unseen) if unseen.kind == UnseenKind::Denied => Answer::Lives(unseen.detail),
        Err(unseen) => Answer::Silent(unseen.detail),
    }
}

/// Each configured member of etcd. One without a leader is not healthy.
async fn members(settings: &Settings) -> Vec<Served> {
    let served = |endpoint: &str, answer| Served {
        who: format!("etcd at {endpoint}"),
        answer,
    };
    let etcd = match Etcd::connect(&settings.etcd).await {
        Ok(etcd) => etcd,
        Err(error) => {
            let why = chain(&error);
            let all = settings.etcd.endpoints.iter();
            return all
                .map(|at| served(at, Answer::Silent(why.clone())))
                .collect();
        }
    };
    let statuses = etcd.statuses().await.into_iter();
    statuses
        .map(|(endpoint, status)| {
            let answer = match status {
                Ok(status) if status.leader != 0 && status.errors.is_empty() => Answer::Healthy,
                Ok(status) => Answer::Silent(format!(
                    "it has no leader or complains: {:?}",
                    status.errors
                )),
                Err(error) => Answer::Silent(chain(&error)),
            };
            served(&endpoint, answer)
        })
        .collect()
}
