//! What has been read of the wanted objects and tokens: one follower for each, one owner of all.
//! Unknown is not absent: nothing known is dropped because the API server is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::access::Access;
use super::{Patience, Wanted, object, token};
use crate::core::manifest::gathered::{Gathered, Object};
use crate::core::manifest::needs::{ObjectRef, TokenRef};

/// What a follower has to say.
pub(super) enum News {
    /// An object's data, its absence, or why it cannot be read now.
    Object(ObjectRef, Result<Option<Object>, String>),
    /// A token, or why it cannot be had now.
    Token(TokenRef, Result<Vec<u8>, String>),
}

/// Where the results are published.
pub(super) struct Outputs {
    gathered: watch::Sender<Arc<Gathered>>,
    problems: watch::Sender<BTreeMap<ObjectRef, String>>,
    token_problems: watch::Sender<BTreeMap<TokenRef, String>>,
}

type Inputs = (
    watch::Receiver<Arc<Gathered>>,
    watch::Receiver<BTreeMap<ObjectRef, String>>,
    watch::Receiver<BTreeMap<TokenRef, String>>,
);

/// The channels of the results.
pub(super) fn outputs() -> (Outputs, Inputs) {
    let (gathered, gathered_receiver) = watch::channel(Arc::default());
    let (problems, problems_receiver) = watch::channel(BTreeMap::new());
    let (token_problems, token_problems_receiver) = watch::channel(BTreeMap::new());
    let outputs = Outputs {
        gathered,
        problems,
        token_problems,
    };
    let inputs = (
        gathered_receiver,
        problems_receiver,
        token_problems_receiver,
    );
    (outputs, inputs)
}

/// Follows what is wanted until nobody can want anything any more.
pub(super) async fn follow(
    access: Arc<Access>,
    patience: Patience,
    mut wanted: watch::Receiver<Wanted>,
    outputs: Outputs,
) {
    let (sender, mut news) = mpsc::channel(32);
    let mut objects: BTreeMap<ObjectRef, AbortOnDropHandle<()>> = BTreeMap::new();
    let mut tokens: BTreeMap<TokenRef, AbortOnDropHandle<()>> = BTreeMap::new();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = wanted.borrow_and_update().clone();
                adopt(&mut objects, now.objects, |object| {
                    object::follow(object, Arc::clone(&access), patience.clone(), sender.clone())
                });
                adopt(&mut tokens, now.tokens, |token| {
                    token::follow(token, Arc::clone(&access), patience.clone(), sender.clone())
                });
                outputs.keep(|object| objects.contains_key(object), |token| tokens.contains_key(token));
            }
            _ = news.recv_many(&mut batch, 32) => {
                for news in batch.drain(..) {
                    // What a follower said before it was dropped does not count.
                    match news {
                        News::Object(object, state) if objects.contains_key(&object) => {
                            outputs.object(object, state);
                        }
                        News::Token(token, state) if tokens.contains_key(&token) => {
                            outputs.token(token, state);
                        }
                        News::Object(..) | News::Token(..) => {}
                    }
                }
            }
        }
    }
}

/// Starts followers of what is newly wanted and ends those of what is not wanted any more.
fn adopt<K: Ord + Clone, F: Future<Output = ()> + Send + 'static>(
    running: &mut BTreeMap<K, AbortOnDropHandle<()>>,
    wanted: BTreeSet<K>,
    start: impl Fn(K) -> F,
) {
    running.retain(|key, _| wanted.contains(key));
    for key in wanted {
        running
            .entry(key.clone())
            .or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(start(key))));
    }
}

impl Outputs {
    fn keep(&self, object: impl Fn(&ObjectRef) -> bool, token: impl Fn(&TokenRef) -> bool) {
        self.gathered.send_if_modified(|gathered| {
            let stale = gathered.objects.keys().any(|key| !object(key))
                || gathered.tokens.keys().any(|key| !token(key));
            if stale {
                let gathered = Arc::make_mut(gathered);
                gathered.objects.retain(|key, _| object(key));
                gathered.tokens.retain(|key, _| token(key));
            }
            stale
        });
        retain(&self.problems, object);
        retain(&self.token_problems, token);
    }

    fn object(&self, object: ObjectRef, state: Result<Option<Object>, String>) {
        match state {
            Ok(state) => {
                retain(&self.problems, |key| *key != object);
                self.gathered.send_if_modified(|gathered| {
                    let new = gathered.objects.get(&object) != Some(&state);
                    if new {
                        Arc::make_mut(gathered).objects.insert(object, state);
                    }
                    new
                });
            }
            Err(text) => complain(&self.problems, object, text),
        }
    }

    fn token(&self, token: TokenRef, state: Result<Vec<u8>, String>) {
        match state {
            Ok(value) => {
                retain(&self.token_problems, |key| *key != token);
                self.gathered.send_modify(|gathered| {
                    Arc::make_mut(gathered).tokens.insert(token, value);
                });
            }
            Err(text) => complain(&self.token_problems, token, text),
        }
    }
}

fn complain<K: Ord>(problems: &watch::Sender<BTreeMap<K, String>>, key: K, text: String) {
    problems.send_if_modified(|problems| {
        let new = problems.get(&key) != Some(&text);
        if new {
            problems.insert(key, text);
        }
        new
    });
}

fn retain<K: Ord>(problems: &watch::Sender<BTreeMap<K, String>>, keep: impl Fn(&K) -> bool) {
    problems.send_if_modified(|problems| {
        let before = problems.len();
        problems.retain(|key, _| keep(key));
        problems.len() != before
    });
}
