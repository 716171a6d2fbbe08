//! A probe by HTTP GET: 200 to 399 passes.
//!
//! As the kubelet does it: certificates are not verified, connections not reused, redirects
//! followed on the same host only (one to another host passes), at most 10.
//! Source: kubelet 1.20 `pkg/probe/http/http.go`.

use std::time::Duration;

use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::HTTPGetAction;

use crate::fetch::error::FetchError;
use crate::fetch::{self, tls};

/// As much of an answer is read as the kubelet reads.
const BODY_LIMIT: u64 = 10 * 1024;
const REDIRECTS: usize = 10;

pub(super) async fn ask(
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    deadline: Duration,
) -> Result<(), String> {
    let named = action.host.as_deref().filter(|host| !host.is_empty());
    let mut url = url(action, named.unwrap_or(host), port)?;
    let headers = headers(action)?;
    let config = tls::config(tls::Trust::Anyone, None).map_err(|error| error.to_string())?;
    let client = fetch::client(config, None);
    for _ in 0..=REDIRECTS {
        let mut request = Request::get(url.clone())
            .body(Full::<Bytes>::default())
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = headers.clone();
        let response = match fetch::open(&client, request, deadline).await {
            Ok(response) => response,
            Err(error) => return Err(text(&error)),
        };
        let (head, body) = response.into_parts();
        match fetch::collect(body, BODY_LIMIT, &url).await {
            Ok(_) | Err(FetchError::TooLarge { .. }) => {}
            Err(error) => return Err(text(&error)),
        }
        let status = head.status.as_u16();
        if !(200..400).contains(&status) {
            return Err(format!("{} answers {status}", fetch::error::shown(&url)));
        }
        match redirect(&url, status, &head.headers) {
            Some(next) => url = next,
            None => return Ok(()),
        }
    }
    Err(format!(
        "{} redirects more than {REDIRECTS} times",
        fetch::error::shown(&url)
    ))
}

fn text(error: &FetchError) -> String {
    crate::core::reading::Unseen::from(error).detail
}

fn url(action: &HTTPGetAction, host: &str, port: u16) -> Result<Uri, String> {
    let scheme = match action.scheme.as_deref() {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::HTTPS,
        _ => Scheme::HTTP,
    };
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let path = action.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Uri::builder()
        .scheme(scheme)
        .authority(format!("{host}:{port}"))
        .path_and_query(format!("{slash}{path}"))
        .build()
        .map_err(|error| format!("the probe's address is none: {error}"))
}

fn headers(action: &HTTPGetAction) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for field in action.http_headers.iter().flatten() {
        let name = HeaderName::try_from(&field.name);
        let value = HeaderValue::try_from(&field.value);
        match (name, value) {
            (Ok(name), Ok(value)) => headers.append(name, value),
            _ => return Err(format!("the probe's header {:?} is none", field.name)),
        };
    }
    let agent =
        HeaderValue::from_static(concat!("kube-probe/rekindle-", env!("CARGO_PKG_VERSION")));
    headers.entry(header::USER_AGENT).or_insert(agent);
    headers
        .entry(header::ACCEPT)
        .or_insert(HeaderValue::from_static("*/*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

/// Where to ask next; `None` where this answer counts.
fn redirect(from: &Uri, status: u16, headers: &HeaderMap) -> Option<Uri> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let to: Uri = location.parse().ok()?;
    if to.host().is_some() {
        return (to.host() == from.host() && to.scheme().is_some()).then_some(to);
    }
    let path = to.path_and_query()?.as_str();
    if !path.starts_with('/') {
        return None;
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).ok()
}
