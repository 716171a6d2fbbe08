//! Questions about recovery mode: the parameters, and what the daemon's task answers.

use http::StatusCode;

use super::routes::{Answer, Refusal, json, refuse};
use super::{Handle, wire};
use crate::core::recovery::plan::Asked;
use crate::core::recovery::rung::Rung;
use crate::daemon::recovery::{Planned, Silent};

const PARAMETERS: &str = "?from=RUNG&source=BACKUP&allow_loss_seconds=SECONDS, each may be left out; \
                          RUNG is one of checkpoints, restart, static-pods, \
                          temporary-control-plane, replace-member, data-directory, backup";
/// Longest name or path of a backup, in bytes.
const SOURCE_LIMIT: usize = 4096;

/// Reads what is asked for. Only root gets this far with a change.
///
/// # Errors
/// The refusal to answer with.
pub(super) fn asked(query: Option<&str>) -> Result<Asked, Refusal> {
    let bad = |error: String| Refusal(StatusCode::BAD_REQUEST, error, PARAMETERS);
    let mut asked = Asked::default();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "from" => {
                let rung = Rung::parse(&value);
                let unknown = || bad(format!("{:?} is no rung", shortened(&value)));
                asked.from = Some(rung.ok_or_else(unknown)?);
            }
            "source" if value.len() <= SOURCE_LIMIT && !value.is_empty() => {
                asked.source = Some(value.into_owned());
            }
            "allow_loss_seconds" => {
                asked.allow_loss_seconds = value
                    .parse()
                    .map_err(|_| bad("allow_loss_seconds is no whole number".to_owned()))?;
            }
            _ => {
                return Err(bad(format!(
                    "unknown parameter {:?} in the query",
                    shortened(&name)
                )));
            }
        }
    }
    Ok(asked)
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

pub(super) async fn plan(handle: &Handle, asked: Option<Asked>) -> Answer {
    match handle.recovery.plan(asked).await {
        Ok(Planned { plans, unasked }) => json(StatusCode::OK, &wire::Plans { plans, unasked }),
        Err(silent) => unanswered(silent),
    }
}

pub(super) async fn enter(handle: &Handle, asked: Asked) -> Answer {
    match handle.recovery.enter(asked).await {
        Ok(Ok(id)) => json(StatusCode::ACCEPTED, &wire::Entered { id }),
        Ok(Err(why)) => {
            let hint = "`rekindle recovery-mode plan` shows every way, and what stands in it";
            refuse(&Refusal(StatusCode::CONFLICT, why, hint))
        }
        Err(silent) => unanswered(silent),
    }
}

pub(super) async fn exit(handle: &Handle) -> Answer {
    match handle.recovery.exit(0).await {
        Ok(Ok(said)) => json(StatusCode::OK, &wire::Said { said }),
        Ok(Err(why)) => {
            let hint = "`rekindle recovery-mode status` shows what is under way";
            refuse(&Refusal(StatusCode::CONFLICT, why, hint))
        }
        Err(silent) => unanswered(silent),
    }
}

fn unanswered(Silent(why): Silent) -> Answer {
    let hint = "try again; if it goes on, see the daemon's log: journalctl -u rekindle";
    refuse(&Refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        why.to_owned(),
        hint,
    ))
}
