//! A recovery without the service: the daemon itself, in this process and in the foreground, with
//! a socket that only this command knows.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::client;
use crate::api::wire::Plans;
use crate::cli::exit::{Exit, Failure};
use crate::config::Settings;
use crate::daemon;

/// For it to answer.
const SETTLE: Duration = Duration::from_secs(15);

/// Runs the daemon beside `conversation`, and ends it with that.
pub(super) async fn run<F>(
    settings: &Settings,
    conversation: impl FnOnce(PathBuf) -> F,
) -> Result<Exit, Failure>
where
    F: Future<Output = Result<Exit, Failure>>,
{
    let dir = settings.paths.state_dir.join("standalone");
    let told = |error: &dyn std::error::Error| Failure::of(Exit::No, error);
    crate::store::durable::ensure_root(&dir).map_err(|error| told(&error))?;
    let socket = dir.join(format!("{}.sock", std::process::id()));
    let mut settings = settings.clone();
    settings.socket.path.clone_from(&socket);
    settings.metrics.listen_address = None;
    let same = settings.clone();
    let daemon = daemon::run(settings, move || Ok(same.clone()));
    let talk = async {
        ready(&socket).await;
        conversation(socket.clone()).await
    };
    let ended = tokio::select! {
        ended = daemon => match ended {
            Ok(()) => Err(Failure::Told {
                exit: Exit::No,
                message: "interrupted".to_owned(),
                hint: Some("the same command goes on where it was cut off".to_owned()),
            }),
            Err(error) => Err(told(&error)),
        },
        ended = talk => ended,
    };
    // It is this process's own; a kill leaves it, and nobody listens there.
    let _left = crate::store::durable::remove(&socket);
    ended
}

/// Until the daemon in this process answers, or for so long.
async fn ready(socket: &std::path::Path) {
    let answers = async {
        let target = "/v1/recovery-mode/plan";
        while client::get::<Plans>(socket, target, SETTLE).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let _late = tokio::time::timeout(SETTLE, answers).await;
}
