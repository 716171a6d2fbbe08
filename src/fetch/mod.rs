//! One HTTP question with a deadline and a bounded answer: the transport below the kubelet, API
//! server and probe adapters. Knows nothing of pods, follows no redirect, retries nothing.

pub mod error;
pub mod fault;
pub mod files;
pub mod tls;

use std::time::Duration;

use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};

use error::FetchError;

/// Connections to one server (or several): kept open between questions, closed when idle for
/// [`IDLE`]. Cheap to clone.
pub type Client = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Idle connections are closed after this, so that their buffers do not stay in memory.
const IDLE: Duration = Duration::from_secs(30);
/// A peer that stopped answering at the TCP level is noticed after this and the probes below, 11 s
/// (C05: an address that drops packets), also on a watch where nothing is sent for minutes.
const KEEPALIVE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_PROBES: u32 = 3;
/// Memory reserved ahead because of a `Content-Length`, which is only a claim.
const TRUSTED_LENGTH: u64 = 256 * 1024;

/// A client with this TLS configuration, which is used for `https` addresses; `http` ones are
/// asked in the clear. `name` replaces the server's name in the check of its certificate.
#[must_use]
pub fn client(tls: rustls::ClientConfig, name: Option<ServerName<'static>>) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    let mut connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    if let Some(name) = name {
        connector = connector.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    hyper_util::client::legacy::Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(2)
        .build(connector.enable_http1().wrap_connector(tcp))
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status and headers.
    pub head: http::response::Parts,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a 2xx answer.
    ///
    /// # Errors
    /// [`FetchError::Status`] with the server's own words for every other status.
    pub fn success(self, url: &Uri) -> Result<Vec<u8>, FetchError> {
        if self.head.status.is_success() {
            return Ok(self.body);
        }
        Err(FetchError::Status {
            url: error::shown(url),
            status: self.head.status.as_u16(),
            text: error::words(&self.body),
        })
    }
}

/// Asks once. `deadline` covers connecting, TLS, and the last byte of the answer; `limit` is in
/// bytes and is enforced while the answer arrives.
///
/// # Errors
/// See [`FetchError`]; an answer with a bad status is no error here.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn fetch(
    client: &Client,
    request: Request<Full<Bytes>>,
    deadline: Duration,
    limit: u64,
) -> Result<Answer, FetchError> {
    let url = request.uri().clone();
    let until = Instant::now() + deadline;
    let response = open(client, request, deadline).await?;
    let (head, body) = response.into_parts();
    match timeout_at(until, collect(body, limit, &url)).await {
        Ok(body) => Ok(Answer { head, body: body? }),
        Err(_) => Err(FetchError::deadline(&url, deadline)),
    }
}

/// Asks once and gives the answer as soon as its head is there; `deadline` covers that much.
///
/// # Errors
/// See [`FetchError`].
pub async fn open(
    client: &Client,
    request: Request<Full<Bytes>>,
    deadline: Duration,
) -> Result<Response<Incoming>, FetchError> {
    let url = request.uri().clone();
    match tokio::time::timeout(deadline, client.request(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(source)) => Err(FetchError::sending(&url, source)),
        Err(_) => Err(FetchError::deadline(&url, deadline)),
    }
}

/// The rest of an answer, at most `limit` bytes. Has no deadline of its own.
///
/// # Errors
/// [`FetchError::TooLarge`], [`FetchError::Truncated`].
pub async fn collect(mut body: Incoming, limit: u64, url: &Uri) -> Result<Vec<u8>, FetchError> {
    let expected = body.size_hint().lower().min(TRUSTED_LENGTH).min(limit);
    let mut whole = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| FetchError::truncated(url, source))?;
        let Ok(data) = frame.into_data() else {
            continue; // trailers
        };
        if (whole.len() + data.len()) as u64 > limit {
            return Err(FetchError::TooLarge {
                url: error::shown(url),
                limit,
            });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}
