//! Who we are to the kubelet's authenticated port, and whom we believe to be the kubelet.
//!
//! With `ca_file` the serving certificate is verified. Without, it is not (kubelets sign their own
//! by default, and so do kubeadm's): then we may show a client certificate, whose key never leaves
//! us, but send no token.

use std::path::{Path, PathBuf};

use http::HeaderValue;

use super::Config;
use crate::fetch::files::{Stamp, read};
use crate::fetch::tls::{self, PemError, Trust};
use crate::fetch::{self, Client};

/// Why the authenticated port cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot use {}", path.display())]
    Pem {
        path: PathBuf,
        #[source]
        source: PemError,
    },
    #[error("{} holds no token", path.display())]
    Token { path: PathBuf },
    #[error("the token of {} is not sent: without ca_file whoever answers could take it", path.display())]
    TokenUnprotected { path: PathBuf },
    #[error("client certificate and key do not fit")]
    Pair(#[source] rustls::Error),
}

/// The authenticated port's client, made again when a file changes.
pub(super) struct Secure {
    certificate: Option<(PathBuf, PathBuf)>,
    token: Option<PathBuf>,
    authority: Option<PathBuf>,
    made: Option<(Stamp, Result<Open, CredentialError>)>,
}

/// What a question to the authenticated port takes.
pub(super) struct Open {
    pub(super) client: Client,
    pub(super) authorization: Option<HeaderValue>,
}

impl Secure {
    pub(super) fn new(config: &Config) -> Self {
        let certificate = config.client_certificate_file.clone().map(|certificate| {
            let key = config.client_key_file.clone();
            let key = key.unwrap_or_else(|| certificate.clone());
            (certificate, key)
        });
        Self {
            certificate,
            token: config.token_file.clone(),
            authority: config.ca_file.clone(),
            made: None,
        }
    }

    /// The client for the files as they are now. Looking at them takes microseconds, so that is
    /// done in place.
    pub(super) fn open(&mut self) -> Result<&Open, &CredentialError> {
        let made = match self.made.take() {
            Some(made) if made.0.still_holds() => made,
            _ => {
                let pair = self.certificate.iter();
                let files = pair
                    .flat_map(|(certificate, key)| [certificate, key])
                    .chain(&self.token)
                    .chain(&self.authority);
                (Stamp::of(files), self.make())
            }
        };
        self.made.insert(made).1.as_ref()
    }

    fn make(&self) -> Result<Open, CredentialError> {
        let trust = match &self.authority {
            None => Trust::Anyone,
            Some(path) => {
                Trust::Authorities(tls::authorities(&content(path)?).map_err(|source| {
                    CredentialError::Pem {
                        path: path.clone(),
                        source,
                    }
                })?)
            }
        };
        let identity = match &self.certificate {
            None => None,
            Some((certificate, key)) => {
                let identity = tls::identity(&content(certificate)?, &content(key)?);
                Some(identity.map_err(|source| CredentialError::Pem {
                    path: match source {
                        PemError::Certificate => certificate.clone(),
                        PemError::Key => key.clone(),
                    },
                    source,
                })?)
            }
        };
        let authorization = match (&self.token, &self.authority) {
            (Some(path), Some(_)) => Some(bearer(path)?),
            (Some(path), None) if identity.is_none() => {
                return Err(CredentialError::TokenUnprotected { path: path.clone() });
            }
            _ => None,
        };
        let config = tls::config(trust, identity).map_err(CredentialError::Pair)?;
        Ok(Open {
            client: fetch::client(config, None),
            authorization,
        })
    }
}

fn content(path: &Path) -> Result<Vec<u8>, CredentialError> {
    read(path).map_err(|source| CredentialError::Read {
        path: path.to_owned(),
        source,
    })
}

fn bearer(path: &Path) -> Result<HeaderValue, CredentialError> {
    let bad = || CredentialError::Token {
        path: path.to_owned(),
    };
    let content = content(path)?;
    let token = content.trim_ascii();
    if token.is_empty() {
        return Err(bad());
    }
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).map_err(|_| bad())?;
    header.set_sensitive(true);
    Ok(header)
}
