//! What a clean-up would do or did, for people and programs; and the list of quarantines.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::way;
use crate::cleanup::quarantine;
use crate::cli::Format;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Out, clean, columns};
use crate::core::cleanup::facts::{Answer, Facts};
use crate::core::cleanup::list::List;
use crate::core::cleanup::plan::{Plan, Refusal, Step};

/// Most characters of an answer that are shown to people.
const DETAIL: usize = 160;

/// The whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Everything below was done.
    done: bool,
    dry_run: bool,
    /// Who was asked whether a control plane serves, and what came back.
    asked: Vec<Served>,
    steps: Vec<Step>,
    /// Why nothing is done.
    refused: Vec<Refusal>,
    /// What is left as it is.
    left: Vec<String>,
    /// The quarantine, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<String>,
    /// The directory of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    /// A run that was cut off is gone on with.
    resumed: bool,
}

#[derive(Debug, Serialize)]
struct Served {
    who: String,
    /// `healthy`, `lives` or `silent`.
    answer: &'static str,
    detail: String,
}

impl Report {
    pub(super) fn of(facts: &Facts, plan: &Plan, dry_run: bool) -> Self {
        let asked = facts.control_plane.iter().map(|served| {
            let (answer, detail) = match &served.answer {
                Answer::Healthy => ("healthy", String::new()),
                Answer::Lives(how) => ("lives", how.clone()),
                Answer::Silent(why) => ("silent", why.clone()),
            };
            Served {
                who: served.who.clone(),
                answer,
                detail,
            }
        });
        Self {
            done: false,
            dry_run,
            asked: asked.collect(),
            steps: plan.steps.clone(),
            refused: plan.refused.clone(),
            left: plan.left.clone(),
            quarantine: None,
            directory: None,
            resumed: false,
        }
    }

    /// An earlier run's quarantine.
    pub(super) fn earlier(&mut self, id: &str, resumed: bool) {
        self.quarantine = Some(id.to_owned());
        self.resumed = resumed;
    }

    pub(super) fn finished(&mut self, quarantine_dir: &Path, id: &str) {
        self.done = true;
        self.quarantine = Some(id.to_owned());
        self.directory = Some(quarantine_dir.join(id).display().to_string());
    }

    /// The steps before they are done.
    pub(super) fn show_steps(&self, format: Format, out: &mut Out) -> Result<(), Failure> {
        match format {
            Format::Json => out.note(self.text().trim_end()),
            Format::Table => out.data(self.text())?,
        }
        out.flush()
    }

    pub(super) fn print(&self, format: Format, out: &mut Out) -> Result<(), Failure> {
        match format {
            Format::Json => {
                let text = serde_json::to_string_pretty(self);
                let text = text.map_err(|error| Failure::of(Exit::No, &error))?;
                out.data(text + "\n")
            }
            Format::Table if self.done => out.data(self.ended()),
            Format::Table => out.data(self.text()),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for served in &self.asked {
            let detail: String = clean(&served.detail).chars().take(DETAIL).collect();
            let detail = if detail.is_empty() {
                detail
            } else {
                format!(": {detail}")
            };
            let _ = writeln!(text, "{} is {}{detail}", clean(&served.who), served.answer);
        }
        if let (true, Some(id)) = (self.resumed, &self.quarantine) {
            let _ = writeln!(
                text,
                "a run that was cut off is gone on with: quarantine {id}"
            );
        }
        if self.steps.is_empty() && self.refused.is_empty() {
            text.push_str("nothing to clean up");
            if let (false, Some(id)) = (self.resumed, &self.quarantine) {
                let _ = write!(text, ": that was done, quarantine {id}");
            }
            text.push('\n');
        }
        for (number, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "  {}. {}", number + 1, clean(&step.what));
        }
        for left in &self.left {
            let _ = writeln!(text, "left: {}", clean(left));
        }
        for refusal in &self.refused {
            let _ = writeln!(text, "refused: {}", clean(&refusal.why));
        }
        if self.dry_run {
            text.push_str("nothing was done\n");
        }
        text
    }

    fn ended(&self) -> String {
        let directory = self.directory.as_deref().unwrap_or_default();
        format!(
            "cleaned up; what was there is in {}\nnext: `rekindle recover` and `rekindle start`, \
             or `rekindle cleanup --undo`; the daemon starts nothing here until then\n",
            clean(directory)
        )
    }
}

#[derive(Debug, Serialize)]
struct Quarantines<'a> {
    quarantines: &'a [List],
    problems: &'a [String],
}

/// Prints the quarantines.
pub(super) fn list(dir: &Path, format: Format, out: &mut Out) -> Result<Exit, Failure> {
    let (lists, problems) = quarantine::all(dir).map_err(|error| way::failed(&error))?;
    match format {
        Format::Json => {
            let told = Quarantines {
                quarantines: &lists,
                problems: &problems,
            };
            let text = serde_json::to_string_pretty(&told);
            let text = text.map_err(|error| Failure::of(Exit::No, &error))?;
            out.data(text + "\n")?;
        }
        Format::Table => {
            let mut rows = vec![
                ["ID", "ENTRIES", "PUT BACK", "FORCED BECAUSE"]
                    .map(str::to_owned)
                    .to_vec(),
            ];
            rows.extend(lists.iter().map(|list| {
                let undone = list.undone;
                vec![
                    list.id.clone(),
                    list.entries.len().to_string(),
                    undone.map_or("-".into(), |at| at.strftime("%Y-%m-%d %H:%M").to_string()),
                    list.force_reason.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            }));
            out.data(columns(&rows, ""))?;
        }
    }
    for problem in &problems {
        out.note(&format!("note: {}", clean(problem)));
    }
    Ok(if problems.is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}
