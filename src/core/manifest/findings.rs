//! What rendering met on its way: reasons to refuse, things still to be read, notes for people.

use super::gathered::Object;
use super::needs::{ObjectKind, ObjectRef};
use super::render::Source;

/// Collected over the whole pod, so that a reader gets all reasons at once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) refused: Vec<String>,
    pub(super) waiting: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Findings {
    pub(super) fn refuse(&mut self, reason: impl Into<String>) {
        push(&mut self.refused, reason.into());
    }

    pub(super) fn wait(&mut self, what: impl Into<String>) {
        push(&mut self.waiting, what.into());
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        push(&mut self.notes, note.into());
    }

    /// The object named `name`, where it is there. `user` says in the reason who wants it.
    pub(super) fn object<'a>(
        &mut self,
        source: &Source<'a>,
        (kind, name): (ObjectKind, &str),
        optional: Option<bool>,
        user: &str,
    ) -> Option<&'a Object> {
        if name.is_empty() {
            self.refuse(format!("{user} names no {}", kind.word()));
            return None;
        }
        let wanted = ObjectRef {
            kind,
            namespace: source.namespace.to_owned(),
            name: name.to_owned(),
        };
        match source.gathered.objects.get(&wanted) {
            Some(Some(object)) => return Some(object),
            Some(None) if optional == Some(true) => {}
            Some(None) => self.refuse(format!("{user} needs {wanted}, which does not exist")),
            None => self.wait(format!("{wanted} has not been read yet")),
        }
        None
    }
}

fn push(list: &mut Vec<String>, text: String) {
    if !list.contains(&text) {
        list.push(text);
    }
}
