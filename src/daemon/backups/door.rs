//! Where the socket asks for a backup. Bounded: a few may ask at one time, each is answered at
//! once whether its backup was begun.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Asked at one time.
const QUEUE: usize = 4;
/// The task decides at once; this only bounds a hang.
const DEADLINE: Duration = Duration::from_secs(4);

/// Why no backup was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In words.
    pub reason: String,
    /// Something runs already; otherwise backups are off or the daemon stops.
    pub busy: bool,
}

/// The asking end. Cloning it asks at the same place.
#[derive(Debug, Clone)]
pub struct Door(mpsc::Sender<Asked>);

/// One request for a backup.
pub type Asked = oneshot::Sender<Result<u64, Refused>>;

impl Door {
    /// A door, and where it is answered.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Asks for a backup now; answers its number as soon as it is begun.
    ///
    /// # Errors
    /// Why it was not begun.
    pub async fn now(&self) -> Result<u64, Refused> {
        let refused = |reason: &str, busy| Refused {
            reason: reason.to_owned(),
            busy,
        };
        let (answer, answered) = oneshot::channel();
        match self.0.try_send(answer) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(refused("too many ask for a backup", true));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(refused("the daemon stops", false));
            }
        }
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(refused("the daemon stops", false)),
            Err(_) => Err(refused("the task of backups does not answer", false)),
        }
    }
}
