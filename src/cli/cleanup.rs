//! `rekindle cleanup`: Kubernetes is taken off this node, and comes back with `--undo`.

mod report;
mod undo;
mod way;

use clap::Args;

use self::report::Report;
use super::ask::wait_for;
use super::exit::{Exit, Failure, chain};
use super::output::{Out, clean};
use super::{Format, Global};
use crate::cleanup::gather::gather;
use crate::cleanup::quarantine::{self, Origin, Quarantine};
use crate::cleanup::{CleanupError, State, steps};
use crate::config::{self, Settings};
use crate::core::cleanup::facts::Facts;
use crate::core::cleanup::plan::{Asked, Layout, Plan, StepKind, plan};
use crate::core::operation::OperationKind;
use crate::daemon::clock;
use crate::operation::{self, Operation};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Shows every step first, and asks. Nothing is deleted: logs are archived, everything else is moved to
a dated quarantine (paths.quarantine_dir) with a list of where it came from, etcd's database copied
out as backup.db first and verified. Images, backups and checkpoints stay. A run that was cut off is
gone on with by the next one. Afterwards the daemon starts nothing here until `rekindle start` has
brought a control plane back, or until --undo or --release.

Examples:
  rekindle cleanup --dry-run
  rekindle cleanup --yes
  rekindle cleanup --restart-kubelet --force-reason 'etcd of another cluster was restored here'
  rekindle cleanup --undo
  rekindle cleanup --list -o json | jq -r '.quarantines[].id'";

/// Passes of planning and carrying out: what something puts back meanwhile is found again.
const PASSES: usize = 3;

/// Options of `cleanup`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "options, each its own word")]
pub struct Options {
    /// Look at everything, show the steps, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Start the kubelet again at the end
    #[arg(long, conflicts_with_all = ["list", "release"])]
    restart_kubelet: bool,
    /// Clean up though a healthy control plane answers, and record why
    #[arg(long, value_name = "TEXT", value_parser = reason, conflicts_with_all = ["undo", "list", "release"])]
    force_reason: Option<String>,
    /// The operator's word that the kubelet is stopped, where no unit can be asked
    #[arg(long)]
    kubelet_stopped: bool,
    /// Leave etcd's data where it is
    #[arg(long)]
    keep_etcd: bool,
    /// Put everything of a quarantine back [default: the newest that was not put back]
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "", value_parser = id)]
    undo: Option<String>,
    /// List the quarantines
    #[arg(long, conflicts_with_all = ["undo", "dry_run"])]
    list: bool,
    /// Let the daemon protect this node again, cleaned up as it is
    #[arg(long, conflicts_with_all = ["undo", "list", "dry_run"])]
    release: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (3..=1000).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err("say why in 3 to 1000 characters".to_owned())
}

fn id(text: &str) -> Result<String, String> {
    if text.is_empty() || crate::store::dir::is_name(text) {
        return Ok(text.to_owned());
    }
    Err("no id of a quarantine; `rekindle cleanup --list` shows them".to_owned())
}

/// Cleans up, puts back, lists or releases.
///
/// # Errors
/// Exit code 1 where it is refused or fails, 2 for wrong usage or bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    let socket = global.socket.clone();
    let socket = socket.unwrap_or_else(|| settings.socket.path.clone());
    if options.list {
        return report::list(&settings.paths.quarantine_dir, options.output, out);
    }
    if options.release {
        return release(&settings, out);
    }
    let way = way::Way {
        settings: &settings,
        socket,
        options,
    };
    if let Some(id) = &options.undo {
        return undo::run(&way, id, out);
    }
    clean_up(&way, out)
}

fn release(settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
    let released = operation::release(&settings.paths.state_dir, OperationKind::Cleanup);
    let released = released.map_err(|error| {
        Failure::of(Exit::No, &error).hint("look at paths.state_dir; run it as root")
    })?;
    out.data(if released {
        "released: the daemon protects this node again\n"
    } else {
        "this node is not held by a clean-up that is done: nothing to release\n"
    })?;
    Ok(Exit::Done)
}

fn clean_up(way: &way::Way<'_>, out: &mut Out) -> Result<Exit, Failure> {
    let (settings, options) = (way.settings, way.options);
    let left = way.left_behind();
    let resumed = left.as_ref().is_some_and(|(_, held)| !held);
    let asked = Asked {
        force_reason: options.force_reason.clone(),
        kubelet_stopped: options.kubelet_stopped,
        restart_kubelet: options.restart_kubelet,
        keep_etcd: options.keep_etcd,
        resumed,
    };
    let id = left.as_ref().map(|(state, _)| state.id.clone());
    let earlier = id.filter(|_| resumed);
    let (facts, planned) = look(settings, &asked, earlier.as_deref())?;
    let mut report = Report::of(&facts, &planned, options.dry_run);
    if let Some((state, _)) = &left {
        report.earlier(&state.id, resumed);
    }
    if !planned.refused.is_empty() {
        report.print(options.output, out)?;
        let told: Vec<&str> = planned.refused.iter().map(|r| r.why.as_str()).collect();
        let hint = planned.refused.first().map(|r| r.hint.clone());
        return Err(Failure::Told {
            exit: Exit::No,
            message: format!("refused, and nothing was done: {}", told.join("; ")),
            hint,
        });
    }
    let nothing = planned.steps.is_empty() && !resumed;
    if nothing || options.dry_run {
        report.print(options.output, out)?;
        return Ok(Exit::Done);
    }
    // Before it is done, and on stderr where stdout is for a program.
    report.show_steps(options.output, out)?;
    way.confirm("Clean this node up?", out)?;
    let id = carry_out(way, &asked, planned, out)?;
    report.finished(&settings.paths.quarantine_dir, &id);
    report.print(options.output, out)?;
    Ok(Exit::Done)
}

fn look(settings: &Settings, asked: &Asked, id: Option<&str>) -> Result<(Facts, Plan), Failure> {
    let dir = &settings.paths.quarantine_dir;
    let quarantine = match id.map(|id| Quarantine::existing(dir, id)) {
        // Cut off before its quarantine was made.
        None | Some(Err(CleanupError::NoQuarantine(_))) => None,
        Some(Ok(quarantine)) => Some(quarantine),
        Some(Err(error)) => return Err(way::failed(&error)),
    };
    let facts = wait_for(gather(settings, quarantine.as_ref()))?;
    let layout = Layout {
        quarantine_dir: dir.clone(),
        state_dir: settings.paths.state_dir.clone(),
        backup_dir: settings.backup.dir.clone(),
    };
    let planned = plan(&facts, asked, &layout);
    Ok((facts, planned))
}

/// Takes the node, and does every step; gives the quarantine's id.
fn carry_out(
    way: &way::Way<'_>,
    asked: &Asked,
    planned: Plan,
    out: &mut Out,
) -> Result<String, Failure> {
    let settings = way.settings;
    let (now, paths) = (clock::wall(), &settings.paths);
    let first = State {
        id: quarantine::new_id(&paths.quarantine_dir, now),
        force_reason: asked.force_reason.clone(),
        undoing: false,
    };
    let (mut operation, resumed) = way.begin(&first, out)?;
    // A clean-up that was done is over; one that was cut off goes on in its own quarantine.
    let mut state = resumed.unwrap_or(first);
    state.undoing = false;
    operation
        .record("begins", &state)
        .map_err(|error| way::unrecorded(&error))?;
    way.daemon_holds_back(out)?;
    let origin = Origin {
        began: operation.began(),
        node: settings.node.name.clone(),
        force_reason: state.force_reason.clone(),
    };
    let mut quarantine = Quarantine::open(&paths.quarantine_dir, &state.id, &origin)
        .map_err(|error| way::failed(&error))?;
    let mut planned = planned;
    let asked = Asked {
        resumed: true,
        ..asked.clone()
    };
    for _ in 0..PASSES {
        pass(
            settings,
            &mut operation,
            &state,
            &planned,
            &mut quarantine,
            out,
        )?;
        // What the kubelet or the daemon put down between the first look and the last step.
        (_, planned) = look(settings, &asked, Some(&state.id))?;
        if let (false, Some(unsure)) = (asked.restart_kubelet, planned.refused.first()) {
            return Err(Failure::Told {
                exit: Exit::No,
                message: format!("done, and not verified: {}", unsure.why),
                hint: Some(format!("{}; then run it again", unsure.hint)),
            });
        }
        let steps = &mut planned.steps;
        steps.retain(|step| step.kind != StepKind::StartKubelet);
        if !steps.is_empty() && asked.restart_kubelet {
            // The kubelet runs again: what there is now is its own.
            steps.clear();
        }
        if steps.is_empty() {
            let at = format!("quarantine {}", state.id);
            let done = operation.finish_holding(&at, &state);
            return done
                .map(|()| state.id)
                .map_err(|error| way::unrecorded(&error));
        }
    }
    Err(Failure::Told {
        exit: Exit::No,
        message: format!("after {PASSES} passes something still puts Kubernetes back on this node"),
        hint: Some("find out what it is (`rekindle cleanup --dry-run` shows what is there)".into()),
    })
}

fn pass(
    settings: &Settings,
    operation: &mut Operation<State>,
    state: &State,
    planned: &Plan,
    quarantine: &mut Quarantine,
    out: &mut Out,
) -> Result<(), Failure> {
    for (number, step) in planned.steps.iter().enumerate() {
        let at = format!(
            "step {} of {}: {}",
            number + 1,
            planned.steps.len(),
            step.what
        );
        operation
            .record(&at, state)
            .map_err(|error| way::unrecorded(&error))?;
        out.note(&clean(&at));
        let done = wait_for(steps::carry_out(step.kind, settings, quarantine))?;
        let said = done.map_err(|error| {
            let text = format!("{}: {}", step.what, chain(&error));
            Failure::Told {
                exit: Exit::No,
                message: text,
                hint: Some(error.hint()),
            }
        })?;
        out.note(&format!("  {}", clean(&said)));
    }
    Ok(())
}
