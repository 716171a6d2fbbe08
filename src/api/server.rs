//! Serves the local socket and, where configured, metrics over TCP, within bounds: connections,
//! header bytes, body bytes, and a deadline that a slow client cannot extend.
//!
//! The deadline of a connection is moved by progress only: a whole request moves it by the time
//! that its answer may take, so an idle, slow or unread connection ends by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Handle;
use super::peer::{self, Peer};
use super::routes::{self, Answer, Refusal, Route};

/// Connections at one time.
const CONNECTIONS: usize = 32;
/// Of these only for root, so that readers cannot lock it out.
const FOR_ROOT: usize = 8;
/// Request line and headers together.
const HEADER_LIMIT: usize = 16 * 1024;
/// Time for open connections to end when the daemon stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);
/// After a failed accept (no descriptors left), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds and rights, from the configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest request body in bytes.
    pub request_limit_bytes: u64,
    /// Time for a whole request, and for its answer to be read.
    pub request_deadline: Duration,
    /// The group that may read; `None`: only root.
    pub readers: Option<u32>,
}

impl Limits {
    /// From the settings; looks the group up.
    #[must_use]
    pub fn of(settings: &crate::config::settings::Socket) -> Self {
        Self {
            request_limit_bytes: settings.request_limit_bytes,
            request_deadline: settings.request_deadline,
            readers: peer::group_id(&settings.group),
        }
    }
}

/// Who is on the other end.
#[derive(Debug, Clone, Copy)]
enum From {
    /// The local socket.
    Local(Peer),
    /// TCP: metrics only.
    Tcp,
}

struct Server {
    handle: Handle,
    limits: Limits,
    stop: CancellationToken,
    open: AtomicUsize,
    tasks: TaskTracker,
}

/// Serves the local socket until `stop`, then gives open connections two seconds.
pub async fn serve(
    listener: UnixListener,
    handle: Handle,
    limits: Limits,
    stop: CancellationToken,
) {
    let server = Server::new(handle, limits, stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => match stream.peer_cred() {
                Ok(cred) => {
                    let peer = Peer {
                        uid: cred.uid(),
                        gid: cred.gid(),
                        pid: cred.pid(),
                    };
                    let most = if peer.uid == 0 {
                        CONNECTIONS
                    } else {
                        CONNECTIONS - FOR_ROOT
                    };
                    if server.full(most) {
                        turn_away(&stream);
                    } else {
                        server.clone().spawn(stream, From::Local(peer));
                    }
                }
                Err(error) => tracing::debug!(%error, "a peer without credentials"),
            },
            Err(error) => {
                tracing::warn!(%error, "the local socket does not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    server.drain().await;
}

/// Serves `/metrics` over TCP until `stop`.
pub async fn serve_metrics(
    listener: TcpListener,
    handle: Handle,
    limits: Limits,
    stop: CancellationToken,
) {
    let server = Server::new(handle, limits, stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.stop.cancelled() => break,
        };
        match accepted {
            // Beyond the bound a connection is only closed: scrapers try again.
            Ok((stream, _)) if !server.full(CONNECTIONS) => {
                server.clone().spawn(stream, From::Tcp);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the metrics address does not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    server.drain().await;
}

impl Server {
    fn new(handle: Handle, limits: Limits, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            handle,
            limits,
            stop,
            open: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
        })
    }

    fn full(&self, most: usize) -> bool {
        self.open.load(Ordering::Relaxed) >= most
    }

    fn spawn<S>(self: Arc<Self>, stream: S, from: From)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.open.fetch_add(1, Ordering::Relaxed);
        let tasks = self.tasks.clone();
        tasks.spawn(async move {
            self.converse(stream, from).await;
            self.open.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn drain(&self) {
        self.tasks.close();
        let _ = tokio::time::timeout(STOP_DEADLINE, self.tasks.wait()).await;
    }

    async fn converse<S>(self: &Arc<Self>, stream: S, from: From)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (moved, mut deadline) = watch::channel(Instant::now() + self.limits.request_deadline);
        let moved = Arc::new(moved);
        let service = service_fn(move |request| {
            let server = self.clone();
            let moved = moved.clone();
            async move { Ok::<_, std::convert::Infallible>(server.respond(request, from, &moved).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.request_deadline)
            .max_buf_size(HEADER_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut stopping = false;
        loop {
            let until = *deadline.borrow_and_update();
            tokio::select! {
                // A broken request was answered by hyper; a broken connection needs no log line.
                _ = connection.as_mut() => return,
                _ = deadline.changed() => {}
                () = tokio::time::sleep_until(until) => return,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    /// Reads a whole request, decides whether this peer may, and answers.
    async fn respond<B>(
        &self,
        request: Request<B>,
        from: From,
        deadline: &watch::Sender<Instant>,
    ) -> Answer
    where
        B: Body + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let grant = self.limits.request_deadline;
        if let Err(refusal) = self.read_body(body).await {
            return routes::refuse(&refusal);
        }
        let route = match Route::of(&head.method, head.uri.path(), head.uri.query()) {
            Ok(route) if self.allowed(&route, from) => route,
            Ok(_) | Err(_) if !self.allowed_anything(from) => {
                let error = "you may not use this socket".to_owned();
                let hint = "only root and members of the configured group may read (socket.group)";
                return routes::refuse(&Refusal(StatusCode::FORBIDDEN, error, hint));
            }
            Ok(_) if matches!(from, From::Local(_)) => {
                let error = "you may only read here".to_owned();
                let hint = "run it as root";
                return routes::refuse(&Refusal(StatusCode::FORBIDDEN, error, hint));
            }
            Ok(_) => {
                let hint = "only GET /metrics is served here";
                let error = "no such resource".to_owned();
                return routes::refuse(&Refusal(StatusCode::NOT_FOUND, error, hint));
            }
            Err(refusal) => return routes::refuse(&refusal),
        };
        deadline.send_replace(Instant::now() + grant + route.patience());
        let answer = routes::answer(route, &self.handle, &self.stop).await;
        deadline.send_replace(Instant::now() + grant);
        answer
    }

    /// No route takes a body yet; one that is sent is read within its bounds and dropped.
    async fn read_body<B>(&self, body: B) -> Result<(), Refusal>
    where
        B: Body + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if body.is_end_stream() {
            return Ok(());
        }
        let limit = usize::try_from(self.limits.request_limit_bytes).unwrap_or(usize::MAX);
        let read = Limited::new(body, limit).collect();
        let hint = "requests need no body";
        match tokio::time::timeout(self.limits.request_deadline, read).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let error = format!("the body is larger than {limit} bytes");
                Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, error, hint))
            }
            Ok(Err(error)) => Err(Refusal(StatusCode::BAD_REQUEST, error.to_string(), hint)),
            Err(_) => {
                let error = "the body did not come in time".to_owned();
                Err(Refusal(StatusCode::REQUEST_TIMEOUT, error, hint))
            }
        }
    }

    fn allowed(&self, route: &Route, from: From) -> bool {
        match from {
            From::Tcp => *route == Route::Metrics,
            From::Local(peer) => self.gate(route.access(), peer),
        }
    }

    fn allowed_anything(&self, from: From) -> bool {
        match from {
            From::Tcp => true,
            From::Local(peer) => self.gate(peer::Access::Read, peer),
        }
    }

    fn gate(&self, access: peer::Access, peer: Peer) -> bool {
        // Root needs no groups, so nothing is read from /proc for it.
        let groups = if peer.uid == 0 {
            Vec::new()
        } else {
            peer::groups(peer.pid)
        };
        peer::gate(access, peer, &groups, self.limits.readers).is_ok()
    }
}

/// Answers 503 without waiting: a client that does not read gets nothing.
fn turn_away(stream: &UnixStream) {
    const BODY: &str = r#"{"error":"too many connections","hint":"try again in a moment"}"#;
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
                connection: close\r\nretry-after: 1\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len());
    let _ = stream.try_write(answer.as_bytes());
}
