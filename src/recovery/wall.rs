//! A message to everybody who is logged in, as `wall` gives it, without its set-group-id program:
//! the daemon is root and writes to the terminals itself.
//!
//! The terminals are those that systemd-logind knows and those that stand in utmp, which sshd
//! writes where a session's terminal came after the session itself: either may miss some. A
//! terminal is opened without becoming ours and without waiting, and one that does not take the
//! message in time (somebody pressed Ctrl-S, a connection hangs) is left alone.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::core::reading::chain;
use crate::systemd::sessions;

/// Where logins are written down. Source: `utmp(5)`.
const UTMP: &str = "/run/utmp";
/// Largest utmp that is read, in bytes.
const UTMP_LIMIT: u64 = 1 << 20; // 1 MiB
/// For one terminal to take the message.
const DEADLINE: Duration = Duration::from_secs(1);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(50);
/// Longest message, in characters.
const LONGEST: usize = 2000;
/// Most terminals.
const MOST: usize = 256;

/// `ut_type` of a login. Source: glibc `bits/utmp.h`.
const USER_PROCESS: i16 = 7;
/// Size of an entry: on x86-64 glibc keeps the layout of 32 bits.
#[cfg(target_arch = "x86_64")]
const ENTRY: usize = 384;
#[cfg(not(target_arch = "x86_64"))]
const ENTRY: usize = 400;

/// Who was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Terminals that took the whole message.
    pub reached: Vec<PathBuf>,
    /// Those that did not, and why, one sentence each.
    pub skipped: Vec<String>,
}

/// Tells everybody who is logged in. The message stands in the log, too. Blocks for a few seconds
/// at most: on a thread of its own (`spawn_blocking`) where there is a runtime, never in a task.
pub fn tell(message: &str) -> Told {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        return runtime.block_on(tell_everybody(message));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(tell_everybody(message)),
        Err(error) => Told {
            reached: Vec::new(),
            skipped: vec![format!("nobody was told: {error}")],
        },
    }
}

/// [`tell`] for a task.
pub async fn tell_everybody(message: &str) -> Told {
    tracing::warn!("to everybody who is logged in: {}", sanitised(message));
    let mut names: BTreeSet<String> = read_utmp(Path::new(UTMP));
    match sessions::terminals().await {
        Ok(known) => names.extend(known),
        Err(error) => tracing::debug!("logind: {}", chain(&error)),
    }
    let places = names.iter().filter(|name| is_terminal_name(name));
    let places: Vec<PathBuf> = places.map(|name| Path::new("/dev").join(name)).collect();
    let told = tell_terminals(&places, message).await;
    for skipped in &told.skipped {
        tracing::info!("{skipped}");
    }
    told
}

/// Tells the terminals at `places`, all at the same time.
pub async fn tell_terminals(places: &[PathBuf], message: &str) -> Told {
    let text = framed(message);
    let each = places.iter().take(MOST).map(|place| {
        let text = text.clone();
        async move { (place, write(place, text.as_bytes()).await) }
    });
    let mut told = Told::default();
    for (place, written) in futures_util::future::join_all(each).await {
        match written {
            Ok(()) => told.reached.push(place.clone()),
            Err(why) => told.skipped.push(format!(
                "the terminal {} was not told: {why}",
                place.display()
            )),
        }
    }
    told
}

async fn write(place: &Path, text: &[u8]) -> Result<(), String> {
    // Opening a terminal may wait for its line to come up, and must not make it ours.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = flags | OFlags::NOFOLLOW;
    let opened = rustix::fs::open(place, flags, Mode::empty());
    let mut file = std::fs::File::from(opened.map_err(|errno| errno.to_string())?);
    if !std::io::IsTerminal::is_terminal(&file) {
        return Err("it is no terminal".to_owned());
    }
    let mut rest = text;
    let writing = async {
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err("it takes nothing".to_owned()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    };
    let late = || {
        format!(
            "it did not take the message within {} s",
            DEADLINE.as_secs()
        )
    };
    tokio::time::timeout(DEADLINE, writing)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// The message with a frame that makes it stand out in the middle of other output.
fn framed(message: &str) -> String {
    let mut text = "\r\n\u{7}Broadcast message from rekindle:\r\n\r\n".to_owned();
    for line in message.lines() {
        text.push_str("  ");
        text.push_str(&sanitised(line));
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// Text that cannot steer a terminal.
fn sanitised(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST).map(visible).collect()
}

/// A name below `/dev`, of those that terminals have: utmp may be written by others than root.
fn is_terminal_name(name: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let (first, second) = name.split_once('/').unwrap_or((name, "0"));
    plain(first) && plain(second) && name.len() < 32
}

fn read_utmp(path: &Path) -> BTreeSet<String> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return BTreeSet::new();
    };
    let name = name.to_string_lossy();
    let read = crate::store::dir::Dir::open(parent).and_then(|dir| dir.read(&name, UTMP_LIMIT));
    read.map(|(bytes, _)| logins(&bytes)).unwrap_or_default()
}

/// The terminals of those who are logged in, by the bytes of a utmp.
#[must_use]
pub fn logins(utmp: &[u8]) -> BTreeSet<String> {
    let entries = utmp.chunks_exact(ENTRY);
    let lines = entries.filter_map(|entry| {
        // ut_type at 0, ut_pid at 4, ut_line (32 bytes, ended by a NUL where shorter) at 8.
        let kind = i16::from_ne_bytes(entry.get(..2)?.try_into().ok()?);
        let line = entry.get(8..40)?;
        let end = line
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(line.len());
        let line = std::str::from_utf8(line.get(..end)?).ok()?;
        (kind == USER_PROCESS && !line.is_empty()).then(|| line.to_owned())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::{ENTRY, framed, is_terminal_name, logins};

    #[test]
    fn only_those_who_are_logged_in_are_found() {
        let entry = |kind: i16, line: &str| {
            let mut entry = vec![0; ENTRY];
            entry[..2].copy_from_slice(&kind.to_ne_bytes());
            entry[8..8 + line.len()].copy_from_slice(line.as_bytes());
            entry
        };
        let utmp = [
            entry(2, "~"),
            entry(7, "pts/3"),
            entry(8, "pts/4"),
            entry(7, "tty1"),
            vec![7; 100],
        ]
        .concat();
        let found: Vec<String> = logins(&utmp).into_iter().collect();
        assert_eq!(found, ["pts/3", "tty1"]);
    }

    #[test]
    fn names_do_not_lead_out_of_dev() {
        for (name, so) in [
            ("tty1", true),
            ("pts/0", true),
            ("../etc/passwd", false),
            ("pts/../sda", false),
            ("/etc/passwd", false),
            ("", false),
            (":0", false),
        ] {
            assert_eq!(is_terminal_name(name), so, "{name}");
        }
    }

    #[test]
    fn a_message_cannot_steer_a_terminal() {
        let text = framed("one\x1b[2J\ntwo\x07");
        let controls: Vec<char> = text.chars().filter(|c| c.is_control()).collect();
        assert!(controls.iter().all(|c| matches!(c, '\r' | '\n' | '\u{7}')));
        assert_eq!(text.matches('\u{7}').count(), 1);
        assert!(text.contains("  one [2J\r\n  two \r\n"), "{text:?}");
    }
}
