//! `rekindle recovery-mode plan`: every way back, with its cost and what stands in it.

use std::fmt::Write;

use clap::Args;

use super::plans;
use crate::cli::ask::{Places, wait_for};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, json};
use crate::cli::{Format, Global};
use crate::core::recovery::hygiene::foretold::Then;
use crate::core::recovery::plan::{Plan, RungPlan};
use crate::core::recovery::rung::Rung;

/// Shown below `--help`.
pub const EXAMPLES: &str = "\
Changes nothing. While nothing is lost it tells what would be done if it were lost now. Exit code 1
where no way is open.

Examples:
  rekindle recovery-mode plan
  rekindle recovery-mode plan --from backup
  rekindle recovery-mode plan -o json | jq '.plans[0].chosen'";

/// Options of `recovery-mode plan`.
#[derive(Debug, Args)]
pub struct Options {
    /// As if an operator asked for this way
    #[arg(long, value_name = "RUNG", value_parser = super::rung)]
    from: Option<Rung>,
    /// How it is printed
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Asks and tells.
///
/// # Errors
/// Exit code 3 where the daemon does not answer.
pub fn run(global: &Global, options: &Options, out: &mut Out) -> Result<Exit, Failure> {
    let places = Places::of(global)?;
    let target = match options.from {
        None => "/v1/recovery-mode/plan".to_owned(),
        Some(from) => format!("/v1/recovery-mode/plan?from={}", from.word()),
    };
    let say = |line: &str| out.note(line);
    let answer = wait_for(plans::known(places.socket(), &target, say))??;
    let plans = &answer.plans;
    match options.output {
        Format::Json => json(&answer, out)?,
        Format::Table => {
            let told: Vec<String> = plans.iter().map(text).collect();
            out.data(told.join("\n"))?;
        }
    }
    Ok(if plans.iter().all(Plan::has_way) {
        Exit::Done
    } else {
        Exit::No
    })
}

/// One plan for people.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut text = match plan.chosen {
        Some(rung) => format!("{}: {rung}\n", plan.loss.word()),
        None if plan.has_way() => format!("{}: waits for an operator\n", plan.loss.word()),
        None => format!("{}: NO WAY BACK\n", plan.loss.word()),
    };
    for way in &plan.rungs {
        let mark = if plan.chosen == Some(way.rung) {
            '>'
        } else {
            ' '
        };
        let rung = way.rung.word();
        let _ = if way.loses_seconds.is_none() {
            writeln!(text, " {mark} {rung:<24} what it would lose is not known")
        } else {
            let (loses, takes) = (clean(&way.loses), way.takes_seconds);
            writeln!(text, " {mark} {rung:<24} loses {loses}, about {takes} s")
        };
        for (label, lines) in lines(way) {
            for line in lines {
                let _ = writeln!(text, "     {label}{}", clean(line));
            }
        }
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "   warning: {}", clean(warning));
    }
    for (then, label) in [
        (Then::AfterTheRestore, "cleared up after a restore"),
        (Then::SwitchedOff, "switched off in recovery.hygiene"),
        (Then::NothingToDo, "nothing to clear up"),
    ] {
        for kind in plan.hygiene.iter().filter(|kind| kind.then == then) {
            let (word, what) = (clean(&kind.kind), clean(&kind.what));
            let _ = writeln!(text, "   {label}: {word}: {what}");
        }
    }
    text
}

fn lines(way: &RungPlan) -> [(&'static str, &Vec<String>); 3] {
    [
        ("with: ", &way.with),
        ("blocked: ", &way.blockers),
        ("asks: ", &way.asks),
    ]
}
