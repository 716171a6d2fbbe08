//! The daemon: observe, decide, commit, execute. One task owns the state (invariant 10).

pub mod backups;
pub mod clock;
pub(crate) mod engine;
mod execute;
pub mod hold;
mod images;
mod opening;
pub mod publish;
pub mod recovery;
mod render;
mod socket;
pub(crate) mod sources;
mod targets;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::Settings;
use crate::signals::{self, Signal};
use crate::store::revisions::Revisions;
use crate::systemd::{self, Notifier};
use publish::Publisher;
use turn::Loop;

/// A turn at least this often: no reliance on events alone.
const PERIOD: Duration = Duration::from_secs(10);

/// Why the daemon ended other than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Timers of another boot could not be told from ours.
    #[error(transparent)]
    BootId(#[from] clock::NoBootId),
    /// Nobody could ask the daemon anything.
    #[error("cannot serve the local socket")]
    Socket(#[from] crate::api::listen::ListenError),
    /// It could not be stopped cleanly.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
}

/// How a run of the loop ended.
enum Ended {
    Shutdown,
    Reload,
}

/// Runs until TERM or INT. HUP reads the configuration again by `reload` and starts every source
/// afresh with it; a configuration with mistakes changes nothing. Where the socket listens and
/// what is logged stay as they were at the start.
///
/// # Errors
/// Where the boot id cannot be read, the socket not opened or signals not received.
pub async fn run(
    mut settings: Settings,
    reload: impl Fn() -> Result<Settings, String>,
) -> Result<(), Error> {
    let mut signals = signals::listen().map_err(Error::Signals)?;
    let (mut publisher, published) = Publisher::new();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let revisions = Arc::new(Revisions::new(&settings.paths.state_dir));
    let (door, asked) = backups::Door::new();
    let (recovery_door, mut questions) = recovery::Door::new();
    let published_copy = published.clone();
    socket::open(&settings, published, revisions, door, recovery_door, &stop).await?;
    let mut notifier = Notifier::new();
    let (current, watched) = watch::channel(Arc::new(settings.clone()));
    let hooks = recovery::hooks::spawn(stop.clone());
    let backups = backups::spawn(watched, asked, publisher.of_backups(), stop.clone());
    loop {
        let shutdown = stop.child_token();
        let boot_id = clock::boot_id(&settings.paths.boot_id_file)?;
        let opened = opening::open(
            &settings,
            boot_id,
            publisher,
            &shutdown,
            &mut signals,
            &mut notifier,
        )
        .await;
        let Ok(mut turning) = opened else { break };
        let reports = published_copy.clone();
        let evidence = recovery::observe::spawn(
            &settings,
            turning.sources.receivers(),
            move || Arc::clone(&reports.borrow().report),
            &shutdown,
        );
        let guarded = recovery::guard::spawn(
            &settings,
            turning.sources.runtime.clone(),
            turning.sources.exec.clone(),
            &shutdown,
        );
        let recovering = recovery::spawn(
            Arc::new(settings.clone()),
            recovery::Sources {
                evidence,
                guard: guarded,
                published: published_copy.clone(),
                hooks: hooks.clone(),
            },
            questions,
            turning.publisher.of_recovery(),
            turning.boot_id.clone(),
            shutdown.clone(),
        );
        let ended = turning.run(&mut signals, &mut notifier).await;
        shutdown.cancel();
        publisher = turning.publisher;
        match recovering.await {
            Ok(given_back) => questions = given_back,
            Err(error) => {
                error!(%error, "the task of recovery ended early");
                break;
            }
        }
        match ended {
            Ended::Shutdown => break,
            Ended::Reload => {
                notifier.reloading();
                match reload() {
                    Ok(new) => {
                        settings = new;
                        current.send_replace(Arc::new(settings.clone()));
                    }
                    Err(mistakes) => {
                        error!(mistakes, "mistakes in the configuration: not reloaded");
                    }
                }
            }
        }
    }
    notifier.stopping();
    stop.cancel();
    // Bounded by itself: what runs is ended, and its rest cleared away at the next start.
    let _ended = backups.await;
    info!("stopped; what runs goes on running");
    Ok(())
}

impl Loop {
    /// Turns until a signal says otherwise.
    async fn run(
        &mut self,
        signals: &mut mpsc::Receiver<Signal>,
        notifier: &mut Notifier,
    ) -> Ended {
        let longest = systemd::watchdog_interval().map_or(PERIOD, |every| PERIOD.min(every / 2));
        let mut ready = false;
        loop {
            let wake_at = self.turn().await;
            // Fed by completed turns only: a loop that hangs is restarted by systemd.
            notifier.turn_completed();
            if !ready {
                notifier.ready();
                ready = true;
            }
            notifier.status(&self.publisher.headline(&self.summary));
            let pause = wake_at.map_or(longest, |at| at.since(clock::now()).min(longest));
            tokio::select! {
                () = self.sources.changed() => {}
                () = tokio::time::sleep(pause) => {}
                signal = signals.recv() => match signal {
                    Some(Signal::Reload) => return Ended::Reload,
                    Some(Signal::Shutdown) | None => return Ended::Shutdown,
                },
            }
        }
    }
}
