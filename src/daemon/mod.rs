//! The loop: observe, decide, commit, execute.

pub mod publish;

/// Why the daemon ended other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs the daemon until it is asked to stop.
///
/// # Errors
/// See [`Error`].
#[expect(clippy::unused_async, reason = "a place for the loop")]
pub async fn run(settings: crate::config::Settings) -> Result<(), Error> {
    drop(settings);
    Ok(())
}
