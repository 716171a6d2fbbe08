//! etcd, as backups and recovery need it: who the members are, how each of them is, which of them a
//! snapshot is best taken from, the snapshot itself as a stream, and keys at one revision.
//!
//! Every call is to one endpoint, has a deadline and names the endpoint where it fails; nothing here
//! needs a quorum but [`Etcd::alarms`], [`Etcd::reader`] and what is in `keys` and
//! `change`, which hold the only calls that change anything. Credential files are read anew when they
//! change. What a snapshot holds is not looked at here.

mod change;
mod choose;
mod error;
mod facts;
mod keys;
mod read;
mod snapshot;
mod survey;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

pub use self::choose::{Allow, Chosen};
pub use self::error::EtcdError;
pub use self::facts::{Alarm, AlarmKind, Status};
pub use self::read::{Pinned, Reader, Silent};
pub use self::snapshot::SnapshotStream;
use crate::core::backup::manifest::Member;
use crate::fetch::files::{self, Stamp};

/// Where etcd is and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Members that a snapshot may be taken from, as `https://127.0.0.1:2379`. The others of the
    /// cluster are found through them, and only compared with.
    pub endpoints: Vec<String>,
    /// Authority of the servers' certificates, PEM.
    pub ca_file: PathBuf,
    /// Our certificate, PEM; `None`: we show none.
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM: with the certificate or not at all.
    pub key_file: Option<PathBuf>,
    /// For each call, connecting included.
    pub deadline: Duration,
    /// Between two pieces of a snapshot. There is none for the whole (scenario B11).
    pub chunk_deadline: Duration,
}

impl Default for Settings {
    /// What kubeadm sets up.
    fn default() -> Self {
        let pki = Path::new("/etc/kubernetes/pki/etcd");
        Self {
            endpoints: vec!["https://127.0.0.1:2379".to_owned()],
            ca_file: pki.join("ca.crt"),
            cert_file: Some(pki.join("healthcheck-client.crt")),
            key_file: Some(pki.join("healthcheck-client.key")),
            deadline: Duration::from_secs(5),
            chunk_deadline: Duration::from_secs(30),
        }
    }
}

/// A cluster of etcd. Connections are made when they are first needed, and kept.
pub struct Etcd {
    settings: Settings,
    doors: Mutex<Doors>,
}

#[derive(Default)]
struct Doors {
    /// Of the files that the connections were made with.
    stamp: Stamp,
    /// By endpoint.
    clients: BTreeMap<String, Client>,
}

impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Etcd")
            .field("endpoints", &self.settings.endpoints)
            .finish_non_exhaustive()
    }
}

impl Etcd {
    /// Reads the credentials. Whether anybody answers is not asked here.
    ///
    /// # Errors
    /// A credential file that cannot be read or used, no endpoint, one that is no address.
    pub async fn connect(settings: &Settings) -> Result<Self, EtcdError> {
        let etcd = Self {
            settings: settings.clone(),
            doors: Mutex::default(),
        };
        for endpoint in &settings.endpoints {
            etcd.client(endpoint).await?;
        }
        if settings.endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        Ok(etcd)
    }

    /// How it is asked.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The members, by the first endpoint that answers.
    ///
    /// # Errors
    /// The first endpoint's, where none answers.
    pub async fn members(&self) -> Result<Vec<Member>, EtcdError> {
        self.first(|endpoint| self.members_by(endpoint)).await
    }

    /// The members, as one of them knows them.
    pub(crate) async fn members_by(&self, endpoint: &str) -> Result<Vec<Member>, EtcdError> {
        let mut client = self.client(endpoint).await?;
        let answer = self
            .call(endpoint, "the list of members", client.member_list())
            .await?;
        Ok(answer.members().iter().map(facts::member).collect())
    }

    /// How one member is.
    ///
    /// # Errors
    /// Why it does not say so.
    pub async fn status(&self, endpoint: &str) -> Result<Status, EtcdError> {
        let call = "its status";
        let mut client = self.client(endpoint).await?;
        let answer = self.call(endpoint, call, client.status()).await?;
        Status::of(endpoint, &answer).ok_or_else(|| EtcdError::Unreadable {
            endpoint: endpoint.to_owned(),
            call,
            cause: "it has no header".to_owned(),
        })
    }

    /// How each configured endpoint is, asked at the same time.
    pub async fn statuses(&self) -> Vec<(String, Result<Status, EtcdError>)> {
        self.statuses_of(&self.settings.endpoints).await
    }

    async fn statuses_of(&self, all: &[String]) -> Vec<(String, Result<Status, EtcdError>)> {
        let ask = all
            .iter()
            .map(async |endpoint: &String| (endpoint.clone(), self.status(endpoint).await));
        futures_util::future::join_all(ask).await
    }

    /// The alarms of the cluster, by the first endpoint that answers. It needs a quorum: etcd
    /// asks by way of raft.
    ///
    /// # Errors
    /// The first endpoint's, where none answers.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, EtcdError> {
        self.first(async |endpoint| {
            let (get, any) = (etcd_client::AlarmAction::Get, etcd_client::AlarmType::None);
            let mut client = self.client(endpoint).await?;
            let answer = self
                .call(endpoint, "the alarms", client.alarm(get, any, None))
                .await?;
            let alarms = answer.alarms().iter().filter_map(|alarm| {
                let kind = AlarmKind::of(alarm.alarm())?;
                let member_id = alarm.member_id();
                Some(Alarm { member_id, kind })
            });
            Ok(alarms.collect())
        })
        .await
    }

    /// The cluster's id and the largest revision that any configured endpoint has.
    ///
    /// # Errors
    /// The first endpoint's, where none answers.
    pub async fn revision(&self) -> Result<(u64, i64), EtcdError> {
        let mut first = None;
        let mut best: Option<Status> = None;
        for (_, answer) in self.statuses().await {
            match answer {
                Ok(status) => {
                    let behind = best
                        .as_ref()
                        .is_none_or(|best| best.revision < status.revision);
                    if behind {
                        best = Some(status);
                    }
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        match (best, first) {
            (Some(best), _) => Ok((best.cluster_id, best.revision)),
            (None, Some(error)) => Err(error),
            (None, None) => Err(EtcdError::NoEndpoint),
        }
    }

    /// Asks one endpoint after another until one answers.
    async fn first<'a, T, F>(&'a self, ask: impl Fn(&'a str) -> F) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, EtcdError>>,
    {
        let mut first = None;
        for endpoint in &self.settings.endpoints {
            match ask(endpoint).await {
                Ok(answer) => return Ok(answer),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(EtcdError::NoEndpoint))
    }

    /// A call within the deadline. A connection that did not serve is not used again.
    async fn call<T>(
        &self,
        endpoint: &str,
        call: &'static str,
        answer: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, EtcdError> {
        self.call_within(self.settings.deadline, endpoint, call, answer)
            .await
    }

    /// The same with a deadline of its own.
    async fn call_within<T>(
        &self,
        after: Duration,
        endpoint: &str,
        call: &'static str,
        answer: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, EtcdError> {
        let result = match tokio::time::timeout(after, answer).await {
            Ok(answer) => answer.map_err(|error| EtcdError::of(endpoint, call, &error)),
            Err(_) => Err(EtcdError::TimedOut {
                endpoint: endpoint.to_owned(),
                call,
                after,
            }),
        };
        if result.as_ref().is_err_and(EtcdError::is_transport) {
            self.doors().clients.remove(endpoint);
        }
        result
    }

    /// The connection to an endpoint.
    async fn client(&self, endpoint: &str) -> Result<Client, EtcdError> {
        {
            let mut doors = self.doors();
            if !doors.stamp.still_holds() {
                *doors = Doors::default();
            }
            if let Some(client) = doors.clients.get(endpoint) {
                return Ok(client.clone());
            }
        }
        let unusable = |cause: String| EtcdError::Unusable {
            endpoint: endpoint.to_owned(),
            cause,
        };
        let mut options = ConnectOptions::new().with_connect_timeout(self.settings.deadline);
        let (tls, stamp) = if endpoint.starts_with("http://") {
            (None, None)
        } else {
            let settings = self.settings.clone();
            let read = tokio::task::spawn_blocking(move || credentials(&settings)).await;
            let (tls, stamp) = read.map_err(|error| unusable(error.to_string()))??;
            (Some(tls), Some(stamp))
        };
        if let Some(tls) = tls {
            options = options.with_tls(tls);
        }
        let client = Client::connect([endpoint], Some(options))
            .await
            .map_err(|error| unusable(error::short(&error.to_string())))?;
        let mut doors = self.doors();
        if let Some(stamp) = stamp {
            doors.stamp = stamp;
        }
        doors.clients.insert(endpoint.to_owned(), client.clone());
        Ok(client)
    }

    fn doors(&self) -> std::sync::MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the credentials; the stamp is of before.
fn credentials(settings: &Settings) -> Result<(TlsOptions, Stamp), EtcdError> {
    let own = [&settings.cert_file, &settings.key_file];
    let stamp = Stamp::of(
        [&settings.ca_file]
            .into_iter()
            .chain(own.into_iter().flatten()),
    );
    let read = |what, path: &PathBuf| {
        files::read(path).map_err(|source| EtcdError::File {
            what,
            path: path.clone(),
            source,
        })
    };
    let authority = read("authority", &settings.ca_file)?;
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(authority));
    if let (Some(certificate), Some(key)) = (&settings.cert_file, &settings.key_file) {
        let certificate = read("client certificate", certificate)?;
        let key = read("client key", key)?;
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    Ok((tls, stamp))
}
