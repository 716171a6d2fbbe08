//! `rekindle run`: configuration, logging, runtime, daemon.

use std::time::Duration;

use super::Global;
use super::exit::{Exit, Failure};
use super::logging;
use crate::{config, daemon};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Bad configuration ends it with exit code 2; anything else that is missing is waited for.

Examples:
  rekindle run
  rekindle run --config /tmp/config.toml";

/// Threads that still wait for a disk may not hold up the stop.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// Writing, listing a directory, reading for the socket, and one that hangs on a dead disk.
const BLOCKING_THREADS: usize = 4;
/// A thread with nothing to do ends after this.
const IDLE_THREAD: Duration = Duration::from_secs(1);

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// Bad configuration (2) and what the daemon cannot go on without (1).
pub fn run(global: &Global) -> Result<Exit, Failure> {
    let mut settings = config::load(global.config.as_deref())?.settings;
    if let Some(socket) = &global.socket {
        settings.socket.path.clone_from(socket);
    }
    logging::start(&settings.log.level);
    // One thread: less memory, and one task owns the state anyway.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Files are written one after another: each further thread costs an arena of memory.
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(IDLE_THREAD)
        .build()
        .map_err(|error| Failure::of(Exit::No, &error))?;
    let file = global.config.clone();
    let reload = move || match config::load(file.as_deref()) {
        Ok(loaded) => Ok(loaded.settings),
        Err(mistakes) => Err(mistakes.to_string()),
    };
    let ended = runtime.block_on(daemon::run(settings, reload));
    runtime.shutdown_timeout(STOP_DEADLINE);
    ended
        .map(|()| Exit::Done)
        .map_err(|error| Failure::of(Exit::No, &error))
}
