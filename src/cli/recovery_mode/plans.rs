//! The plans, once every source was asked: a daemon that has just started knows nothing yet.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::api::client::{self, ClientError};
use crate::api::wire::Plans;

/// Looking at everything takes the daemon some calls.
const ANSWER: Duration = Duration::from_secs(30);
/// For every source to have been asked once: a few deadlines of calls that hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks for `target`, again while sources were never asked, and says what it waits for. What is
/// still not known then stands in the plans.
///
/// # Errors
/// As [`client::get`].
pub(in crate::cli) async fn known(
    socket: &Path,
    target: &str,
    mut say: impl FnMut(&str),
) -> Result<Plans, ClientError> {
    let began = Instant::now();
    let mut said = Vec::new();
    loop {
        let answer: Plans = client::get(socket, target, ANSWER).await?;
        if answer.unasked.is_empty() {
            return Ok(answer);
        }
        let names = answer.unasked.join(", ");
        if began.elapsed() >= PATIENCE {
            say(&format!(
                "note: still not heard of after {} s: {names}",
                PATIENCE.as_secs()
            ));
            say("hint: `rekindle status` says what each source answers");
            return Ok(answer);
        }
        if answer.unasked != said {
            say(&format!(
                "the daemon has just started; it has still to ask: {names}"
            ));
            said = answer.unasked;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
