//! The two ports of the kubelet: which is asked first, and what is said when neither answers.

use std::time::Duration;

use http::{Request, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;

use super::Config;
use super::credentials::Secure;
use crate::core::reading::{Unseen, UnseenKind};
use crate::fetch::error::FetchError;
use crate::fetch::{self, Client, tls};

/// Both ports and what is known of them.
pub(super) struct Doors {
    all: Vec<Door>,
    /// Index of the one that answered last.
    first: usize,
    deadline: Duration,
    limit: u64,
}

enum Door {
    ReadOnly(Uri, Option<Client>),
    Secure(Uri, Secure),
}

impl Doors {
    pub(super) fn new(config: Config) -> Self {
        let mut all = Vec::new();
        let secure = Secure::new(&config);
        all.extend(config.read_only_url.map(|url| Door::ReadOnly(url, None)));
        all.extend(config.secure_url.map(|url| Door::Secure(url, secure)));
        Self {
            all,
            first: 0,
            deadline: config.deadline,
            limit: config.limit,
        }
    }

    /// The pod list as sent, and the port that gave it. The port that answered last is asked
    /// first, the other one where it fails.
    pub(super) async fn ask(&mut self) -> Result<(Vec<u8>, &'static str), Unseen> {
        let mut failures = Vec::new();
        for turn in 0..self.all.len() {
            let index = (self.first + turn) % self.all.len();
            match self.all[index].ask(self.deadline, self.limit).await {
                Ok(body) => {
                    self.first = index;
                    return Ok((body, self.all[index].name()));
                }
                Err(unseen) => failures.push((index, unseen)),
            }
        }
        failures.sort_unstable_by_key(|(index, _)| *index);
        Err(altogether(failures.into_iter().map(|(_, unseen)| unseen)))
    }
}

impl Door {
    fn name(&self) -> &'static str {
        match self {
            Self::ReadOnly(..) => "read-only",
            Self::Secure(..) => "authenticated",
        }
    }

    async fn ask(&mut self, deadline: Duration, limit: u64) -> Result<Vec<u8>, Unseen> {
        let (base, client, authorization) = match self {
            Self::ReadOnly(url, client) => {
                if client.is_none() {
                    *client = Some(plain()?);
                }
                (&*url, client.as_ref(), None)
            }
            Self::Secure(url, secure) => {
                let open = secure
                    .open()
                    .map_err(|error| Unseen::because(UnseenKind::Unreadable, error))?;
                (&*url, Some(&open.client), open.authorization.clone())
            }
        };
        let Some(client) = client else {
            return Err(Unseen::new(UnseenKind::NotAsked, "no client"));
        };
        let url = pods_url(base);
        let mut request = Request::get(url.clone()).header(header::ACCEPT, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::<Bytes>::default())
            .map_err(|error| Unseen::from(&FetchError::content(&url, error)))?;
        fetch::fetch(client, request, deadline, limit)
            .await
            .and_then(|answer| answer.success(&url))
            .map_err(|error| Unseen::from(&error))
    }
}

fn plain() -> Result<Client, Unseen> {
    let config = tls::config(tls::Trust::Anyone, None)
        .map_err(|error| Unseen::because(UnseenKind::Unreadable, &error))?;
    Ok(fetch::client(config, None))
}

/// `/pods` below the configured address.
fn pods_url(base: &Uri) -> Uri {
    let path = format!("{}/pods", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

/// One reading of several failures: the class that tells most, and every port with its cause.
/// A kubelet that refuses us lives, whatever its closed other port says.
fn altogether(failures: impl Iterator<Item = Unseen>) -> Unseen {
    let failures: Vec<Unseen> = failures.collect();
    let telling = |kind: UnseenKind| match kind {
        UnseenKind::NotAsked => 0,
        UnseenKind::Unreachable => 1,
        UnseenKind::TimedOut => 2,
        UnseenKind::Unreadable => 3,
        UnseenKind::TooLarge => 4,
        UnseenKind::Denied => 5,
    };
    let kind = failures
        .iter()
        .map(|unseen| unseen.kind)
        .max_by_key(|kind| telling(*kind));
    let Some(kind) = kind else {
        let text = "neither read_only_url nor secure_url is configured";
        return Unseen::new(UnseenKind::NotAsked, text);
    };
    let details: Vec<String> = failures.into_iter().map(|unseen| unseen.detail).collect();
    Unseen::new(kind, details.join("; "))
}
