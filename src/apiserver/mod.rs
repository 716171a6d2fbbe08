//! The API server by kubeconfig: pods of this node, and the Secrets, `ConfigMap`s and tokens of
//! its parents. The only source that may say that a pod is deleted.
//!
//! The kubelet's own kubeconfig is enough: the Node authorizer lets it list and watch the pods of
//! its node, list and watch *by name* the objects those pods use, and request tokens bound to
//! them. Source: Kubernetes 1.20 `plugin/pkg/auth/authorizer/node/node_authorizer.go`; a field
//! selector `metadata.name=X` counts as the name
//! (`apiserver/pkg/endpoints/request/requestinfo.go`).
//!
//! [`pods`] follows the pods, [`gather`] the objects and tokens, each object by a watch of its own.

mod access;
pub mod ask;
mod bell;
mod collect;
pub mod door;
mod feed;
mod gather;
pub mod health;
mod object;
mod pods;
mod stream;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::core::id::{BadId, PodRef};
use crate::core::manifest::gathered::Gathered;
use crate::core::manifest::needs::{ObjectRef, TokenRef};
use crate::core::observed::ApiView;
use crate::core::reading::Reading;

/// Where the API server is and how patiently it is asked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and credentials. Read again when it, or a file it names, changes.
    pub kubeconfig: PathBuf,
    /// Asked instead of the kubeconfig's server.
    pub server_override: Option<String>,
    /// The node whose pods are followed.
    pub node_name: String,
    /// Deadline of every call, of a watch until its first byte.
    pub deadline: Duration,
    /// A complete list at least this often.
    pub relist: Duration,
    /// Between a failed attempt and the next.
    pub retry: Duration,
}

/// What the API server said of the pods of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiSnapshot {
    /// The facts for decisions, ordered by pod.
    pub view: ApiView,
    /// The parents among them, whole but for their managed fields.
    pub parents: Vec<Arc<Pod>>,
    /// Pods that ask to be checkpointed under names that make no key.
    pub bad_ids: Vec<BadId>,
    /// For parents: fields that this build does not know.
    pub unknown_fields: BTreeMap<PodRef, Vec<String>>,
}

/// The objects and tokens to follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Secrets and `ConfigMap`s.
    pub objects: BTreeSet<ObjectRef>,
    /// Bound service-account tokens.
    pub tokens: BTreeSet<TokenRef>,
}

/// The running source.
#[derive(Debug)]
pub struct ApiSource {
    /// The pods.
    pub pods: watch::Receiver<Reading<ApiSnapshot>>,
    /// What has been read of the wanted objects. Keeps the last answer while the API server is
    /// silent; what is no longer wanted is dropped.
    pub gathered: watch::Receiver<Arc<Gathered>>,
    /// Why a wanted object cannot be read or followed now.
    pub problems: watch::Receiver<BTreeMap<ObjectRef, String>>,
    /// Why a wanted token cannot be had now.
    pub token_problems: watch::Receiver<BTreeMap<TokenRef, String>>,
    /// What to follow.
    pub want: watch::Sender<Wanted>,
    /// Asks for a complete list now; seen as a higher [`ApiView::lists`].
    pub confirm: Arc<Notify>,
}

/// Starts following. Ends with `shutdown`.
pub fn spawn(config: &Config, shutdown: CancellationToken) -> ApiSource {
    let access = Arc::new(access::Access::new(
        config.kubeconfig.clone(),
        config.server_override.clone(),
    ));
    let confirm = Arc::new(Notify::new());
    let (pods_sender, pods) = watch::channel(Reading::not_asked());
    let (want, wanted) = watch::channel(Wanted::default());
    let pods_run = pods::follow(
        Arc::clone(&access),
        config.clone(),
        pods_sender,
        Arc::clone(&confirm),
    );
    let (outputs, (gathered, problems, token_problems)) = gather::outputs();
    let patience = Patience {
        deadline: config.deadline,
        retry: config.retry,
        pods: pods.clone(),
    };
    let gather_run = gather::follow(access, patience, wanted, outputs);
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(pods_run));
    tokio::spawn(shutdown.run_until_cancelled_owned(gather_run));
    ApiSource {
        pods,
        gathered,
        problems,
        token_problems,
        want,
        confirm,
    }
}

/// How the followers of objects and tokens wait after a failure.
#[derive(Clone)]
struct Patience {
    deadline: Duration,
    retry: Duration,
    pods: watch::Receiver<Reading<ApiSnapshot>>,
}

/// Longest wait after failures in a row: a rotated Secret is to be seen within 60 s (C18).
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Patience {
    /// Waits before attempt number `failures` + 1. While the API server as a whole is silent, only
    /// the pods' follower knocks; the others wait for its success.
    async fn wait(&mut self, failures: u32) {
        let factor = 1u32
            .checked_shl(failures.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let wait = self.retry.saturating_mul(factor).min(LONGEST_WAIT);
        if self.pods.borrow().known().is_some() {
            let gone = self.pods.wait_for(|reading| reading.known().is_none());
            if tokio::time::timeout(jittered(wait), gone).await.is_err() {
                return;
            }
        }
        // The sender lives as long as the source; without it nobody will ever answer.
        if self
            .pods
            .wait_for(|reading| reading.known().is_some())
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(jittered(self.retry / 4)).await;
    }
}

/// Between 100 % and 125 % of `wait`, so that many do not knock together.
fn jittered(wait: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0) % 256).unwrap_or_default();
    wait + wait / 4 * random / 256
}
