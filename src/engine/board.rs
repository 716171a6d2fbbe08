//! The published copy of what the engine's pods do.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::core::id::CheckpointId;
use crate::core::observed::{EnginePod, EngineView};
use crate::core::reading::{Reading, Unseen};

/// What is published, and what it is made of: while containerd is silent the view is unknown, and
/// afterwards the pods are still known here.
#[derive(Debug)]
pub(super) struct Board {
    publish: watch::Sender<Reading<EngineView>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    unseen: Option<Unseen>,
    view: EngineView,
}

impl Board {
    pub(super) fn new() -> Self {
        let Reading::Unknown(unseen) = Reading::<()>::not_asked() else {
            unreachable!("nobody has asked yet")
        };
        Self {
            publish: watch::Sender::new(Reading::not_asked()),
            inner: Mutex::new(Inner {
                unseen: Some(unseen),
                view: EngineView::default(),
            }),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Reading<EngineView>> {
        self.publish.subscribe()
    }

    /// containerd answers (`None`), or why not.
    pub(super) fn seen(&self, unseen: Option<Unseen>) {
        self.change(|inner| inner.unseen = unseen);
    }

    /// Why nothing is known, while nothing is.
    pub(super) fn unseen(&self) -> Option<Unseen> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.unseen.clone()
    }

    pub(super) fn set(&self, id: &CheckpointId, pod: EnginePod) {
        self.change(|inner| {
            inner.view.pods.insert(id.clone(), pod);
        });
    }

    pub(super) fn remove(&self, id: &CheckpointId) {
        self.change(|inner| {
            inner.view.pods.remove(id);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut inner);
        let reading = match &inner.unseen {
            Some(unseen) => Reading::Unknown(unseen.clone()),
            None => Reading::Known(inner.view.clone()),
        };
        self.publish.send_if_modified(|published| {
            let changed = *published != reading;
            *published = reading;
            changed
        });
    }
}
