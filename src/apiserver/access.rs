//! The kubeconfig: address, trust and credentials, read again when a file changes or after a 401.
//!
//! Plugins (`exec`, `auth-provider`), basic authentication, impersonation and proxies are refused:
//! a master's own kubeconfig has none of them, and running a plugin could block the daemon.

use std::path::{Path, PathBuf};

use http::uri::Scheme;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use kube::client::ConfigExt;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::core::reading::{Unseen, UnseenKind};
use crate::fetch::error::FetchError;
use crate::fetch::files::{LIMIT, Stamp, read};
use crate::fetch::tls::{self, Trust};
use crate::fetch::{self, Client};

/// Why the API server cannot even be asked. Never holds content of a file: a kubeconfig is a
/// secret, and a parser's message may repeat what it could not parse.
#[derive(Debug, thiserror::Error)]
enum AccessError {
    #[error("cannot read kubeconfig {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("kubeconfig {} cannot be used: {cause}", path.display())]
    Unusable { path: PathBuf, cause: String },
}

/// Gives out the means to ask.
pub(super) struct Access {
    path: PathBuf,
    server_override: Option<String>,
    made: Mutex<Option<(Stamp, Result<Means, Unseen>)>>,
}

/// A client with the server's address and our credentials.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) client: Client,
    base: String,
    authorization: Option<HeaderValue>,
}

impl Means {
    /// A question for `path_and_query` (starting with `/`); `body` is JSON of a POST.
    pub(super) fn request(
        &self,
        path_and_query: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, Unseen> {
        let url: Uri = format!("{}{path_and_query}", self.base)
            .parse()
            .map_err(|error| Unseen::because(UnseenKind::Unreadable, &error))?;
        let mut request = match body {
            None => Request::get(url.clone()),
            Some(_) => Request::post(url.clone()).header(header::CONTENT_TYPE, "application/json"),
        }
        .header(header::ACCEPT, "application/json")
        .header(
            header::USER_AGENT,
            concat!("rekindle/", env!("CARGO_PKG_VERSION")),
        );
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        request
            .body(Full::from(body.unwrap_or_default()))
            .map_err(|error| Unseen::from(&FetchError::content(&url, error)))
    }
}

impl Access {
    pub(super) fn new(path: PathBuf, server_override: Option<String>) -> Self {
        Self {
            path,
            server_override,
            made: Mutex::new(None),
        }
    }

    /// The means for the files as they are now.
    pub(super) async fn means(&self) -> Result<Means, Unseen> {
        let mut made = self.made.lock().await;
        if let Some((stamp, means)) = &*made
            && stamp.still_holds()
        {
            return means.clone();
        }
        let mut stamp = Stamp::of([&self.path]);
        let means = match self.load() {
            Err(error) => Err(error),
            Ok(kubeconfig) => {
                let files = named_files(&kubeconfig);
                stamp.extend(&files);
                self.make(kubeconfig, &files).await
            }
        };
        let means = means.map_err(|error| Unseen::because(UnseenKind::Unreadable, &error));
        made.insert((stamp, means)).1.clone()
    }

    /// The server refused our credentials: read them again before the next question.
    pub(super) async fn doubt(&self) {
        *self.made.lock().await = None;
    }

    fn load(&self) -> Result<Kubeconfig, AccessError> {
        // Read within the bound first; the library reads again, and makes its paths absolute.
        read(&self.path).map_err(|source| AccessError::Read {
            path: self.path.clone(),
            source,
        })?;
        Kubeconfig::read_from(&self.path).map_err(|error| self.unusable(&error))
    }

    async fn make(&self, mut config: Kubeconfig, files: &[PathBuf]) -> Result<Means, AccessError> {
        for file in files {
            check_size(file)?;
        }
        if let Some(server) = &self.server_override {
            let clusters = config.clusters.iter_mut();
            for cluster in clusters.filter_map(|named| named.cluster.as_mut()) {
                cluster.server = Some(server.clone());
            }
        }
        let proxied = names_a_proxy(&config);
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .map_err(|error| self.unusable(&error))?;
        if let Some(what) = unsupported(&config.auth_info) {
            return Err(self.because(format!("its user has {what}, which is not supported")));
        }
        if proxied {
            return Err(self.because("it names a proxy, which is not supported".to_owned()));
        }
        let name = match config.tls_server_name.clone() {
            None => None,
            Some(name) => Some(
                ServerName::try_from(name)
                    .map_err(|_| self.because("tls-server-name is no server name".to_owned()))?,
            ),
        };
        let tls = if config.cluster_url.scheme() == Some(&Scheme::HTTP) {
            // Never used; the library would read the system's authorities for it.
            tls::config(Trust::Authorities(RootCertStore::empty()), None)
                .map_err(|error| self.because(error.to_string()))?
        } else {
            let tls = config.rustls_client_config();
            tls.map_err(|error| self.because(tls_cause(&error)))?
        };
        Ok(Means {
            client: fetch::client(tls, name),
            base: config
                .cluster_url
                .to_string()
                .trim_end_matches('/')
                .to_owned(),
            authorization: self.authorization(&config.auth_info)?,
        })
    }

    fn authorization(&self, user: &AuthInfo) -> Result<Option<HeaderValue>, AccessError> {
        let token = match (&user.token, &user.token_file) {
            (Some(token), _) => token.expose_secret().trim().as_bytes().to_vec(),
            (None, Some(path)) => read(Path::new(path))
                .map_err(|source| AccessError::Read {
                    path: path.into(),
                    source,
                })?
                .trim_ascii()
                .to_vec(),
            (None, None) => return Ok(None),
        };
        let mut header = HeaderValue::from_bytes(&[b"Bearer ", token.as_slice()].concat())
            .map_err(|_| self.because("the token has characters that no token has".to_owned()))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    fn because(&self, cause: String) -> AccessError {
        AccessError::Unusable {
            path: self.path.clone(),
            cause,
        }
    }

    /// Says the cause in our own words where the library's may repeat a secret.
    fn unusable(&self, error: &KubeconfigError) -> AccessError {
        self.because(match error {
            KubeconfigError::Parse(_) => "it is no kubeconfig in YAML".to_owned(),
            KubeconfigError::CurrentContextNotSet => "no current-context is set".to_owned(),
            KubeconfigError::LoadContext(name) => format!("there is no context {name:?}"),
            KubeconfigError::LoadClusterOfContext(name) => format!("there is no cluster {name:?}"),
            KubeconfigError::MissingClusterUrl => "the cluster has no server".to_owned(),
            KubeconfigError::ParseClusterUrl(_) => "the cluster's server is no URL".to_owned(),
            KubeconfigError::LoadCertificateAuthority(_)
            | KubeconfigError::ParseCertificates(_) => {
                "the certificate authority cannot be read".to_owned()
            }
            KubeconfigError::LoadClientCertificate(_) => {
                "the client certificate cannot be read".to_owned()
            }
            KubeconfigError::LoadClientKey(_) => "the client key cannot be read".to_owned(),
            _ => "it cannot be loaded".to_owned(),
        })
    }
}

fn tls_cause(error: &kube::Error) -> String {
    match error {
        kube::Error::RustlsTls(_) => "certificate authority, client certificate or key is broken",
        _ => "the client certificate or key cannot be read",
    }
    .to_owned()
}

fn unsupported(user: &AuthInfo) -> Option<&'static str> {
    let found = [
        (user.exec.is_some(), "an exec plugin"),
        (user.auth_provider.is_some(), "an auth-provider"),
        (user.username.is_some(), "a user name and password"),
        (user.impersonate.is_some(), "an impersonated user"),
    ];
    found
        .into_iter()
        .find(|(there, _)| *there)
        .map(|(_, what)| what)
}

/// Of the current context; a proxy of the environment is for others and does not count.
fn names_a_proxy(config: &Kubeconfig) -> bool {
    let current = config
        .contexts
        .iter()
        .find(|named| Some(&named.name) == config.current_context.as_ref())
        .and_then(|named| Some(&named.context.as_ref()?.cluster));
    let clusters = config.clusters.iter();
    clusters
        .filter(|named| Some(&named.name) == current)
        .filter_map(|named| named.cluster.as_ref()?.proxy_url.as_deref())
        .any(|proxy| !proxy.is_empty())
}

fn named_files(config: &Kubeconfig) -> Vec<PathBuf> {
    let clusters = config
        .clusters
        .iter()
        .filter_map(|named| named.cluster.as_ref());
    let users = config
        .auth_infos
        .iter()
        .filter_map(|named| named.auth_info.as_ref());
    let of_clusters = clusters.map(|cluster| &cluster.certificate_authority);
    let of_users =
        users.flat_map(|user| [&user.client_certificate, &user.client_key, &user.token_file]);
    of_clusters
        .chain(of_users)
        .flatten()
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// A file that is missing is the library's to report; one that is huge must not reach it.
fn check_size(path: &Path) -> Result<(), AccessError> {
    let Ok(meta) = std::fs::metadata(path) else {
        return Ok(());
    };
    if meta.is_file() && meta.len() <= LIMIT {
        return Ok(());
    }
    Err(AccessError::Read {
        path: path.to_owned(),
        source: std::io::Error::other("it is no regular file of a sensible size"),
    })
}
