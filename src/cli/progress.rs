//! Progress of long work on stderr: a bar with bytes and rate on a terminal, a line every few
//! seconds otherwise.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Out;
use crate::backup::Progress;
use crate::backup::progress::Position;
use crate::core::time::Moment;
use crate::daemon::clock;

/// Between two looks at the work.
const TICK: Duration = Duration::from_millis(100);
/// Milliseconds between two lines where there is no terminal.
const LINE: u64 = 5_000;

const KNOWN: &str = "{msg}: {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
const UNKNOWN: &str = "{msg}: {spinner} {bytes}, {bytes_per_sec}";

/// Shows positions of one piece of work, wherever they come from.
#[derive(Debug)]
pub struct Display {
    bar: Option<ProgressBar>,
    phase: &'static str,
    begun: Moment,
    said: Moment,
}

impl Display {
    /// On stderr.
    #[must_use]
    pub fn new() -> Self {
        Self::on(std::io::stderr().is_terminal())
    }

    fn on(terminal: bool) -> Self {
        let bar = terminal
            .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)));
        let now = clock::now();
        Self {
            bar,
            phase: "",
            begun: now,
            said: now,
        }
    }

    /// Shows where it stands now.
    pub fn show(&mut self, position: Position, out: &mut Out) {
        if position.phase.is_empty() {
            return;
        }
        let now = clock::now();
        let begins = position.phase != self.phase;
        if begins {
            self.phase = position.phase;
            self.begun = now;
        }
        match &self.bar {
            Some(bar) => {
                if begins {
                    restart(bar, position);
                }
                if position.total > 0 {
                    bar.set_length(position.total);
                }
                bar.set_position(position.done);
            }
            None if now.0.saturating_sub(self.said.0) >= LINE => {
                self.said = now;
                out.note(&line(position, now.0.saturating_sub(self.begun.0)));
            }
            None => {}
        }
    }

    /// Takes the bar away.
    pub fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

fn restart(bar: &ProgressBar, position: Position) {
    let template = if position.total > 0 { KNOWN } else { UNKNOWN };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(position.phase);
    bar.reset();
}

/// The line for a phase that has gone on for so many milliseconds.
fn line(position: Position, millis: u64) -> String {
    let Position { phase, done, total } = position;
    let rate = done.saturating_mul(1000).checked_div(millis).unwrap_or(0);
    let (done, rate) = (HumanBytes(done), HumanBytes(rate));
    if total > 0 {
        format!("{phase}: {done} of {}, {rate}/s", HumanBytes(total))
    } else {
        format!("{phase}: {done}, {rate}/s")
    }
}

/// Does blocking `work` in a thread of its own and shows how far it is.
///
/// # Panics
/// Where `work` panics.
pub fn watch<T: Send>(
    progress: &Progress,
    out: &mut Out,
    work: impl FnOnce(&Progress) -> T + Send,
) -> T {
    let mut display = Display::new();
    let (done, ended) = mpsc::channel();
    let answer = std::thread::scope(|scope| {
        let shared = progress.clone();
        let worker = scope.spawn(move || {
            let answer = work(&shared);
            let _ = done.send(());
            answer
        });
        // A worker that panics drops its end.
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            display.show(progress.position(), out);
        }
        worker.join()
    });
    display.end();
    match answer {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_bytes_and_rate() {
        let position = Position {
            phase: "verifying",
            done: 512 << 20,
            total: 1 << 30,
        };
        assert_eq!(
            line(position, 2000),
            "verifying: 512.00 MiB of 1.00 GiB, 256.00 MiB/s"
        );
        let unknown = Position {
            total: 0,
            ..position
        };
        assert_eq!(line(unknown, 0), "verifying: 512.00 MiB, 0 B/s");
    }

    #[test]
    fn work_gives_its_answer() {
        let mut out = Out::terminal();
        let progress = Progress::default();
        let answer = watch(&progress, &mut out, |progress| {
            progress.begin("counting", 3);
            progress.advance(3);
            7
        });
        assert_eq!((answer, progress.position().done), (7, 3));
    }
}
