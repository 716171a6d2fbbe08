//! How a run ended, for people and programs.

use serde::Serialize;

use crate::core::start::journal::{Journal, Objects, Phase};
use crate::core::stored::Engine;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The self-hosted control plane is back, and nothing temporary is left.
    Done,
    /// Everything was taken away again.
    Aborted,
    /// There was nothing to give up.
    Nothing,
    /// The temporary control plane serves; without a kubelet there is no more to be had.
    Temporary,
    /// A signal came; the next run goes on.
    Interrupted,
    /// It could not go on; the next run tries again.
    Failed,
}

/// The final report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The tree.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub asset_dir: String,
    /// Who ran the temporary pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// What became of the objects of `manifests`.
    pub objects: Objects,
    /// Static pods that were left running: no required pod takes their place.
    pub kept: Vec<String>,
    /// Nodes that were deleted by the operator's word.
    pub forgotten: Vec<String>,
    /// What it waited for last.
    pub waits: Vec<String>,
    /// Why it could not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do now.
    pub next: Vec<String>,
}

impl Report {
    /// Of a journal.
    pub(super) fn of(outcome: Outcome, journal: &Journal, waits: Vec<String>) -> Self {
        let mut report = Self {
            outcome,
            phase: Some(journal.phase),
            asset_dir: journal.asset_dir.clone(),
            engine: journal.engine,
            objects: journal.objects.clone(),
            kept: journal
                .kept()
                .map(|component| format!("{}/{}", journal.manifest_dir, component.file))
                .collect(),
            forgotten: journal.forgotten.iter().cloned().collect(),
            waits,
            why: None,
            next: Vec::new(),
        };
        let again = format!("rekindle start --asset-dir {}", journal.asset_dir);
        report.next = match outcome {
            Outcome::Done if report.kept.is_empty() => Vec::new(),
            Outcome::Done => vec![format!(
                "what was left running needs {}: remove both when it is not needed any more",
                journal.secrets_dir
            )],
            Outcome::Aborted | Outcome::Nothing => Vec::new(),
            Outcome::Temporary => vec![
                "self-hosted pods are started by a kubelet: start it on this node".to_owned(),
                format!("then go on: {again}"),
                "until then the temporary pods run on; one that ends is started again only while \
                 `rekindle start` runs"
                    .to_owned(),
            ],
            Outcome::Interrupted | Outcome::Failed => vec![
                format!("go on: {again}"),
                "or take back what was placed: rekindle start --abort".to_owned(),
            ],
        };
        report
    }

    /// There was none under way.
    pub(super) fn nothing() -> Self {
        Self {
            outcome: Outcome::Nothing,
            phase: None,
            asset_dir: String::new(),
            engine: None,
            objects: Objects::default(),
            kept: Vec::new(),
            forgotten: Vec::new(),
            waits: Vec::new(),
            why: None,
            next: Vec::new(),
        }
    }

    /// It is what the operator wanted, as far as this node can give it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        match self.outcome {
            Outcome::Done | Outcome::Temporary => self.objects.failed.is_empty(),
            Outcome::Aborted | Outcome::Nothing => true,
            Outcome::Interrupted | Outcome::Failed => false,
        }
    }
}
