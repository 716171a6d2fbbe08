//! `rekindle cleanup --undo`.

use serde::Serialize;

use super::way::{self, Way};
use crate::cleanup::quarantine::{self, Quarantine};
use crate::cleanup::{CleanupError, Kubelet, State};
use crate::cli::Format;
use crate::cli::ask::wait_for;
use crate::cli::exit::{Exit, Failure, chain};
use crate::cli::output::{Out, clean};
use crate::core::cleanup::list::Entry;
use crate::daemon::clock;

#[derive(Debug, Serialize)]
struct Undone<'a> {
    id: &'a str,
    dry_run: bool,
    /// What stands, or would stand, where it came from again.
    put_back: Vec<String>,
    /// Why it would be refused: what is in the way, or what is nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Puts the quarantine `id` back; empty: the newest that was not.
pub(super) fn run(way: &Way<'_>, id: &str, out: &mut Out) -> Result<Exit, Failure> {
    let dir = &way.settings.paths.quarantine_dir;
    let id = which(way, id)?;
    let mut quarantine = Quarantine::existing(dir, &id).map_err(|error| way::failed(&error))?;
    let resumed = way
        .left_behind()
        .is_some_and(|(state, held)| !held && state.undoing && state.id == id);
    if quarantine.list().undone.is_some() && !resumed {
        return Err(way::failed(&CleanupError::Undone(id)));
    }
    let entries = quarantine.list().entries.iter();
    let paths: Vec<String> = entries
        .map(Entry::from)
        .map(|p| p.display().to_string())
        .collect();
    let dry_run = way.options.dry_run;
    let refusal = dry_run.then(|| quarantine.look_back().err()).flatten();
    let told = Undone {
        id: &id,
        dry_run,
        put_back: paths,
        refused: refusal.as_ref().map(|error| chain(error)),
    };
    if way.options.output == Format::Table || !dry_run {
        out.note(&format!("quarantine {id} goes back:"));
        for path in &told.put_back {
            out.note(&format!("  {}", clean(path)));
        }
    }
    if !dry_run {
        way.confirm("Put all of it back?", out)?;
        put_back(way, &id, &mut quarantine, out)?;
    }
    match way.options.output {
        Format::Json => {
            let text = serde_json::to_string_pretty(&told);
            let text = text.map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table if dry_run => out.data("nothing was done\n")?,
        Format::Table => out.data(format!("quarantine {id} was put back\n"))?,
    }
    match refusal {
        Some(error) => Err(way::failed(&error)),
        None => Ok(Exit::Done),
    }
}

fn which(way: &Way<'_>, id: &str) -> Result<String, Failure> {
    if !id.is_empty() {
        return Ok(id.to_owned());
    }
    if let Some((state, held)) = way.left_behind()
        && !held
    {
        return Ok(state.id);
    }
    let (lists, problems) =
        quarantine::all(&way.settings.paths.quarantine_dir).map_err(|error| way::failed(&error))?;
    let newest = lists.into_iter().rev().find(|list| list.undone.is_none());
    newest.map(|list| list.id).ok_or_else(|| {
        let none = way::failed(&CleanupError::NoQuarantine(String::new()));
        if problems.is_empty() {
            none
        } else {
            none.hint(format!("these cannot be read: {}", problems.join("; ")))
        }
    })
}

fn put_back(
    way: &Way<'_>,
    id: &str,
    quarantine: &mut Quarantine,
    out: &mut Out,
) -> Result<(), Failure> {
    let held = way
        .left_behind()
        .filter(|(state, held)| *held && state.id != id);
    let state = State {
        id: id.to_owned(),
        force_reason: None,
        undoing: true,
    };
    let (mut operation, _) = way.begin(&state, out)?;
    let at = format!("puts quarantine {id} back");
    operation
        .record(&at, &state)
        .map_err(|error| way::unrecorded(&error))?;
    way.daemon_holds_back(out)?;
    match quarantine.put_back(clock::wall()) {
        Ok(count) => out.note(&format!("{count} entries are back")),
        // Nothing was done: the node stays as the clean-up left it.
        Err(error @ (CleanupError::InTheWay(_) | CleanupError::Lost(_))) => {
            let state = State {
                undoing: false,
                ..state
            };
            operation
                .finish_holding(&format!("quarantine {id}"), &state)
                .map_err(|error| way::unrecorded(&error))?;
            return Err(way::failed(&error));
        }
        Err(error) => return Err(way::failed(&error)),
    }
    if way.options.restart_kubelet {
        let kubelet = Kubelet::new(way.settings);
        wait_for(kubelet.start())?.map_err(|error| way::failed(&error))?;
        out.note("the kubelet is started");
    }
    // The node stays held where an older quarantine than that of the last clean-up was put back.
    let done = match held {
        Some((state, _)) => operation.finish_holding(&format!("quarantine {}", state.id), &state),
        None => operation.finish(),
    };
    done.map_err(|error| way::unrecorded(&error))
}
