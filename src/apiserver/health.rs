//! Whether an API server serves: one question, outside of the daemon's loop.

use std::time::Duration;

use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;

use super::Config;
use super::access::Access;
use crate::core::reading::{Unseen, UnseenKind};
use crate::fetch::{self, tls};

/// Where a healthy API server answers 200 (1.16 and later).
pub(super) const PATH: &str = "/readyz";
/// What is read of its words.
pub(super) const LIMIT: u64 = 64 * 1024;

/// Asks the API server of the kubeconfig.
///
/// # Errors
/// Why there is no healthy answer; [`UnseenKind::Denied`]: it lives, and does not say.
pub async fn by_kubeconfig(config: &Config) -> Result<(), Unseen> {
    let access = Access::new(config.kubeconfig.clone(), config.server_override.clone());
    let means = access.means().await?;
    let request = means.request(PATH, None)?;
    healthy(&means.client, request, config.deadline).await
}

/// Asks whoever listens at `base`, with no credentials, and believes it whoever it is.
///
/// # Errors
/// As [`by_kubeconfig`].
pub async fn at(base: &str, deadline: Duration) -> Result<(), Unseen> {
    let unusable = |error: &dyn std::error::Error| Unseen::because(UnseenKind::Unreadable, error);
    let url: Uri = format!("{base}{PATH}")
        .parse()
        .map_err(|error: http::uri::InvalidUri| unusable(&error))?;
    let tls = tls::config(tls::Trust::Anyone, None).map_err(|error| unusable(&error))?;
    let request = Request::get(url).body(Full::<Bytes>::default());
    let request = request.map_err(|error| unusable(&error))?;
    healthy(&fetch::client(tls, None), request, deadline).await
}

async fn healthy(
    client: &fetch::Client,
    request: Request<Full<Bytes>>,
    deadline: Duration,
) -> Result<(), Unseen> {
    let url = request.uri().clone();
    let answer = fetch::fetch(client, request, deadline, LIMIT).await;
    let answer = answer.and_then(|answer| answer.success(&url));
    answer.map(drop).map_err(|error| Unseen::from(&error))
}
