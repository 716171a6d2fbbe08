//! Exit codes, and how a failure is told.

use std::error::Error;
use std::process::ExitCode;

use super::output::Out;
use crate::api::client::ClientError;
use crate::config::Mistakes;
pub use crate::core::reading::chain;

/// How a command ended. The README lists the same codes; a test compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Answered, and the answer is no: not found, refused, failed.
    No,
    /// Wrong usage or bad configuration.
    Usage,
    /// The daemon is not reachable.
    Unreachable,
}

impl Exit {
    /// Every code.
    pub const ALL: [Self; 4] = [Self::Done, Self::No, Self::Usage, Self::Unreachable];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The reader of our output went away. No failure.
    BrokenPipe,
    /// Something to tell.
    Told {
        /// The exit code.
        exit: Exit,
        /// What failed: cause.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Failure {
    /// A failure with the chain of its causes.
    pub fn of(exit: Exit, error: &dyn Error) -> Self {
        Self::Told {
            exit,
            message: chain(error),
            hint: None,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Told { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// The same with a hint where there is one.
    #[must_use]
    pub fn maybe_hint(self, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.hint(text),
            None => self,
        }
    }

    /// Tells it on stderr and returns the exit code.
    pub fn tell(self, out: &mut Out) -> Exit {
        match self {
            Self::BrokenPipe => Exit::Done,
            Self::Told {
                exit,
                message,
                hint,
            } => {
                out.note(&format!("error: {message}"));
                if let Some(hint) = hint {
                    out.note(&format!("\nhint: {hint}"));
                }
                exit
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = if error.is_refusal() {
            Exit::No
        } else {
            Exit::Unreachable
        };
        Self::of(exit, &error).hint(error.hint())
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        let count = mistakes.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        Self::Told {
            exit: Exit::Usage,
            message: format!("{count} {noun} in the configuration\n{mistakes}"),
            hint: None,
        }
    }
}
