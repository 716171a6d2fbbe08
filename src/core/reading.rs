//! What one source said about the node: a value, or why there is none.

use serde::{Deserialize, Serialize};

/// What one source said at one moment. `Unknown` is never "absent" (invariant 2), so there is no
/// `Default` and no helper that turns it into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// The source answered.
    Known(T),
    /// The source did not answer, or not with anything usable.
    Unknown(Unseen),
}

/// Why a source has nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// The class of failure, for decisions and metric labels.
    pub kind: UnseenKind,
    /// The whole error chain in one line, for people. Never holds a secret.
    pub detail: String,
}

/// The closed set of reasons for an unknown reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnseenKind {
    /// Nobody has asked yet (the daemon has just started) or the source is switched off.
    NotAsked,
    /// No connection: refused, no such socket, no route.
    Unreachable,
    /// No answer within the deadline.
    TimedOut,
    /// An answer, and it was 401 or 403: the source lives but will not tell us.
    Denied,
    /// An answer that cannot be used: bad status, bad encoding, truncated.
    Unreadable,
    /// An answer larger than its bound.
    TooLarge,
}

impl UnseenKind {
    /// The word shown to people and used as a metric label.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAsked => "not-asked",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Denied => "denied",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too-large",
        }
    }
}

impl Unseen {
    /// An unseen reading with its class and the text for people.
    #[must_use]
    pub fn new(kind: UnseenKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// What is said of a source that nobody has asked yet.
    #[must_use]
    pub fn never_asked() -> &'static str {
        "not asked yet"
    }

    /// Nobody has asked yet; that may change in a moment.
    #[must_use]
    pub fn was_never_asked(&self) -> bool {
        self.kind == UnseenKind::NotAsked && self.detail == Self::never_asked()
    }

    /// An unseen reading with an error and all its causes as the text for people.
    #[must_use]
    pub fn because(kind: UnseenKind, error: &dyn std::error::Error) -> Self {
        Self::new(kind, chain(error))
    }
}

/// An error and its causes in one line: the one printer of error chains.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

impl<T> Reading<T> {
    /// `Unknown` because nobody has asked yet.
    #[must_use]
    pub fn not_asked() -> Self {
        Self::Unknown(Unseen::new(UnseenKind::NotAsked, Unseen::never_asked()))
    }

    /// The value where there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Why there is no value, where there is none.
    pub fn unseen(&self) -> Option<&Unseen> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(unseen) => Some(unseen),
        }
    }

    /// The same reading of something derived from the value.
    pub fn map<'a, U>(&'a self, derive: impl FnOnce(&'a T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(derive(value)),
            Self::Unknown(unseen) => Reading::Unknown(unseen.clone()),
        }
    }
}
