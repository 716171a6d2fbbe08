//! Long operations of the command line that the daemon must not interfere with.
//!
//! One that was cut off holds the daemon back like one that is under way, for as long as nobody
//! finishes or aborts it: how far it came is known to it alone, and a copy started between its
//! steps could be the second one, or run on data that is half moved. No timer ends that. It is said
//! loudly instead: in the first line of `status`, as a problem, by `doctor` and by
//! `rekindle_operation_unfinished`, on which there is an alert.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    /// `rekindle start`: a temporary control plane, until the real one runs.
    Start,
    /// `rekindle cleanup`: everything of Kubernetes is taken off the node. The daemon stops its own
    /// copies meanwhile.
    Cleanup,
    /// Recovery mode has etcd's data in its hands.
    RecoveryMode,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Start, Self::Cleanup, Self::RecoveryMode];

    /// The command, the journal's name and a metric label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Cleanup => "cleanup",
            Self::RecoveryMode => "recovery-mode",
        }
    }

    /// What ends one that was cut off.
    #[must_use]
    pub fn ends(self) -> &'static str {
        match self {
            Self::Start => {
                "`rekindle start` again goes on with it, `rekindle start --abort` takes back what \
                 it placed"
            }
            Self::Cleanup => {
                "`rekindle cleanup` again finishes it, `rekindle cleanup --undo` puts everything \
                 back"
            }
            Self::RecoveryMode => {
                "the daemon goes on with it when it runs; without one `rekindle recovery-mode \
                 enter --standalone` does"
            }
        }
    }

    /// It is recovery mode's own: no reason for it to wait.
    #[must_use]
    pub fn is_of_recovery(self) -> bool {
        self == Self::RecoveryMode
    }

    /// Nothing of Kubernetes is to run meanwhile, our own copies included.
    #[must_use]
    pub fn clears(self) -> bool {
        self == Self::Cleanup
    }
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// A process works on it.
    Running {
        /// Its process id, in its own pid namespace.
        pid: u32,
    },
    /// It was cut off: no process works on it.
    Unfinished,
    /// It is done, and the node is to stay as it left it until somebody goes on.
    Holding,
    /// Its journal cannot be read, so nobody knows how far it came: the reason.
    Damaged(String),
}

/// One operation as its journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationSeen {
    /// Which.
    pub kind: OperationKind,
    /// How it stands.
    pub state: OperationState,
    /// When it was begun; `None` where the journal is damaged.
    pub began: Option<Timestamp>,
    /// What it does, or did last, in words.
    pub at: String,
}

/// Every operation that is under way, unfinished or holds the node; each kind at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationsView {
    /// By kind.
    pub seen: Vec<OperationSeen>,
}

impl OperationSeen {
    /// No process works on it: an operator has to.
    #[must_use]
    pub fn is_left(&self) -> bool {
        !matches!(self.state, OperationState::Running { .. })
    }

    /// A process works on it that hands over, and freezes counterparts until their turn comes.
    #[must_use]
    pub fn freezes(&self) -> bool {
        self.kind == OperationKind::Start && !self.is_left()
    }

    /// Which operation, since when, and what ends it: one sentence.
    #[must_use]
    pub fn said(&self) -> String {
        let word = self.kind.word();
        let since = self.began.map_or(String::new(), |began| {
            format!(" since {}", began.strftime("%Y-%m-%d %H:%M:%S UTC"))
        });
        let at = if self.at.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.at)
        };
        let ends = self.kind.ends();
        match &self.state {
            OperationState::Running { pid } => format!(
                "`rekindle {word}` is under way{since}, process {pid}{at}: nothing is started, \
                 handed over or removed here until it ends"
            ),
            OperationState::Unfinished => format!(
                "`rekindle {word}` is unfinished{since} and no process works on it{at}: NOTHING IS \
                 PROTECTED HERE until it is ended: {ends}"
            ),
            OperationState::Holding => format!(
                "this node is held as `rekindle {word}` left it{since}{at}: nothing is started \
                 here until `rekindle start` has brought a control plane back; \
                 `rekindle {word} --undo` puts everything back, `rekindle {word} --release` lets \
                 the daemon protect it again as it is"
            ),
            OperationState::Damaged(why) => format!(
                "the journal of `rekindle {word}` is damaged ({why}): how far it came is not \
                 known, and NOTHING IS PROTECTED HERE until it is ended: {ends}"
            ),
        }
    }
}
