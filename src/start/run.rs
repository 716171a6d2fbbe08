//! The loop of one run: observe, decide, write the journal, act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::begin::{Options, Ready, StartError, begin};
use super::execute::Executor;
use super::report::{Outcome, Report};
use super::watching::Sources;
use crate::config::Settings;
use crate::core::handover::FREEZE;
use crate::core::operation::OperationKind;
use crate::core::start::decide::decide;
use crate::core::start::journal::Journal;
use crate::core::start::turn::{Action, Decision, Ended, Orders};
use crate::core::time::Moment;
use crate::daemon::clock;
use crate::failpoints::hit;
use crate::operation;
use crate::signals;

/// A turn at least this often: no reliance on events alone.
const PERIOD: Duration = Duration::from_secs(2);
/// A failed action is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// A node is asked to be deleted again after this.
const FORGET: Duration = Duration::from_secs(5);
/// What is waited for is said again after this, unchanged.
const AGAIN: Duration = Duration::from_secs(30);
/// Between two lines about the same thing.
const BREATH: Duration = Duration::from_secs(2);

/// Runs a start to its end, or as far as it can. `say` is told every line of progress.
///
/// # Errors
/// Where it is refused, with nothing touched, or where a step cannot be written down.
pub async fn run(
    settings: &Settings,
    options: &Options,
    say: &mut dyn FnMut(&str),
) -> Result<Report, StartError> {
    let boot_id = clock::boot_id(&settings.paths.boot_id_file)?;
    let mut signals = signals::listen().map_err(StartError::Signals)?;
    let Some(ready) = begin(settings, options, &boot_id).await? else {
        return Ok(Report::nothing());
    };
    let Ready {
        mut operation,
        mut journal,
        tree,
        places,
        notes,
    } = ready;
    for note in &notes {
        say(note);
    }
    let orders = Orders {
        node: settings.node.name.clone(),
        engine: options.engine,
        timeout: options.timeout,
        abort: options.abort,
        forget: options.forget.clone(),
        begun: clock::now(),
    };
    // Waiting begins with this run.
    journal.progress_at = orders.begun;
    let shutdown = CancellationToken::new();
    let _ends_the_sources = shutdown.clone().drop_guard();
    let mut sources = Sources::start(settings, &journal, &tree, &orders.forget, &shutdown);
    let (lines, mut said) = mpsc::unbounded_channel();
    let executor = Executor {
        tree,
        places: places.clone(),
        lines,
        killing: Arc::new(Mutex::new(BTreeSet::new())),
        frozen: Mutex::new(BTreeSet::new()),
    };
    let mut forgetting: BTreeMap<String, Moment> = BTreeMap::new();
    let mut telling = Telling::default();
    let mut unfrozen = None;
    loop {
        let observed = sources.observe(&boot_id, &journal, &places).await;
        let now = clock::now();
        let mut decision = decide(&observed, &journal, &orders, now);
        // Not written down first: they cannot wait for the disk, and whoever comes next thaws.
        let late = executor.at_once(&mut decision, &journal, &mut sources);
        unfrozen = late.await.then(|| unfrozen.unwrap_or(now));
        if unfrozen.is_some_and(|since| now.since(since) < FREEZE) {
            decision.withdraw(&journal, now);
        }
        let Decision {
            journal: next,
            actions,
            mut waits,
            ended,
            mut wake_at,
        } = decision;
        if next != journal {
            if next.phase != journal.phase {
                say(&format!("{}...", capital(next.phase.words())));
            }
            if let Err(error) = operation.record(next.phase.words(), &next) {
                // Nothing is done that is not written down, and nothing is left frozen.
                thaw(&journal, &orders, &mut sources, &boot_id, &executor).await;
                return Err(error.into());
            }
            hit("start.recorded");
            journal = next;
        }
        for action in &actions {
            // What the API server says of it is a round old.
            if let Action::ForgetNode { node } = action
                && let Some(last) = forgetting.insert(node.clone(), now)
                && now.since(last) < FORGET
            {
                forgetting.insert(node.clone(), last);
                continue;
            }
            if let Err(why) = executor.execute(action, &journal, &mut sources).await {
                waits.push(why);
                wake_at = Some(now.after(RETRY).min(wake_at.unwrap_or(now.after(RETRY))));
            }
            hit("start.acted");
        }
        while let Ok(line) = said.try_recv() {
            say(&line);
        }
        telling.tell(&waits, now, say);
        if let Some(ended) = ended {
            thaw(&journal, &orders, &mut sources, &boot_id, &executor).await;
            return finish(settings, ended, operation, &journal, waits, &places);
        }
        let wait = wake_at.map_or(PERIOD, |at| at.since(clock::now()).min(PERIOD));
        tokio::select! {
            () = sources.changed() => {}
            () = tokio::time::sleep(wait) => {}
            Some(line) = said.recv() => say(&line),
            signal = signals.recv() => if signal != Some(signals::Signal::Reload) {
                thaw(&journal, &orders, &mut sources, &boot_id, &executor).await;
                return Ok(Report::of(Outcome::Interrupted, &journal, waits));
            },
        }
    }
}

/// Nothing may stay frozen while nobody is there who would thaw it.
async fn thaw(
    journal: &Journal,
    orders: &Orders,
    sources: &mut Sources,
    boot_id: &str,
    executor: &Executor,
) {
    let observed = sources.observe(boot_id, journal, &executor.places).await;
    let seen = crate::core::start::component::thawing(&observed, journal, &orders.node);
    for action in seen.into_iter().chain(executor.thawing()) {
        // A container that has ended needs no thaw; the next run tries again.
        let _ = executor.execute(&action, journal, sources).await;
    }
}

fn finish(
    settings: &Settings,
    ended: Ended,
    operation: operation::Operation<Journal>,
    journal: &Journal,
    waits: Vec<String>,
    places: &super::place::Places,
) -> Result<Report, StartError> {
    let outcome = match &ended {
        Ended::Done => Outcome::Done,
        Ended::Aborted => Outcome::Aborted,
        Ended::Temporary => Outcome::Temporary,
        Ended::Failed { .. } => Outcome::Failed,
    };
    let mut report = Report::of(outcome, journal, waits);
    match ended {
        Ended::Done | Ended::Aborted => {
            places.tidy();
            if outcome == Outcome::Done {
                // Whoever emptied this node holds it until a control plane is back.
                operation::release(&settings.paths.state_dir, OperationKind::Cleanup)?;
            }
            operation.finish()?;
        }
        Ended::Temporary => {
            operation.finish_holding("the temporary control plane serves", journal)?;
        }
        Ended::Failed { why } => report.why = Some(why),
    }
    Ok(report)
}

/// Says what is waited for when it changes, and again when it has not for a while.
#[derive(Default)]
struct Telling {
    waits: Vec<String>,
    at: Moment,
}

impl Telling {
    fn tell(&mut self, waits: &[String], now: Moment, say: &mut dyn FnMut(&str)) {
        let silent = now.since(self.at);
        let changed = shape(&self.waits) != shape(waits) && silent >= BREATH;
        if waits.is_empty() || !(changed || silent >= AGAIN) {
            return;
        }
        for wait in waits {
            say(&format!("  waiting: {wait}"));
        }
        waits.clone_into(&mut self.waits);
        self.at = now;
    }
}

/// Without digits: a countdown is no news.
fn shape(waits: &[String]) -> Vec<String> {
    let plain = |wait: &String| wait.chars().filter(|c| !c.is_ascii_digit()).collect();
    waits.iter().map(plain).collect()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
