//! One act of the plan, carried out only on the state that was planned for.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::Endpoints;
use serde_json::{Value, json};

use super::Means;
use crate::apiserver::ask::{Asker, escaped};
use crate::core::reading::chain;
use crate::core::recovery::hygiene::Act;
use crate::daemon::clock;

/// The API server writes its endpoints anew every 10 s.
const REWRITTEN: Duration = Duration::from_secs(40);
/// Between two looks at them.
const RETRY: Duration = Duration::from_millis(500);
/// Who approved, as it stands in the condition.
const REASON: &str = "RekindleApproved";

/// Does it.
pub(super) async fn act(means: &Means<'_>, act: &Act) -> Result<(), String> {
    let asker = means.asker;
    match act {
        Act::DeleteKey {
            key,
            mod_revision,
            address,
        } => {
            let deleted = means.etcd.delete_unchanged(key, *mod_revision).await;
            if !deleted.map_err(|error| chain(&error))? {
                return Err("somebody renewed or deleted it meanwhile".to_owned());
            }
            left_the_endpoints(asker, address).await
        }
        Act::ClearLease {
            name,
            resource_version,
        } => clear_lease(asker, name, resource_version).await,
        Act::DeleteNode { name, uid } => {
            let path = format!("/api/v1/nodes/{}", escaped(name));
            delete(asker, &path, uid, false).await
        }
        Act::DeletePod {
            namespace,
            name,
            uid,
        } => {
            let path = format!(
                "/api/v1/namespaces/{}/pods/{}",
                escaped(namespace),
                escaped(name)
            );
            delete(asker, &path, uid, true).await
        }
        Act::MakeRoom => make_room(means).await,
        Act::Approve { name, uid } => approve(asker, name, uid).await,
    }
}

/// Waits until the API server that lives has written `default/kubernetes` without the address
/// (R07): a client that is sent there would find nobody.
async fn left_the_endpoints(asker: &Asker, address: &str) -> Result<(), String> {
    let path = "/api/v1/namespaces/default/endpoints/kubernetes";
    let waiting = async {
        loop {
            let found: Result<Option<Endpoints>, _> = asker.find(path).await;
            let still = found.ok().is_none_or(|endpoints| {
                let subsets = endpoints.into_iter().filter_map(|it| it.subsets).flatten();
                let addresses = subsets.filter_map(|subset| subset.addresses).flatten();
                addresses.into_iter().any(|it| it.ip == address)
            });
            if !still {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    let late = |_| {
        format!(
            "its key is deleted, but default/kubernetes still names it after {} s",
            REWRITTEN.as_secs()
        )
    };
    tokio::time::timeout(REWRITTEN, waiting).await.map_err(late)
}

pub(super) async fn clear_lease(
    asker: &Asker,
    name: &str,
    resource_version: &str,
) -> Result<(), String> {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{}",
        escaped(name)
    );
    let mut lease = get(asker, &path).await?;
    if lease.pointer("/metadata/resourceVersion") != Some(&json!(resource_version)) {
        return Err("somebody changed it meanwhile".to_owned());
    }
    // As a leader leaves it that ends in order: nobody holds it.
    // Source: client-go `tools/leaderelection/leaderelection.go`, `release`.
    match lease.pointer_mut("/spec/holderIdentity") {
        Some(holder) => *holder = json!(""),
        None => return Err("nobody holds it any more".to_owned()),
    }
    send(asker, Method::PUT, &path, &lease).await
}

async fn delete(asker: &Asker, path: &str, uid: &str, at_once: bool) -> Result<(), String> {
    let mut options = json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": uid},
    });
    if at_once && let Some(fields) = options.as_object_mut() {
        fields.insert("gracePeriodSeconds".to_owned(), json!(0));
    }
    send(asker, Method::DELETE, path, &options).await
}

async fn approve(asker: &Asker, name: &str, uid: &str) -> Result<(), String> {
    let path = format!(
        "/apis/certificates.k8s.io/v1/certificatesigningrequests/{}",
        escaped(name)
    );
    let mut request = get(asker, &path).await?;
    let undecided = request.pointer("/status/conditions").is_none_or(|all| {
        let all = all.as_array();
        all.is_none_or(Vec::is_empty)
    });
    if request.pointer("/metadata/uid") != Some(&json!(uid)) || !undecided {
        return Err("somebody decided it meanwhile".to_owned());
    }
    let condition = json!([{
        "type": "Approved",
        "status": "True",
        "reason": REASON,
        "message": "asked for by this node's kubelet, for exactly this node",
        "lastUpdateTime": clock::wall().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }]);
    if let Some(fields) = request.as_object_mut() {
        fields.insert("status".to_owned(), json!({ "conditions": condition }));
    }
    let path = format!("{path}/approval");
    send(asker, Method::PUT, &path, &request).await
}

async fn get(asker: &Asker, path: &str) -> Result<Value, String> {
    let found = asker.find(path).await.map_err(|unseen| unseen.detail)?;
    found.ok_or_else(|| "it is gone already".to_owned())
}

/// 404 and 409 are no failures of ours: somebody was faster, and what was planned for is no more.
async fn send(asker: &Asker, method: Method, path: &str, body: &Value) -> Result<(), String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    let reply = asker.send(method, path, Some(body)).await;
    let reply = reply.map_err(|unseen| unseen.detail)?;
    match reply.status {
        200..300 => Ok(()),
        404 => Err("it is gone already".to_owned()),
        409 => Err("somebody changed it meanwhile".to_owned()),
        status => Err(format!("the API server says {status}: {}", reply.words())),
    }
}

/// R12: history goes, the file gives its free pages back, and then the alarm is off.
async fn make_room(means: &Means<'_>) -> Result<(), String> {
    let told = |error: crate::etcd::EtcdError| chain(&error);
    let (_, revision) = means.etcd.revision().await.map_err(told)?;
    means.etcd.compact(revision).await.map_err(told)?;
    Err(
        "the history is compacted; defragment and disarm: `etcdctl defrag`, `etcdctl alarm disarm`"
            .to_owned(),
    )
}
