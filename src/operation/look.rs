//! The daemon's side: what has the node.

use std::path::Path;

use super::{END, Head, Headed, LOCK, read};
use crate::core::operation::{OperationKind, OperationSeen, OperationState, OperationsView};
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::store::dir::{Dir, ReadError};
use crate::store::lock::{self, LockError};

/// The directory below the state directory.
pub const PLACE: &str = "operation";

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the place of operations cannot be read")]
    Read(#[from] ReadError),
    #[error("whether an operation is under way is not known")]
    Lock(#[from] LockError),
    #[error("{0} is of no operation that this version knows")]
    Unheard(String),
    #[error("an operation is under way and has written nothing")]
    Silent,
}

/// What has the node now. Changes nothing; waits while somebody writes a journal. Blocking.
pub fn look(state_dir: &Path) -> Reading<OperationsView> {
    match seen(state_dir) {
        Ok(seen) => Reading::Known(OperationsView { seen }),
        Err(error) => Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error)),
    }
}

fn seen(state_dir: &Path) -> Result<Vec<OperationSeen>, LookError> {
    let dir = match Dir::open(&state_dir.join(PLACE)) {
        Ok(dir) => dir,
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let _gate = lock::wait_dir(dir.walk("")?)?;
    let running = lock::is_held(&dir, LOCK)?;
    for name in dir.names()? {
        let known = |stem| OperationKind::ALL.iter().any(|kind| kind.word() == stem);
        if name.strip_suffix(END).is_some_and(|stem| !known(stem)) {
            return Err(LookError::Unheard(name));
        }
    }
    let mut all = Vec::new();
    for kind in OperationKind::ALL {
        let journal = read(&dir, kind);
        let (state, began, at) = match journal {
            Ok(None) => continue,
            Ok(Some((Headed { head, .. }, _))) => {
                let state = match (head.holding, running) {
                    (true, _) => OperationState::Holding,
                    // At most one is neither done nor refused: the lock is its process's.
                    (false, true) => OperationState::Running { pid: head.pid },
                    (false, false) => OperationState::Unfinished,
                };
                (state, Some(head.began), head.at)
            }
            Err(why) => (OperationState::Damaged(why), None, String::new()),
        };
        all.push(OperationSeen {
            kind,
            state,
            began,
            at,
        });
    }
    let says = |seen: &OperationSeen| !matches!(seen.state, OperationState::Holding);
    if running && !all.iter().any(says) {
        return Err(LookError::Silent);
    }
    Ok(all)
}

/// Whose process has the lock.
pub(super) fn working(dir: &Dir) -> Option<Head> {
    OperationKind::ALL
        .into_iter()
        .filter_map(|kind| read::<serde_json::Value>(dir, kind).ok()?)
        .map(|(journal, _)| journal.head)
        .find(|head| !head.holding)
}
