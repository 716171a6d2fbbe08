//! A probe by the gRPC health protocol: `SERVING` passes. In the clear, as the kubelet asks it.
//!
//! One question of a few bytes needs no generated code: the request is a length-prefixed message
//! with the service in field 1, the answer one with the status in field 1.
//! Source: gRPC `doc/health-checking.md`; kubelet 1.24 and later `pkg/probe/grpc/grpc.go`.

use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::GRPCAction;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

const PATH: &str = "/grpc.health.v1.Health/Check";
const SERVING: u8 = 1;

pub(super) async fn ask(action: &GRPCAction, host: &str) -> Result<(), String> {
    let port = u16::try_from(action.port).unwrap_or_default();
    let bad = |error: &dyn std::fmt::Display| format!("gRPC {host}:{port}: {error}");
    let tcp = TcpStream::connect((host, port))
        .await
        .map_err(|error| bad(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp))
            .await
            .map_err(|error| bad(&error))?;
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    let host_in_url = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let request = Request::post(format!("http://{host_in_url}:{port}{PATH}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(Bytes::from(question(
            action.service.as_deref().unwrap_or_default(),
        ))))
        .map_err(|error| bad(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| bad(&error))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, 4096)
        .collect()
        .await
        .map_err(|error| bad(&error))?;
    let status = body
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status"))
        .or_else(|| head.headers.get("grpc-status"));
    if head.status != 200 || status.is_none_or(|status| status != "0") {
        return Err(bad(&format_args!(
            "it answers {} with gRPC status {}",
            head.status.as_u16(),
            status
                .and_then(|status| status.to_str().ok())
                .unwrap_or("missing")
        )));
    }
    if serving(&body.to_bytes()) {
        Ok(())
    } else {
        Err(bad(&"it answers that it is not serving"))
    }
}

/// A `HealthCheckRequest` in a gRPC frame.
fn question(service: &str) -> Vec<u8> {
    // A service's name is a few words; one that needs a longer length is cut to nothing real.
    let service = &service.as_bytes()[..service.len().min(127)];
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        message.extend(u8::try_from(service.len()));
        message.extend_from_slice(service);
    }
    let mut frame = vec![0];
    frame.extend_from_slice(
        &u32::try_from(message.len())
            .unwrap_or_default()
            .to_be_bytes(),
    );
    frame.extend(message);
    frame
}

/// Whether a frame holds a `HealthCheckResponse` with field 1 `SERVING`.
fn serving(frame: &[u8]) -> bool {
    matches!(frame, [0, _, _, _, _, 0x08, SERVING, ..])
}
