//! One TOML text becomes entries `section.key = value` with their lines, and syntax errors.
//!
//! Knows nothing of which keys exist.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::mistake::Mistake;

/// Tables in which every table has a name of the user's choice: `[backup.targets.NAME]`.
const NAMED: [(&str, &str); 1] = [("backup", "targets")];

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A decimal fraction.
    Fraction(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Written>),
    /// Something no key takes; its name in TOML.
    Other(&'static str),
}

impl Written {
    /// What it is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Fraction(_) => "a decimal fraction",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }
}

/// One key of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file.
    pub file: PathBuf,
    /// Line of the key, from 1.
    pub line: usize,
    /// Name of the table; empty for a key outside of every table.
    pub section: String,
    /// Name of the key; `None` for the table itself.
    pub name: Option<String>,
    /// Its value.
    pub value: Written,
}

/// Reads a text. Entries that can be read are returned although others cannot.
#[must_use]
pub fn parse(file: &Path, text: &str) -> (Vec<Entry>, Vec<Mistake>) {
    let line = |offset: usize| {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        before.bytes().filter(|byte| *byte == b'\n').count() + 1
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = Vec::new();
    for error in errors {
        let line = error.span().map_or(0, |span| line(span.start));
        // One broken line may be told as several errors: the first says what is wrong.
        if mistakes.last().is_none_or(|last| last.line != line) {
            mistakes.push(Mistake {
                file: Some(file.to_owned()),
                line,
                key: String::new(),
                cause: format!("not TOML: {}", error.message().replace('\n', ", ")),
                hint: None,
            });
        }
    }
    let mut entries = Vec::new();
    let mut add = |section: &str, name: Option<String>, at: usize, value: Written| {
        entries.push(Entry {
            file: file.to_owned(),
            line: line(at),
            section: section.to_owned(),
            name,
            value,
        });
    };
    for (section, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(keys) => {
                add(
                    section.get_ref(),
                    None,
                    section.span().start,
                    Written::Other("a table"),
                );
                for (name, value) in keys {
                    let named = NAMED.contains(&(section.get_ref(), name.get_ref()));
                    if let (true, DeValue::Table(tables)) = (named, value.get_ref()) {
                        below((section.get_ref(), name.get_ref()), tables, &mut add);
                        continue;
                    }
                    let value = written(value.get_ref());
                    add(
                        section.get_ref(),
                        Some(name.get_ref().to_string()),
                        name.span().start,
                        value,
                    );
                }
            }
            value => add(
                "",
                Some(section.get_ref().to_string()),
                section.span().start,
                written(value),
            ),
        }
    }
    // A line that is broken already is not told a second time as a wrong value.
    entries.retain(|entry| mistakes.iter().all(|mistake| mistake.line != entry.line));
    (entries, mistakes)
}

/// The tables in the table `name` of `section`, which the user names.
fn below(
    (section, name): (&str, &str),
    tables: &DeTable<'_>,
    add: &mut impl FnMut(&str, Option<String>, usize, Written),
) {
    for (table, value) in tables {
        let at = table.span().start;
        let DeValue::Table(keys) = value.get_ref() else {
            let name = format!("{name}.{}", table.get_ref());
            add(section, Some(name), at, written(value.get_ref()));
            continue;
        };
        let section = format!("{section}.{name}.{}", table.get_ref());
        add(&section, None, at, Written::Other("a table"));
        for (name, value) in keys {
            let (at, name) = (name.span().start, name.get_ref().to_string());
            add(&section, Some(name), at, written(value.get_ref()));
        }
    }
}

fn written(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).map_or(
            Written::Other("an integer beyond 64 bits"),
            Written::Integer,
        ),
        DeValue::Float(float) => float
            .as_str()
            .parse()
            .map_or(Written::Other("an unreadable number"), Written::Fraction),
        DeValue::Boolean(truth) => Written::Bool(*truth),
        DeValue::Datetime(_) => Written::Other("a date"),
        DeValue::Array(items) => {
            Written::List(items.iter().map(|item| written(item.get_ref())).collect())
        }
        DeValue::Table(_) => Written::Other("a table"),
    }
}
