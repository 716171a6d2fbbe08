//! A peer at the other end of HTTP: a real server on a loopback port that answers as it is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// How long a test waits for what must happen; far above what it takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One answer.
pub enum Reply {
    /// Status and body, JSON.
    Whole(u16, Bytes),
    /// Status, content type and body.
    Typed(u16, &'static str, Bytes),
    /// Status 302 and a location.
    Redirect(String),
    /// Nothing, ever.
    Never,
    /// A body that claims to be longer than it is.
    Truncated(Bytes),
    /// This many bytes of junk, without a length.
    Junk(u64),
    /// Pieces as the test sends them; ends when the sender is dropped.
    Stream(mpsc::UnboundedReceiver<Bytes>),
    /// A whole answer with trailers, for gRPC.
    Trailed(Bytes, HeaderMap),
}

/// How a peer speaks.
#[derive(Clone)]
pub enum Manner {
    Plain,
    Http2,
    Tls(Arc<rustls::ServerConfig>),
}

/// A question as it was received.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
}

pub struct Peer {
    pub address: SocketAddr,
    scheme: &'static str,
    asked: watch::Receiver<Vec<Asked>>,
    /// Connections accepted so far.
    pub connections: Arc<Mutex<usize>>,
    _server: AbortOnDropHandle<()>,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

impl Peer {
    /// Serves plain HTTP.
    pub async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), Manner::Plain, answer).await
    }

    pub async fn start_tls(
        tls: rustls::ServerConfig,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_on(
            "127.0.0.1:0".parse().unwrap(),
            Manner::Tls(Arc::new(tls)),
            answer,
        )
        .await
    }

    pub async fn start_on(
        address: SocketAddr,
        manner: Manner,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = watch::channel(Vec::new());
        let connections = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&connections);
        let scheme = if matches!(manner, Manner::Tls(_)) {
            "https"
        } else {
            "http"
        };
        let answer = Arc::new(answer);
        let sender = Arc::new(sender);
        let server = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                *counted.lock().unwrap() += 1;
                let (manner, answer, sender) = (manner.clone(), answer.clone(), sender.clone());
                serving.spawn(async move {
                    let service = service_fn(move |request| {
                        let (answer, sender) = (answer.clone(), sender.clone());
                        async move { Ok::<_, Infallible>(reply(request, &*answer, &sender).await) }
                    });
                    // A client that goes away is no failure of the peer.
                    let _ = match manner {
                        Manner::Plain => {
                            http1::Builder::new()
                                .serve_connection(TokioIo::new(tcp), service)
                                .await
                        }
                        Manner::Http2 => {
                            let server = http2::Builder::new(TokioExecutor::new());
                            server.serve_connection(TokioIo::new(tcp), service).await
                        }
                        Manner::Tls(tls) => match TlsAcceptor::from(tls).accept(tcp).await {
                            Ok(tls) => {
                                http1::Builder::new()
                                    .serve_connection(TokioIo::new(tls), service)
                                    .await
                            }
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self {
            address,
            scheme,
            asked,
            connections,
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub fn url(&self) -> Uri {
        format!("{}://{}", self.scheme, self.address)
            .parse()
            .unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Waits until this many questions have been received.
    pub async fn asked_times(&self, times: usize) {
        let mut asked = self.asked.clone();
        let enough = asked.wait_for(|asked| asked.len() >= times);
        tokio::time::timeout(PATIENCE, enough)
            .await
            .expect("too few questions")
            .unwrap();
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: &(impl Fn(&Asked) -> Reply + Send + Sync),
    sender: &watch::Sender<Vec<Asked>>,
) -> Response<Body> {
    let (head, _) = request.into_parts();
    let asked = Asked {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
    };
    let reply = answer(&asked);
    sender.send_modify(|all| all.push(asked));
    let json = |status: u16| {
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
    };
    let whole = |body: Bytes| {
        Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync()
    };
    match reply {
        Reply::Whole(status, body) => json(status).body(whole(body)),
        Reply::Typed(status, of, body) => Response::builder()
            .status(status)
            .header("content-type", of)
            .body(whole(body)),
        Reply::Redirect(to) => Response::builder()
            .status(302)
            .header("location", to)
            .body(whole(Bytes::new())),
        Reply::Never => std::future::pending().await,
        Reply::Truncated(body) => {
            let stream = futures_util::stream::unfold(Some(body), |body| async {
                if let Some(body) = body {
                    return Some((Ok(Frame::data(body)), None));
                }
                // Lets the connection write what it has before it breaks.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("cut")), None))
            });
            json(200).body(StreamBody::new(stream).boxed_unsync())
        }
        Reply::Junk(bytes) => {
            let piece = Bytes::from(vec![b'x'; 64 * 1024]);
            let pieces = bytes.div_ceil(64 * 1024);
            let stream = futures_util::stream::iter(
                (0..pieces).map(move |_| Ok(Frame::data(piece.clone()))),
            );
            json(200).body(StreamBody::new(stream).boxed_unsync())
        }
        Reply::Stream(pieces) => {
            let stream = futures_util::stream::unfold(pieces, |mut pieces| async {
                let piece = pieces.recv().await?;
                Some((Ok(Frame::data(piece)), pieces))
            });
            json(200).body(StreamBody::new(stream).boxed_unsync())
        }
        Reply::Trailed(body, trailers) => {
            let stream =
                futures_util::stream::iter([Ok(Frame::data(body)), Ok(Frame::trailers(trailers))]);
            json(200).body(StreamBody::new(stream).boxed_unsync())
        }
    }
    .unwrap()
}

/// Waits until a published value satisfies `when`, and gives it.
pub async fn reaches<'a, T: Clone>(
    receiver: &'a mut watch::Receiver<T>,
    what: &'a str,
    when: impl FnMut(&T) -> bool + 'a,
) -> T {
    match tokio::time::timeout(PATIENCE, receiver.wait_for(when)).await {
        Ok(Ok(value)) => return value.clone(),
        Ok(Err(_)) => panic!("{what}: the source ended"),
        Err(_) => {}
    }
    panic!("{what}: not within {PATIENCE:?}")
}

/// Keys of a test: an authority, and certificates by it.
pub struct Keys {
    pub authority: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Keys {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "test authority");
        let authority = params.self_signed(&key).unwrap().pem();
        Self {
            authority,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// Certificate and key for `name`, PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server for 127.0.0.1; with `clients` it asks for certificates of this authority.
    pub fn server(&self, clients: bool) -> rustls::ServerConfig {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let (certificate, key) = self.issue("127.0.0.1");
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let roots = rekindle::fetch::tls::authorities(self.authority.as_bytes()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider,
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        builder.with_single_cert(vec![certificate], key).unwrap()
    }
}
