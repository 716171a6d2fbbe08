//! The HTTP client below the S3 adapter: our TLS settings, and what the answers say beside their
//! content: the server's clock.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::header::DATE;
use jiff::Timestamp;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::daemon::clock;
use crate::fetch::tls;

/// Where Debian and its relatives keep the authorities that the machine trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How far the server's clock is ahead of ours, by its last answer. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Skew(Arc<AtomicI64>);

impl Skew {
    pub(super) fn unknown() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }

    /// Seconds that the server is ahead of us; `None` before any answer.
    pub(super) fn seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds != i64::MIN)
    }

    fn learn(&self, response: &HttpResponse) {
        let text = response.headers().get(DATE).and_then(|v| v.to_str().ok());
        // The form of RFC 9110 is a form of RFC 2822 with `GMT` as its zone.
        let date = text.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        if let Some(date) = date {
            let ahead = date.timestamp().as_second() - clock::wall().as_second();
            self.0.store(ahead, Ordering::Relaxed);
        }
    }
}

/// How long, and which side is behind, in words.
pub(super) fn apart(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let length = match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (hours, minutes) => format!("{hours}h {minutes}m"),
    };
    let side = if ahead > 0 { "behind" } else { "ahead" };
    let at = clock::wall().as_second();
    let here = Timestamp::from_second(at).map_or_else(|_| String::new(), |t| t.to_string());
    format!("{length} (this node, at {here}, is {side})")
}

/// Makes the client that the S3 adapter uses.
#[derive(Debug)]
pub(super) struct Connector {
    client: reqwest::Client,
    skew: Skew,
}

impl Connector {
    /// A client that trusts the authorities in `ca_file`, or the machine's.
    pub(super) fn new(
        ca_file: Option<&Path>,
        connect: Duration,
        skew: Skew,
    ) -> Result<Self, String> {
        let path = ca_file.unwrap_or(Path::new(SYSTEM_AUTHORITIES));
        let named = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
        let pem = std::fs::read(path).map_err(|error| named(&error))?;
        let roots = match ca_file {
            Some(_) => tls::authorities(&pem).map_err(|error| named(&error))?,
            // Among a hundred there may be one that rustls does not understand.
            None => lenient(&pem),
        };
        let tls =
            tls::config(tls::Trust::Authorities(roots), None).map_err(|error| named(&error))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(connect)
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("rekindle/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| named(&error))?;
        Ok(Self { client, skew })
    }
}

fn lenient(pem: &[u8]) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let found = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    store.add_parsable_certificates(found);
    store
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched {
            client: HttpClient::new(self.client.clone()),
            skew: self.skew.clone(),
        }))
    }
}

#[derive(Debug)]
struct Watched {
    client: HttpClient,
    skew: Skew,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Watched {
    // What `async_trait` makes of the method.
    fn call<'life, 'a>(&'life self, request: HttpRequest) -> Answer<'a>
    where
        'life: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let response = self.client.execute(request).await?;
            self.skew.learn(&response);
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_clocks_is_told_in_words() {
        assert!(apart(7_380).starts_with("2h 3m (this node, at "));
        assert!(apart(7_380).ends_with("is behind)"));
        assert!(apart(-61).starts_with("1m 1s"));
        assert!(apart(-61).ends_with("is ahead)"));
    }
}
