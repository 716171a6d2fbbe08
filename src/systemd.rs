//! systemd notification: readiness, status text, watchdog, reload. Without `$NOTIFY_SOCKET`
//! every call does nothing, so that the daemon also runs by hand.
//!
//! A notification that cannot be sent is logged once and never stops the daemon.
//!
//! Source: `sd_notify(3)`, `systemd.service(5)` on `Type=notify`.

pub mod journal;
pub mod sessions;
pub mod units;

use std::time::Duration;

use sd_notify::NotifyState;

/// systemd shows a line; a longer text is cut at this many bytes.
const STATUS_LIMIT: usize = 512;

/// Sends notifications.
#[derive(Debug, Default)]
pub struct Notifier {
    status: String,
    failed: bool,
}

impl Notifier {
    /// A notifier that has said nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The start is complete: sockets are open and the first turn is done.
    pub fn ready(&mut self) {
        self.send(&[NotifyState::Ready]);
    }

    /// One line for people; sent only where it differs from the last one.
    pub fn status(&mut self, line: &str) {
        let line = one_line(line);
        if line != self.status {
            self.send(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    /// A turn of the loop is complete. Called for nothing else, so a loop that hangs is found.
    pub fn turn_completed(&mut self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// A reload begins; ended by [`Notifier::ready`].
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => self.log(&error),
        }
    }

    /// The stop begins.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    fn send(&mut self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            self.log(&error);
        }
    }

    fn log(&mut self, error: &std::io::Error) {
        if !self.failed {
            tracing::warn!(%error, "systemd cannot be notified");
            self.failed = true;
        }
    }
}

/// How often the watchdog must hear of a completed turn: a third of its deadline.
/// `None` where systemd does not watch.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|deadline| deadline / 3)
}

/// A newline would begin another assignment of the protocol.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut end = line.len().min(STATUS_LIMIT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

#[cfg(test)]
mod tests {
    use super::{STATUS_LIMIT, one_line};

    #[test]
    fn a_status_is_one_bounded_line() {
        assert_eq!(one_line("a\nREADY=1\0"), "a READY=1 ");
        let long = one_line(&"ä".repeat(STATUS_LIMIT));
        assert_eq!(long.len(), STATUS_LIMIT);
        assert_eq!(
            one_line(&format!("x{}", "ä".repeat(STATUS_LIMIT))).len(),
            STATUS_LIMIT - 1
        );
    }
}
