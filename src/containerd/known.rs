//! What is known of a namespace while containerd is being asked about it. Events do not wait for
//! an answer: a shim that is just ending its task takes its time to give one, and what happens
//! meanwhile may be a parent's end. So an event may overtake an answer, which is then older.

use std::collections::BTreeSet;

use super::listing::{Container, Listing, Process, Record, Told};
use super::subscribe::Happened;

/// More containers than this to be asked about: a complete listing is cheaper.
pub(super) const BURST: usize = 64;

/// Something to ask containerd.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// What is there at all?
    All,
    /// What became of this container?
    One(String),
}

/// What containerd said.
pub(super) enum Answer {
    /// Everything.
    All(Told),
    /// One container and its task; `None` where there is no such container.
    One(String, Option<Box<(Container, Option<Process>)>>),
}

/// The containers of a namespace, and of which of them it is not certain.
#[derive(Default)]
pub(super) struct Known {
    pub(super) listing: Listing,
    /// Something happened to these, and nobody has asked since.
    doubtful: BTreeSet<String>,
}

impl Known {
    /// Takes over what events themselves say of tasks; whether that changed anything. Their
    /// containers are asked about afterwards.
    pub(super) fn hear(&mut self, seen: Vec<Happened>) -> bool {
        let mut changed = false;
        for it in seen {
            if let (Some(event), Some(record)) = (it.task, self.listing.get_mut(&it.id)) {
                changed |= record.hear(event);
            }
            self.doubtful.insert(it.id);
        }
        changed
    }

    /// What to ask next, if anything. `all`: a complete listing is due.
    pub(super) fn question(&mut self, all: bool) -> Option<Question> {
        if all || self.doubtful.len() > BURST {
            self.doubtful.clear();
            return Some(Question::All);
        }
        self.doubtful.pop_first().map(Question::One)
    }

    /// Takes over an answer; whether that is news. Of a container to which something happened
    /// since the question, the events are believed, and it is asked about again.
    pub(super) fn learn(&mut self, answer: Answer) -> bool {
        match answer {
            Answer::All(told) => {
                let mut listing = told.beside(&self.listing);
                for id in &self.doubtful {
                    if let (Some(told), Some(known)) = (listing.get_mut(id), self.listing.get(id)) {
                        (told.task, told.pid) = (known.task, known.pid);
                    }
                }
                let news = listing != self.listing;
                self.listing = listing;
                news
            }
            Answer::One(id, _) if self.doubtful.contains(&id) => false,
            Answer::One(id, None) => self.listing.remove(&id).is_some(),
            Answer::One(id, Some(told)) => {
                let (container, task) = *told;
                let before = self.listing.get(&id);
                let record = Record::of(container, task.as_ref(), before);
                let news = before != Some(&record);
                self.listing.insert(id, record);
                news
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::containerd::subscribe::TaskEvent;
    use crate::core::observed::TaskState;

    fn running(pid: u32) -> Process {
        Process {
            pid,
            status: containerd_client::types::v1::Status::Running.into(),
            ..Process::default()
        }
    }

    fn all(ids: &[(&str, u32)]) -> Answer {
        let tasks = ids
            .iter()
            .map(|(id, pid)| ((*id).to_owned(), running(*pid)));
        Answer::All(Told {
            listing: ids
                .iter()
                .map(|(id, _)| ((*id).to_owned(), Record::new(Container::default())))
                .collect(),
            tasks: tasks.collect::<HashMap<_, _>>(),
        })
    }

    fn one(id: &str, pid: u32) -> Answer {
        let told = (Container::default(), Some(running(pid)));
        Answer::One(id.into(), Some(Box::new(told)))
    }

    fn happened(id: &str, task: Option<TaskEvent>) -> Vec<Happened> {
        let id = id.to_owned();
        vec![Happened { id, task }]
    }

    fn ends(id: &str, pid: u32) -> Vec<Happened> {
        happened(id, Some(TaskEvent::Exited(pid, 137)))
    }

    fn known() -> Known {
        let mut known = Known::default();
        assert_eq!(known.question(true), Some(Question::All));
        assert!(known.learn(all(&[("a", 1), ("b", 2)])));
        assert_eq!(known.question(false), None);
        known
    }

    fn ended(known: &Known, id: &str) -> bool {
        known.listing[id].task == TaskState::Exited(137)
    }

    #[test]
    fn what_happens_while_one_container_is_asked_about_is_heard_at_once() {
        let mut known = known();
        assert!(known.hear(ends("a", 1)));
        assert_eq!(known.question(false), Some(Question::One("a".into())));
        assert!(known.hear(ends("b", 2)) && ended(&known, "b"));
        assert!(known.learn(Answer::One("a".into(), None)));
        assert_eq!(known.question(false), Some(Question::One("b".into())));
        assert!(known.learn(Answer::One("b".into(), None)));
        assert!(known.listing.is_empty());
        assert_eq!(known.question(false), None);
    }

    #[test]
    fn an_answer_that_an_event_has_overtaken_is_not_believed() {
        let mut known = known();
        assert!(!known.hear(happened("a", None)));
        assert_eq!(known.question(false), Some(Question::One("a".into())));
        assert!(known.hear(ends("a", 1)));
        assert!(!known.learn(one("a", 1)));
        assert!(ended(&known, "a"));
        assert_eq!(known.question(false), Some(Question::One("a".into())));
        // Nothing happened since this was asked.
        assert!(known.learn(one("a", 3)));
        assert_eq!(known.listing["a"].task, TaskState::Running);
    }

    #[test]
    fn nor_is_a_listing_where_it_is_about_what_happened_meanwhile() {
        let mut known = known();
        assert_eq!(known.question(true), Some(Question::All));
        assert!(known.hear(ends("a", 1)));
        assert!(!known.hear(ends("new", 9)));
        assert!(known.learn(all(&[("a", 1), ("b", 3), ("new", 9)])));
        assert!(ended(&known, "a"));
        assert_eq!(known.listing["b"].pid, 3);
        assert_eq!(known.question(false), Some(Question::One("a".into())));
        assert_eq!(known.question(false), Some(Question::One("new".into())));
        assert_eq!(known.question(false), None);
    }

    #[test]
    fn a_burst_is_asked_about_as_a_whole() {
        let mut known = known();
        for n in 0..=BURST {
            known.hear(happened(&format!("c{n}"), None));
        }
        assert_eq!(known.question(false), Some(Question::All));
        assert_eq!(known.question(false), None);
    }
}
