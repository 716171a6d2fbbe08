//! One address at which an API server is asked again and again whether it serves: connections are
//! kept, and what comes of it is one of a closed set.

use std::time::Duration;

use http::{Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;

use super::Config;
use super::access::Access;
use super::health::{LIMIT, PATH};
use crate::core::reading::{Unseen, UnseenKind, chain};
use crate::core::recovery::evidence::{self, DoorAnswer, DoorKind};
use crate::core::time::Moment;
use crate::fetch::error::{FetchError, shown};
use crate::fetch::fault::silence;
use crate::fetch::{self, tls};

/// A door.
pub struct Door {
    kind: DoorKind,
    way: Way,
    deadline: Duration,
}

enum Way {
    /// Whoever listens there, with no credentials.
    Anyone { base: String, client: fetch::Client },
    /// By a kubeconfig, which is read again when it changes.
    Kubeconfig(Access),
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// To whoever listens at `base`, as `https://127.0.0.1:6443`; believed whoever it is.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn at(kind: DoorKind, base: &str, deadline: Duration) -> Result<Self, Unseen> {
        let tls = tls::config(tls::Trust::Anyone, None)
            .map_err(|error| Unseen::because(UnseenKind::Unreadable, &error))?;
        let way = Way::Anyone {
            base: base.trim_end_matches('/').to_owned(),
            client: fetch::client(tls, None),
        };
        Ok(Self {
            kind,
            way,
            deadline,
        })
    }

    /// To where a kubeconfig points.
    #[must_use]
    pub fn by_kubeconfig(kind: DoorKind, config: &Config) -> Self {
        let access = Access::new(config.kubeconfig.clone(), config.server_override.clone());
        Self {
            kind,
            way: Way::Kubeconfig(access),
            deadline: config.deadline,
        }
    }

    /// Asks once. `at` is the moment that is written on the answer.
    pub async fn ask(&self, at: Moment) -> evidence::Door {
        let (url, answer, detail) = match self.question().await {
            Err(unseen) => (String::new(), DoorAnswer::NotAsked, unseen.detail),
            Ok((client, request)) => {
                let url = shown(request.uri());
                let (answer, detail) = self.answer(&client, request).await;
                (url, answer, detail)
            }
        };
        evidence::Door {
            kind: self.kind,
            url,
            answer,
            detail,
            at,
        }
    }

    async fn question(&self) -> Result<(fetch::Client, Request<Full<Bytes>>), Unseen> {
        match &self.way {
            Way::Kubeconfig(access) => {
                let means = access.means().await?;
                let request = means.request(PATH, None)?;
                Ok((means.client, request))
            }
            Way::Anyone { base, client } => {
                let unusable =
                    |error: &dyn std::error::Error| Unseen::because(UnseenKind::Unreadable, error);
                let url: Uri = format!("{base}{PATH}")
                    .parse()
                    .map_err(|error: http::uri::InvalidUri| unusable(&error))?;
                let request = Request::get(url).body(Full::<Bytes>::default());
                let request = request.map_err(|error| unusable(&error))?;
                Ok((client.clone(), request))
            }
        }
    }

    async fn answer(
        &self,
        client: &fetch::Client,
        request: Request<Full<Bytes>>,
    ) -> (DoorAnswer, String) {
        let url = request.uri().clone();
        let answer = fetch::fetch(client, request, self.deadline, LIMIT).await;
        let Err(error) = answer.and_then(|answer| answer.success(&url)) else {
            return (DoorAnswer::Serving, String::new());
        };
        if let (Way::Kubeconfig(access), Some(401)) = (&self.way, error.status()) {
            access.doubt().await;
        }
        (class(&error), chain(&error))
    }
}

fn class(error: &FetchError) -> DoorAnswer {
    match error {
        FetchError::Connect { .. } => silence(error),
        // A connection that ends before an answer: a balancer with nobody behind it.
        FetchError::Broken { .. } => match error.kind() {
            UnseenKind::Unreadable => DoorAnswer::Unreadable,
            _ => silence(error),
        },
        FetchError::Deadline { .. } => DoorAnswer::TimedOut,
        FetchError::Status {
            status: 401 | 403, ..
        } => DoorAnswer::Denied,
        // `/readyz` says 500 with what is not ready; 429 and 503 are said under load and at its end.
        FetchError::Status {
            status: 429 | 500..=599,
            ..
        } => DoorAnswer::NotReady,
        FetchError::Status { .. }
        | FetchError::Truncated { .. }
        | FetchError::TooLarge { .. }
        | FetchError::Content { .. } => DoorAnswer::Unreadable,
    }
}
