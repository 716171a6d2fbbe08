//! Where the socket asks the task of recovery: bounded, each question answered at once.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::core::recovery::plan::{Asked, Plan};

/// Asked at one time.
const QUEUE: usize = 4;
/// Looking at everything that there is to recover with takes some calls.
const DEADLINE: Duration = Duration::from_secs(20);

/// The plans, and what they lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// For what is lost, or for what could be.
    pub plans: Vec<Plan>,
    /// Sources that nobody has asked yet, as the daemon has just started.
    pub unasked: Vec<String>,
}

/// What can be asked of the task.
#[derive(Debug)]
pub enum Question {
    /// The plans: for what is lost, and for what could be.
    Plan(Option<Asked>, oneshot::Sender<Planned>),
    /// Begin a recovery: answers its id, or why not.
    Enter(Asked, oneshot::Sender<Result<String, String>>),
    /// End the recovery that is under way, and the latch.
    Exit(u32, oneshot::Sender<Result<String, String>>),
}

/// The asking end. Cloning it asks at the same place.
#[derive(Debug, Clone)]
pub struct Door(mpsc::Sender<Question>);

/// Nobody answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent(pub &'static str);

impl Door {
    /// A door, and where it is answered.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// The plans.
    ///
    /// # Errors
    /// Where the task does not answer.
    pub async fn plan(&self, asked: Option<Asked>) -> Result<Planned, Silent> {
        self.ask(|answer| Question::Plan(asked, answer)).await
    }

    /// Begins a recovery; gives its id.
    ///
    /// # Errors
    /// Where the task does not answer. Why it was not begun is the inner error.
    pub async fn enter(&self, asked: Asked) -> Result<Result<String, String>, Silent> {
        self.ask(|answer| Question::Enter(asked, answer)).await
    }

    /// Ends the recovery that is under way, or the latch; says what it did.
    ///
    /// # Errors
    /// As [`Door::enter`].
    pub async fn exit(&self, uid: u32) -> Result<Result<String, String>, Silent> {
        self.ask(|answer| Question::Exit(uid, answer)).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Silent> {
        let (answer, answered) = oneshot::channel();
        match self.0.try_send(question(answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Silent("too many ask")),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Silent("the daemon stops")),
        }
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Silent("the daemon stops")),
            Err(_) => Err(Silent("the task of recovery does not answer")),
        }
    }
}
