//! The table of messages, `schema.txt`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The table as text.
const TABLE: &str = include_str!("schema.txt");

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    Bytes,
    Message(&'static str),
    /// Known, and left out.
    Skipped,
}

/// How often it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Repeated,
    Map,
    /// Its fields are the outer message's.
    Inline,
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// Zero is written, too.
    pub(super) zero: bool,
}

type Messages = BTreeMap<&'static str, BTreeMap<u32, Known>>;

/// The fields of a message by number; empty where there is no such message.
pub(super) fn message(name: &str) -> &'static BTreeMap<u32, Known> {
    static MESSAGES: OnceLock<Messages> = OnceLock::new();
    static NONE: BTreeMap<u32, Known> = BTreeMap::new();
    let messages = MESSAGES.get_or_init(|| lines().filter_map(line).collect());
    messages.get(name).unwrap_or(&NONE)
}

fn lines() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#'))
}

fn line(line: &'static str) -> Option<(&'static str, BTreeMap<u32, Known>)> {
    let (name, fields) = line.split_once(": ")?;
    Some((name, fields.split(' ').map(field).collect::<Option<_>>()?))
}

fn field(text: &'static str) -> Option<(u32, Known)> {
    let mut parts = text.split(':');
    let number = parts.next()?.parse().ok()?;
    let (name, kind) = (parts.next()?, parts.next()?);
    let (shape, kind) = match kind.split_at_checked(1)? {
        ("[", kind) => (Shape::Repeated, kind),
        ("{", kind) => (Shape::Map, kind),
        ("=", kind) => (Shape::Inline, kind),
        _ => (Shape::One, kind),
    };
    let (kind, zero) = match kind.strip_suffix('*') {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    let kind = match kind {
        "s" => Kind::Text,
        "i" => Kind::Integer,
        "b" => Kind::Boolean,
        "y" => Kind::Bytes,
        "-" => Kind::Skipped,
        message => Kind::Message(message),
    };
    let known = Known {
        name,
        kind,
        shape,
        zero,
    };
    Some((number, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_every_message_it_names_is_there() {
        let own = ["Quantity", "IntOrString", "Time"];
        assert!(lines().count() > 100);
        for text in lines() {
            let (name, fields) = line(text).expect(text);
            assert!(!fields.is_empty(), "{name}");
            for known in fields.values() {
                assert!(known.shape == Shape::Inline || !known.name.is_empty());
                if let Kind::Message(inner) = known.kind {
                    let there = own.contains(&inner) || !message(inner).is_empty();
                    assert!(there, "{name}: {inner}");
                }
            }
        }
    }
}
