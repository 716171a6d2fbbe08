//! Typed reading of entries: each call declares one key with its default, range and meaning.
//!
//! A wrong value is noted as a mistake and the default is returned, so that reading goes on and
//! finds every mistake. What no call has asked for is unknown. Reading nothing at all yields the
//! table of all keys ([`super::keys::table`]): there is no second list to keep in step.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;

use super::document::{Entry, Written};
use super::mistake::{Mistake, nearest};
use super::show::{InForce, Value};

/// Reads entries key by key.
#[derive(Debug)]
pub struct Reader {
    found: Vec<Entry>,
    section: String,
    declared: Vec<InForce>,
    mistakes: Vec<Mistake>,
}

/// What a key is, apart from its type.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, with the unit.
    pub name: &'static str,
    /// One sentence for the default configuration file and the README.
    pub meaning: &'static str,
}

impl Reader {
    /// A reader of these entries, later ones winning.
    #[must_use]
    pub fn new(found: Vec<Entry>) -> Self {
        Self {
            found,
            section: String::new(),
            declared: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// Keys declared from here on stand in this table.
    pub fn section(&mut self, section: impl Into<String>) {
        self.section = section.into();
    }

    /// Names of the tables that are written below `section`, as `NAME` of `[section.NAME]`.
    #[must_use]
    pub fn tables_below(&self, section: &str) -> BTreeSet<String> {
        let tables = self.found.iter().filter(|entry| entry.name.is_none());
        let name = |entry: &Entry| {
            let rest = entry.section.strip_prefix(section)?;
            rest.strip_prefix('.').map(str::to_owned)
        };
        tables.filter_map(name).collect()
    }

    /// Whether a key (`section.key`) is written in a file.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        let mut keys = self.declared.iter();
        keys.any(|key| key.origin.is_some() && key.path() == path)
    }

    /// Takes back the declaration of a key (`section.key`) that is not written anywhere: a table of
    /// this kind has none.
    pub fn take_back(&mut self, path: &str) {
        self.declared
            .retain(|key| key.origin.is_some() || key.path() != path);
    }

    /// Whether the table `section` is only there for the list of all keys.
    #[must_use]
    pub fn is_example(&self, section: &str) -> bool {
        let mut found = self.found.iter();
        found.any(|entry| entry.section == section && entry.line == 0)
    }

    /// Whether a mistake of this key (`section.key`) is noted already.
    #[must_use]
    pub fn is_wrong(&self, path: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.key == path)
    }

    /// Reads one key: `convert` turns what is written into a value or says what it takes.
    /// Every occurrence is converted, so a wrong one is told although a later one overrides it.
    pub fn read<T>(
        &mut self,
        key: Key,
        range: impl Display,
        default: (T, Value),
        convert: impl Fn(&Written) -> Result<(T, Value), String>,
    ) -> T {
        let (mut value, shown) = default;
        let mut in_force = InForce {
            section: self.section.clone(),
            name: key.name,
            meaning: key.meaning,
            range: range.to_string(),
            default: shown.clone(),
            value: shown,
            origin: None,
        };
        let section = self.section.as_str();
        for entry in self
            .found
            .iter()
            .filter(|entry| entry.section == section && entry.name.as_deref() == Some(key.name))
        {
            match convert(&entry.value) {
                Ok((converted, shown)) => {
                    value = converted;
                    in_force.value = shown;
                    in_force.origin = Some((entry.file.clone(), entry.line));
                }
                Err(cause) => self.mistakes.push(Mistake {
                    file: Some(entry.file.clone()),
                    line: entry.line,
                    key: in_force.path(),
                    cause,
                    hint: Some(format!("it takes {}", in_force.range)),
                }),
            }
        }
        self.declared.push(in_force);
        value
    }

    /// Notes a mistake of a combination, told at the place where `path` (`section.key`) is set, or
    /// where its table begins.
    pub fn combination(&mut self, path: &str, cause: String, hint: &str) {
        let origin = self
            .declared
            .iter()
            .find(|key| key.path() == path)
            .and_then(|key| key.origin.clone())
            .or_else(|| {
                let section = path.rsplit_once('.').map_or("", |(section, _)| section);
                let mut found = self.found.iter();
                found
                    .find(|entry| entry.section == section && entry.name.is_none())
                    .map(|entry| (entry.file.clone(), entry.line))
            });
        let (file, line): (Option<PathBuf>, usize) =
            origin.map_or((None, 0), |(file, line)| (Some(file), line));
        self.mistakes.push(Mistake {
            file,
            line,
            key: path.to_owned(),
            cause,
            hint: Some(hint.to_owned()),
        });
    }

    /// Every declared key with its value, and all mistakes, unknown keys included.
    #[must_use]
    pub fn finish(mut self) -> (Vec<InForce>, Vec<Mistake>) {
        let sections: BTreeSet<&str> = self
            .declared
            .iter()
            .map(|key| key.section.as_str())
            .collect();
        for entry in &self.found {
            let Some((key, cause, hint)) = self.unknown(entry, &sections) else {
                continue;
            };
            self.mistakes.push(Mistake {
                file: Some(entry.file.clone()),
                line: entry.line,
                key,
                cause: cause.to_owned(),
                hint: Some(hint),
            });
        }
        (self.declared, self.mistakes)
    }

    /// What is unknown about an entry: its key, the cause, a hint.
    fn unknown(
        &self,
        entry: &Entry,
        sections: &BTreeSet<&str>,
    ) -> Option<(String, &'static str, String)> {
        let section_known = sections.contains(entry.section.as_str());
        match &entry.name {
            None if section_known => None,
            None => Some((
                format!("[{}]", entry.section),
                "unknown section",
                did_you_mean(&entry.section, sections.iter().copied(), "the sections are"),
            )),
            // Told once, for the section.
            Some(_) if !section_known && !entry.section.is_empty() => None,
            Some(name) => {
                let mut here = self
                    .declared
                    .iter()
                    .filter(|key| key.section == entry.section);
                if here.clone().any(|key| key.name == name) {
                    return None;
                }
                if entry.section.is_empty() {
                    let owner = self.declared.iter().find(|key| key.name == name);
                    let hint = match owner {
                        Some(key) => format!("put it below `[{}]`", key.section),
                        None => did_you_mean(name, sections.iter().copied(), "the sections are"),
                    };
                    return Some((name.clone(), "a key outside of every section", hint));
                }
                let elsewhere = self.declared.iter().find(|key| key.name == name);
                let names: Vec<&str> = here.by_ref().map(|key| key.name).collect();
                let hint = match elsewhere {
                    Some(key) => format!("did you mean `{}`?", key.path()),
                    None => did_you_mean(name, names.iter().copied(), "the keys here are"),
                };
                let path = format!("{}.{name}", entry.section);
                Some((path, "unknown key", hint))
            }
        }
    }
}

fn did_you_mean<'a>(
    text: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    otherwise: &str,
) -> String {
    match nearest(text, known.clone()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("{otherwise} {}", known.collect::<Vec<_>>().join(", ")),
    }
}
