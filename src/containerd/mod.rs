//! containerd: what runs ([`watch`], [`view`]), images ([`images`]), stopping ([`kill`]), running
//! a command in a container ([`exec`]), and the calls our own engine is made of ([`calls`]).
//!
//! Every call has a deadline. There is no cache of truth: events only say which container to ask
//! about again. What the readings mean is not decided here.

pub(crate) mod calls;
pub mod clear;
mod cri;
mod error;
mod exec;
mod images;
mod kill;
mod known;
pub(crate) mod listing;
mod reference;
mod subscribe;
pub mod view;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Request, Response, Status};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use error::Error;
pub(crate) use error::found;
pub use images::ImageProcess;
pub(crate) use images::Resolved;
pub use reference::normalised;
pub use subscribe::ImageEvents;
pub use watch::spawn_source;
pub(crate) use watch::spawn_watch;

/// How to reach containerd.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its socket.
    pub socket: PathBuf,
    /// Namespace of the kubelet's containers: `k8s.io`.
    pub cri_namespace: String,
    /// Namespace of our own engine's containers.
    pub engine_namespace: String,
    /// Deadline of every call.
    pub call_deadline: Duration,
    /// A complete listing at least this often, whatever events say.
    pub resync: Duration,
}

/// A client of containerd. Connects when it has something to ask, and again when the connection
/// is lost.
#[derive(Debug, Clone)]
pub struct Containerd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    channel: Mutex<Option<Channel>>,
}

impl Containerd {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                channel: Mutex::new(None),
            }),
        }
    }

    /// How it was set up.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    async fn channel(&self) -> Result<Channel, Error> {
        let mut kept = self.shared.channel.lock().await;
        if let Some(channel) = &*kept {
            return Ok(channel.clone());
        }
        let socket = &self.shared.config.socket;
        let channel =
            containerd_client::connect(socket)
                .await
                .map_err(|source| Error::Connect {
                    socket: socket.clone(),
                    source,
                })?;
        *kept = Some(channel.clone());
        Ok(channel)
    }

    /// One call in `namespace` under the configured deadline.
    pub(crate) async fn call<M, T, F, Fut>(
        &self,
        name: &'static str,
        namespace: &str,
        message: M,
        send: F,
    ) -> Result<T, Error>
    where
        F: FnOnce(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = self.shared.config.call_deadline;
        self.call_within(deadline, name, namespace, message, send)
            .await
    }

    /// One call in `namespace` under a deadline of its own.
    pub(crate) async fn call_within<M, T, F, Fut>(
        &self,
        deadline: Duration,
        name: &'static str,
        namespace: &str,
        message: M,
        send: F,
    ) -> Result<T, Error>
    where
        F: FnOnce(Channel, Request<M>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut request = in_namespace(name, namespace, message)?;
        request.set_timeout(deadline);
        let answer = timeout(deadline, async {
            let channel = self.channel().await?;
            let answer = send(channel, request).await;
            answer.map_err(|status| Error::status(name, &status))
        });
        let answer = answer.await.unwrap_or(Err(Error::TimedOut {
            call: name,
            after: deadline,
        }));
        match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(error) => {
                if error.is_transport() {
                    self.forget_connection().await;
                }
                Err(error)
            }
        }
    }

    /// The next call connects anew: nothing is said to a server that was replaced.
    async fn forget_connection(&self) {
        *self.shared.channel.lock().await = None;
    }
}

/// A request with containerd's namespace header.
///
/// Source: containerd 1.6 `namespaces/grpc.go`.
fn in_namespace<M>(name: &'static str, namespace: &str, message: M) -> Result<Request<M>, Error> {
    let mut request = Request::new(message);
    let value = namespace.parse().map_err(|_| {
        Error::unreadable(name, format!("{namespace:?} is no containerd namespace"))
    })?;
    request.metadata_mut().insert("containerd-namespace", value);
    Ok(request)
}
