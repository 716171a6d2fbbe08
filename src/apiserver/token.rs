//! One bound service-account token: requested for the pod's own service account and bound to the
//! pod, as the kubelet does, but for a year: a node that lost its control plane cannot ask again.
//! Source: Kubernetes 1.20 `pkg/registry/core/serviceaccount/storage/token.go`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc;

use super::Patience;
use super::access::Access;
use super::feed::escaped;
use super::gather::News;
use crate::core::manifest::needs::TokenRef;
use crate::core::reading::Unseen;
use crate::fetch;
use crate::fetch::error::FetchError;

/// Lifetime asked for, in seconds; the API server grants what its own limit allows.
const YEAR: u64 = 31_536_000;
/// Never asked again sooner, whatever lifetime is granted.
const SHORTEST: Duration = Duration::from_secs(60);
/// Largest answer in bytes.
const LIMIT: u64 = 1024 * 1024;

/// Keeps one token fresh for ever: asked again when 80 % of its life are over.
pub(super) async fn follow(
    token: TokenRef,
    access: Arc<Access>,
    mut patience: Patience,
    news: mpsc::Sender<News>,
) {
    let mut failures = 0;
    loop {
        match ask(&token, &access, patience.deadline).await {
            Ok(Granted { value, lifetime }) => {
                failures = 0;
                // Fails only where the daemon ends.
                let _ = news.send(News::Token(token.clone(), Ok(value))).await;
                tokio::time::sleep((lifetime / 5 * 4).max(SHORTEST)).await;
            }
            Err(unseen) => {
                failures += 1;
                let text = unseen.detail;
                let _ = news.send(News::Token(token.clone(), Err(text))).await;
                patience.wait(failures).await;
            }
        }
    }
}

struct Granted {
    value: Vec<u8>,
    lifetime: Duration,
}

#[derive(Deserialize)]
struct Answer {
    spec: Spec,
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    expiration_seconds: u64,
}

#[derive(Deserialize)]
struct Status {
    token: String,
}

async fn ask(token: &TokenRef, access: &Access, deadline: Duration) -> Result<Granted, Unseen> {
    let means = access.means().await?;
    let audiences: Vec<&str> = token.audience.as_deref().into_iter().collect();
    let body = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": YEAR,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": token.pod_name,
                "uid": token.pod_uid,
            },
        },
    });
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{}/token",
        escaped(&token.namespace),
        escaped(&token.service_account)
    );
    let request = means.request(&path, Some(body.to_string().into_bytes()))?;
    let url = request.uri().clone();
    let answer = fetch::fetch(&means.client, request, deadline, LIMIT).await;
    match answer.and_then(|answer| answer.success(&url)) {
        Ok(body) => match serde_json::from_slice::<Answer>(&body) {
            // The lifetime granted, told by the server: no clock is needed.
            Ok(answer) => Ok(Granted {
                value: answer.status.token.into_bytes(),
                lifetime: Duration::from_secs(answer.spec.expiration_seconds),
            }),
            // The parser's message could repeat the token.
            Err(_) => Err(Unseen::from(&FetchError::content(
                &url,
                "it is no TokenRequest",
            ))),
        },
        Err(error) => {
            if error.status() == Some(401) {
                access.doubt().await;
            }
            Err(Unseen::from(&error))
        }
    }
}
