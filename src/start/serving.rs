//! Whether an API server serves, as a client sees it. There is no event to wait for: it is asked,
//! often while somebody waits for it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::apiserver::ask::Asker;
use crate::core::reading::{Reading, Unseen};
use crate::core::start::observed::ApiSeen;
use crate::core::time::Moment;
use crate::daemon::clock;

/// Between two questions while an answer is waited for.
const EAGER: Duration = Duration::from_millis(100);
/// Between two questions while it serves.
const STEADY: Duration = Duration::from_millis(500);

/// Starts asking; ends with `shutdown`.
pub(super) fn spawn(asker: Arc<Asker>, shutdown: &CancellationToken) -> watch::Receiver<ApiSeen> {
    let (sender, receiver) = watch::channel(ApiSeen {
        asked: Moment(0),
        answer: Reading::not_asked(),
    });
    let rounds = async move {
        loop {
            let asked = clock::now();
            let answer = match ask(&asker).await {
                Ok(answer) => Reading::Known(answer),
                Err(unseen) => Reading::Unknown(unseen),
            };
            let serves = matches!(answer, Reading::Known(Ok(())));
            sender.send_if_modified(|seen| {
                // That it does not serve either now is no news: nobody is woken ten times a second.
                let news = serves || seen.answer != answer;
                *seen = ApiSeen { asked, answer };
                news
            });
            tokio::time::sleep(if serves { STEADY } else { EAGER }).await;
        }
    };
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(rounds));
    receiver
}

/// Asks once: it is ready, and has the namespace that everything is in.
///
/// # Errors
/// Where there is no answer.
pub(super) async fn ask(asker: &Asker) -> Result<Result<(), String>, Unseen> {
    for path in ["/readyz", "/healthz", "/api/v1/namespaces/kube-system"] {
        let reply = asker.send(Method::GET, path, None).await?;
        match reply.status {
            200 => {}
            // Before Kubernetes 1.16 there was no /readyz.
            404 if path == "/readyz" => {}
            404 if path != "/healthz" => {
                return Ok(Err(
                    "it serves, and has no namespace kube-system yet".to_owned()
                ));
            }
            401 => {
                return Ok(Err(
                    "it refuses the credentials of auth/kubeconfig (401)".to_owned()
                ));
            }
            status => {
                let words = reply.words();
                return Ok(Err(format!("{path} answers {status}: {words}")));
            }
        }
    }
    Ok(Ok(()))
}
