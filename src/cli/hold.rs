//! `rekindle hold`: an operator pauses every automatic action for a while.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::{Out, clean};
use super::status_view::duration as words;
use super::{Format, Global, duration};
use crate::config::{self, Settings};
use crate::core::operator_hold::{HoldSeen, LONGEST, OperatorHold};
use crate::core::reading::Reading;
use crate::daemon::{clock, hold as seen};
use crate::hold::{self, HoldError};

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
For an upgrade of the system or of the cluster: nothing is started, handed over, removed, pruned or
recovered by itself until the hold ends. Everything is still observed and reported, backups go on, a
copy that runs stays, one that is being stopped is stopped. It ends by itself, after at most 7 days,
and survives a restart and a reboot. Needs root and no daemon. Without options it is shown.

Examples:
  rekindle hold --for 30m --reason 'kubeadm upgrade to 1.37.2'
  rekindle hold
  rekindle hold --release
  rekindle hold -o json | jq .held";

/// Options of `hold`.
#[derive(Debug, Args)]
pub struct Options {
    /// Hold this node for so long: 90s, 30m, 2h, 1d
    #[arg(long = "for", value_name = "DURATION", value_parser = length, requires = "reason")]
    length: Option<Duration>,
    /// Why, for whoever looks at this node meanwhile
    #[arg(long, value_name = "TEXT", value_parser = reason, requires = "length")]
    reason: Option<String>,
    /// End the hold now
    #[arg(long, conflicts_with_all = ["length", "reason"])]
    release: bool,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

fn length(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text)?;
    if (Duration::from_secs(1)..=LONGEST).contains(&length) {
        return Ok(length);
    }
    Err("a hold lasts from 1 second to 7 days".to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if (3..=1000).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err("say why in 3 to 1000 characters, on one line".to_owned())
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Told {
    held: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    reason: String,
    by: String,
    began: Timestamp,
    until: Timestamp,
    seconds_left: u64,
}

/// Holds, releases or shows.
///
/// # Errors
/// Exit code 1 where that cannot be done, 2 for wrong usage or bad configuration.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let settings = config::load(global.config.as_deref())?.settings;
    match (&options.length, &options.reason) {
        _ if options.release => release(&settings, out)?,
        (Some(length), Some(reason)) => begin(&settings, *length, reason, out)?,
        _ => {}
    }
    show(&settings, options.output, out)
}

fn begin(
    settings: &Settings,
    length: Duration,
    reason: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let boot_id = clock::boot_id(&settings.paths.boot_id_file)
        .map_err(|error| Failure::of(Exit::No, &error).hint("look at paths.boot_id_file"))?;
    let (now, wall) = (clock::now(), clock::wall());
    let hold = OperatorHold::new(length, (reason, &who()), &boot_id, now, wall);
    let before = hold::place(&settings.paths.state_dir, &hold).map_err(|error| failed(&error))?;
    if let Some(before) = before {
        let before = before.seen(before.ends);
        out.note(&format!("instead of: {}", clean(&before.said())));
    }
    Ok(())
}

fn release(settings: &Settings, out: &mut Out) -> Result<(), Failure> {
    let released = hold::release(&settings.paths.state_dir).map_err(|error| failed(&error))?;
    out.note(match released {
        None => "this node is not held: nothing to release",
        Some(Some(_)) => "released: the daemon acts by itself again",
        Some(None) => "released: the hold was damaged, and is moved aside; the daemon acts again",
    });
    Ok(())
}

fn show(settings: &Settings, output: Format, out: &mut Out) -> Result<Exit, Failure> {
    let hold = match seen::seen(settings) {
        Reading::Known(hold) => hold,
        Reading::Unknown(unseen) => {
            return Err(Failure::Told {
                exit: Exit::No,
                message: unseen.detail,
                hint: Some(HINT.to_owned()),
            });
        }
    };
    let text = match (output, hold) {
        (Format::Json, hold) => {
            let told = Told {
                held: hold.is_some(),
                hold: hold.map(shown),
            };
            serde_json::to_string_pretty(&told).map_err(|error| Failure::of(Exit::No, &error))?
        }
        (Format::Table, None) => "not held".to_owned(),
        (Format::Table, Some(hold)) => {
            let left = words(hold.left(clock::now()).as_secs());
            format!("{}; {left} left", clean(&hold.said()))
        }
    };
    out.data(text + "\n")?;
    Ok(Exit::Done)
}

fn shown(hold: HoldSeen) -> Shown {
    Shown {
        seconds_left: hold.left(clock::now()).as_secs(),
        reason: hold.reason,
        by: hold.by,
        began: hold.began,
        until: hold.until,
    }
}

const HINT: &str = "run it as root; `rekindle status` shows a hold to the group of the socket, and \
     `rekindle hold --release` moves a damaged one aside";

fn failed(error: &HoldError) -> Failure {
    Failure::of(Exit::No, error)
        .hint("run it as root; look at paths.state_dir, and whether its disk is full")
}

/// Who asks: the user who became root, where sudo tells.
fn who() -> String {
    let name = std::env::var_os("SUDO_USER").and_then(|name| name.into_string().ok());
    let name = name.filter(|name| !name.is_empty() && name.len() <= 64);
    let name = name.filter(|name| !name.contains(char::is_control));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
