//! What `rekindle doctor` finds: facts become findings, the worst first. Where the facts come from
//! is not known here.

pub mod backup;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How bad a finding is, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, and will not for long, or not in every case; also what cannot be known.
    Warn,
    /// Does not work: a disaster now would cost more than it must.
    Fail,
}

impl Severity {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it belongs to: `daemon`, `backups`.
    pub section: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, one sentence.
    pub what: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// What to do; `None` where nothing is to do.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without time and hint.
    pub fn new(section: &str, severity: Severity, what: impl Into<String>) -> Self {
        Self {
            section: section.to_owned(),
            severity,
            what: what.into(),
            since: None,
            hint: None,
        }
    }

    /// The same, since `since`.
    #[must_use]
    pub fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The worst of them; nothing found is no harm.
pub fn worst(findings: &[Finding]) -> Severity {
    let severities = findings.iter().map(|finding| finding.severity);
    severities.max().unwrap_or(Severity::Ok)
}
