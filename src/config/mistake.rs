//! One mistake in the configuration, told as `file:line: key: cause` with a hint.

use std::fmt;
use std::path::PathBuf;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file; `None` for a mistake of the defaults together (a host without a name).
    pub file: Option<PathBuf>,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// `section.key`, or empty where no key is meant.
    pub key: String,
    /// What is wrong. Never holds the value of a credential: there is no such key.
    pub cause: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("built-in defaults")?,
        }
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.cause)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// All mistakes of one run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// In the order in which the files are read, then by line.
    #[must_use]
    pub fn in_order(mut mistakes: Vec<Mistake>, files: &[(PathBuf, String)]) -> Self {
        mistakes.sort_by_key(|mistake| {
            let file = files
                .iter()
                .position(|(path, _)| Some(path) == mistake.file.as_ref());
            (file.unwrap_or(usize::MAX), mistake.line)
        });
        Self(mistakes)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

/// The known word nearest to `text`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (distance(text, word), word))
        .min()
        .filter(|(distance, word)| *distance <= 2.max(word.len() / 3))
        .map(|(_, word)| word)
}

/// Levenshtein distance. Inputs are keys: the unknown one is cut at 64 characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (j, b) in right.iter().enumerate() {
            let Some(above) = row.get(j + 1).copied() else {
                break;
            };
            let cost = diagonal + usize::from(a != *b);
            diagonal = above;
            if let Some(cell) = row.get_mut(j) {
                *cell = before;
            }
            before = cost.min(above + 1).min(before + 1);
        }
        if let Some(last) = row.last_mut() {
            *last = before;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("grace_period_second", "grace_period_seconds", 1),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn a_far_word_is_not_suggested() {
        assert_eq!(
            nearest("frobnicate", ["state_dir", "path"].into_iter()),
            None
        );
        assert_eq!(
            nearest("stat_dir", ["state_dir", "path"].into_iter()),
            Some("state_dir")
        );
    }
}
