//! Where output goes: data to stdout, the rest to stderr; colour only on a terminal.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use super::exit::{Exit, Failure};

/// Prints data for programs.
///
/// # Errors
/// Where it cannot be encoded or written.
pub fn json<T: Serialize>(data: &T, out: &mut Out) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(data).map_err(|error| Failure::of(Exit::No, &error))?;
    out.data(text + "\n")
}

/// The two streams.
pub struct Out {
    data: Box<dyn Write>,
    notes: Box<dyn Write>,
    terminal: bool,
    colour: bool,
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out").finish_non_exhaustive()
    }
}

impl Out {
    /// The process's own streams.
    #[must_use]
    pub fn terminal() -> Self {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: set and not empty.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            data: Box::new(io::BufWriter::new(io::stdout())),
            notes: Box::new(io::stderr()),
            terminal,
            colour: terminal && !refused && !dumb,
        }
    }

    /// Writes data.
    ///
    /// # Errors
    /// [`Failure::BrokenPipe`] where nobody reads any more; any other failure is told.
    pub fn data(&mut self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.data.write_all(text.as_ref()).map_err(failed)
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// As [`Out::data`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.data.flush().map_err(failed)
    }

    /// Writes a line for people; that it cannot be written is no failure.
    pub fn note(&mut self, line: &str) {
        let _ = writeln!(self.notes, "{line}");
    }

    /// Stdout is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Colour may be used.
    #[must_use]
    pub fn colour(&self) -> bool {
        self.colour
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        return Failure::BrokenPipe;
    }
    Failure::Told {
        exit: Exit::No,
        message: format!("cannot write the output: {error}"),
        hint: None,
    }
}

/// Text without control characters: what a name or a message holds must not steer a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Rows in columns two spaces apart; the last column is as wide as it is. Cells are cleaned.
#[must_use]
pub fn columns(rows: &[Vec<String>], indent: &str) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| clean(cell)).collect())
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let pad = width + 2 - cell.chars().count().min(*width);
            line.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
