//! What is in force, as TOML with the origin of each value, or as JSON.
//!
//! Also prints the commented default configuration, `systemd/config.toml`.

use std::fmt::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

/// A value as it can be shown. No key holds a credential, only paths to credentials.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text; empty is "off" or "none" where the key says so.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// A number of seconds with a fraction.
    Fraction(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A list of texts.
    List(Vec<String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Fraction(number) => write!(f, "{number:?}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::List(texts) => write!(f, "{}", toml::Value::from(texts.clone())),
        }
    }
}

/// One key with the value in force.
#[derive(Debug, Clone, PartialEq)]
pub struct InForce {
    /// Its table.
    pub section: String,
    /// Its name.
    pub name: &'static str,
    /// What it means, one sentence.
    pub meaning: &'static str,
    /// What it takes.
    pub range: String,
    /// The built-in default.
    pub default: Value,
    /// The value in force.
    pub value: Value,
    /// File and line it comes from; `None` for the default.
    pub origin: Option<(PathBuf, usize)>,
}

impl InForce {
    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// Valid TOML of everything in force; a comment names the file of each value that is set.
#[must_use]
pub fn toml(keys: &[InForce]) -> String {
    let mut out = String::new();
    let mut section = "";
    for key in keys {
        if key.section != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}[{}]", key.section);
            section = &key.section;
        }
        let _ = match &key.origin {
            Some((file, line)) => {
                writeln!(
                    out,
                    "{} = {} # {}:{line}",
                    key.name,
                    key.value,
                    file.display()
                )
            }
            None => writeln!(out, "{} = {} # default", key.name, key.value),
        };
    }
    out
}

/// The same as JSON: `{section: {key: {value, file, line}}}`, file and line null for defaults.
#[must_use]
pub fn json(keys: &[InForce]) -> serde_json::Value {
    let mut sections = serde_json::Map::new();
    for key in keys {
        let (file, line) = key.origin.as_ref().map_or((None, None), |(file, line)| {
            (Some(file.display().to_string()), Some(*line))
        });
        let entry = serde_json::json!({ "value": key.value, "file": file, "line": line });
        if let serde_json::Value::Object(section) = sections
            .entry(key.section.as_str())
            .or_insert_with(|| serde_json::json!({}))
        {
            section.insert(key.name.to_owned(), entry);
        }
    }
    serde_json::Value::Object(sections)
}

/// The default configuration file: every key, commented out, with meaning and range.
#[must_use]
pub fn default_file(keys: &[InForce]) -> String {
    let mut out = String::from(
        "# Configuration of Rekindle. Every key is shown with its default, commented out.\n\
         # Drop-ins: /usr/lib/rekindle/config.d, /run/rekindle/config.d, /etc/rekindle/config.d\n\
         # (*.toml). `rekindle check-config` prints what is in force and where it comes from.\n",
    );
    let mut section = "";
    for key in keys {
        // A table that takes a name: there is none by default.
        let named = if key.section.rsplit('.').next() == Some("NAME") {
            "# "
        } else {
            ""
        };
        if key.section != section {
            let _ = writeln!(out, "\n{named}[{}]", key.section);
            section = &key.section;
        }
        let _ = writeln!(out, "# {}", key.meaning);
        let _ = writeln!(out, "# Takes {}.", key.range);
        let mark = if named.is_empty() { "#" } else { named };
        let _ = writeln!(out, "{mark}{} = {}", key.name, key.default);
    }
    out
}
