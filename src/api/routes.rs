//! What each path answers. Total: every request has an answer, every refusal a hint.

use std::time::Duration;

use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::peer::Access;
use super::{Handle, details, recovery, wire};
use crate::core::id::CheckpointId;
use crate::core::recovery::plan::Asked;
use crate::daemon::backups::Refused;
use crate::metrics;

/// Longest wait for a change.
pub const WAIT_LIMIT: Duration = Duration::from_secs(300);
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The report; after this generation, waiting this long for another one.
    Status(Option<(u64, Duration)>),
    /// All checkpoints.
    Checkpoints,
    /// One checkpoint.
    Checkpoint(CheckpointId),
    /// Backups: the section of the report.
    Backups,
    /// Take a backup now.
    BackUp,
    /// Recovery mode: the section of the report.
    Recovery,
    /// The plans, for the daemon itself or for what an operator would ask.
    RecoveryPlan(Option<Asked>),
    /// Begin a recovery.
    RecoveryEnter(Asked),
    /// End the recovery that is under way, or the latch.
    RecoveryExit,
    /// Metrics.
    Metrics,
}

/// Why a request is refused: status, error, hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub StatusCode, pub String, pub &'static str);

impl Route {
    /// Reads method, path and query.
    ///
    /// # Errors
    /// The refusal to answer with: 400, 404 or 405.
    pub fn of(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let known = "GET /v1/status, /v1/checkpoints, /v1/checkpoints/ID, /v1/backups, \
                     /v1/recovery-mode, /v1/recovery-mode/plan and /metrics; POST /v1/backups, \
                     /v1/recovery-mode/enter and /v1/recovery-mode/exit";
        let route = match path {
            "/v1/recovery-mode/enter" if method == Method::POST => {
                return recovery::asked(query).map(Self::RecoveryEnter);
            }
            "/v1/recovery-mode/exit" if method == Method::POST => return Ok(Self::RecoveryExit),
            "/v1/recovery-mode" => Self::Recovery,
            "/v1/recovery-mode/plan" => Self::RecoveryPlan(match query {
                None | Some("") => None,
                Some(_) => Some(recovery::asked(query)?),
            }),
            "/v1/backups" if method == Method::POST => return Self::back_up(query),
            "/v1/backups" => Self::Backups,
            "/v1/status" => Self::Status(wait(query)?),
            "/v1/checkpoints" => Self::Checkpoints,
            "/metrics" => Self::Metrics,
            _ => {
                let Some(id) = path.strip_prefix("/v1/checkpoints/") else {
                    let error = "no such resource".to_owned();
                    return Err(Refusal(StatusCode::NOT_FOUND, error, known));
                };
                Self::Checkpoint(CheckpointId::parse(id).map_err(|error| {
                    let hint = "`rekindle checkpoint list` shows the ids";
                    Refusal(StatusCode::BAD_REQUEST, error.to_string(), hint)
                })?)
            }
        };
        if method != Method::GET {
            let error = "this resource can only be read".to_owned();
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, error, known));
        }
        Ok(route)
    }

    fn back_up(query: Option<&str>) -> Result<Self, Refusal> {
        if query.is_some_and(|query| !query.is_empty()) {
            let error = "a backup is asked for without parameters".to_owned();
            return Err(Refusal(StatusCode::BAD_REQUEST, error, "POST /v1/backups"));
        }
        Ok(Self::BackUp)
    }

    /// What it needs.
    #[must_use]
    pub fn access(&self) -> Access {
        match self {
            Self::Status(_)
            | Self::Checkpoints
            | Self::Checkpoint(_)
            | Self::Backups
            | Self::Recovery
            | Self::RecoveryPlan(_)
            | Self::Metrics => Access::Read,
            Self::BackUp | Self::RecoveryEnter(_) | Self::RecoveryExit => Access::Change,
        }
    }

    /// How long the answer may be held back on purpose.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self {
            Self::Status(Some((_, wait))) => *wait,
            _ => Duration::ZERO,
        }
    }
}

fn wait(query: Option<&str>) -> Result<Option<(u64, Duration)>, Refusal> {
    let bad = |error: &str| {
        let hint = "?after=GENERATION&wait_seconds=SECONDS, both whole numbers";
        Refusal(StatusCode::BAD_REQUEST, error.to_owned(), hint)
    };
    let mut after = None;
    let mut wait = WAIT_DEFAULT;
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let number: u64 = value
            .parse()
            .map_err(|_| bad("not a whole number in the query"))?;
        match name {
            "after" => after = Some(number),
            "wait_seconds" => wait = Duration::from_secs(number).min(WAIT_LIMIT),
            _ => return Err(bad("unknown parameter in the query")),
        }
    }
    Ok(after.map(|after| (after, wait)))
}

/// Answers an allowed request. A held back answer is given at once when `stop` is called.
pub async fn answer(route: Route, handle: &Handle, stop: &CancellationToken) -> Answer {
    let published = match route {
        Route::Status(Some((after, wait))) => {
            let mut receiver = handle.published.clone();
            let changed = receiver.wait_for(|published| published.generation != after);
            // Every outcome is answered with what is published now.
            tokio::select! {
                _ = tokio::time::timeout(wait, changed) => {}
                () = stop.cancelled() => {}
            }
            handle.published.borrow().clone()
        }
        _ => handle.published.borrow().clone(),
    };
    match route {
        Route::Status(_) => json(
            StatusCode::OK,
            &wire::Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                generation: published.generation,
                report: (*published.report).clone(),
                backups: published.backups_now(),
                recovery: (*published.recovery).clone(),
            },
        ),
        Route::Backups => json(StatusCode::OK, &published.backups_now()),
        Route::Recovery => json(StatusCode::OK, &*published.recovery),
        Route::RecoveryPlan(asked) => recovery::plan(handle, asked).await,
        Route::RecoveryEnter(asked) => recovery::enter(handle, asked).await,
        Route::RecoveryExit => recovery::exit(handle).await,
        Route::BackUp => match handle.backups.now().await {
            Ok(run) => json(StatusCode::ACCEPTED, &wire::Begun { run }),
            Err(Refused { reason, busy }) => {
                let status = if busy {
                    StatusCode::CONFLICT
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                let hint = "`rekindle status` shows what runs, and why nothing does";
                refuse(&Refusal(status, reason, hint))
            }
        },
        Route::Checkpoints => json(
            StatusCode::OK,
            &wire::Checkpoints {
                checkpoints: published.report.checkpoints.clone(),
            },
        ),
        Route::Checkpoint(id) => {
            let report = published
                .report
                .checkpoints
                .iter()
                .find(|c| c.id == id)
                .cloned();
            let Some(report) = report else {
                let hint = "`rekindle checkpoint list` shows those that there are";
                return refuse(&Refusal(
                    StatusCode::NOT_FOUND,
                    format!("no checkpoint {id}"),
                    hint,
                ));
            };
            let revisions = handle.revisions.clone();
            let known = report.clone();
            let read = move || {
                let (good, candidate) = (known.good.as_ref(), known.candidate.as_ref());
                details::read(&revisions, &known.id, good, candidate)
            };
            let details = tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
                let problems = vec!["the stored revisions could not be read".to_owned()];
                wire::Details {
                    problems,
                    ..wire::Details::default()
                }
            });
            let report = Some(report);
            json(StatusCode::OK, &wire::Checkpoint { report, details })
        }
        Route::Metrics => reply(
            StatusCode::OK,
            metrics::CONTENT_TYPE,
            metrics::render(&published),
        ),
    }
}

/// The answer to a refused request.
#[must_use]
pub fn refuse(refusal: &Refusal) -> Answer {
    let Refusal(status, error, hint) = refusal;
    let mut answer = json(
        *status,
        &wire::Error {
            error: error.clone(),
            hint: (*hint).to_owned(),
        },
    );
    if *status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = header::HeaderValue::from_static("GET");
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Answer {
    match serde_json::to_string(body) {
        Ok(text) => reply(status, "application/json", text),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be encoded");
            reply(
                StatusCode::INTERNAL_SERVER_ERROR,
                "application/json",
                "{}".to_owned(),
            )
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    answer
}
