//! The question to a parent that listens on one port with its copy: kube-apiserver's own readiness,
//! asked from the address whose connections are the parent's ([`crate::steering`]).

use std::time::Duration;

use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;

use crate::core::reading::Unseen;
use crate::fetch::{self, tls};
use crate::steering::SharedPort;

/// For the answer: an API server that needs longer is loaded, not ready.
const DEADLINE: Duration = Duration::from_secs(3);
/// For its text, which is read so that the server need not break off.
const BODY_LIMIT: u64 = 64 * 1024;

/// Passes where the parent says that it is ready. One that tells strangers nothing
/// (`--anonymous-auth=false`, 401) counts as ready: more cannot be known without a credential.
///
/// Source: kube-apiserver 1.20, `/readyz`: every post-start hook has ended, informers are in sync.
pub(super) async fn ask(shared: SharedPort) -> Result<(), String> {
    let parent = listening(shared).await?;
    let url = Uri::builder()
        .scheme("https")
        .authority(format!("[{}]:{}", SharedPort::HOST, shared.port))
        .path_and_query("/readyz")
        .build()
        .map_err(|error| error.to_string())?;
    let request = Request::get(url.clone())
        .header(header::CONNECTION, "close")
        .body(Full::<Bytes>::default())
        .map_err(|error| error.to_string())?;
    let config = tls::config(tls::Trust::Anyone, None).map_err(|error| error.to_string())?;
    let response = fetch::open(&fetch::client(config, None), request, DEADLINE)
        .await
        .map_err(|error| Unseen::from(&error).detail)?;
    let (head, body) = response.into_parts();
    let _text = fetch::collect(body, BODY_LIMIT, &url).await;
    if !matches!(head.status, StatusCode::OK | StatusCode::UNAUTHORIZED) {
        return Err(format!("{url} answers {}", head.status.as_u16()));
    }
    // It was there before the question and still is: nobody else can have answered.
    if listening(shared).await? == parent {
        Ok(())
    } else {
        Err("it began to listen anew meanwhile".to_owned())
    }
}

async fn listening(shared: SharedPort) -> Result<u64, String> {
    let looked = tokio::task::spawn_blocking(move || shared.parent()).await;
    looked.map_err(|error| error.to_string())?
}
