//! Words of the page: escaped text, durations, times.

use std::time::Duration;

use jiff::Timestamp;

/// Text as it may stand in an element or in a quoted attribute, whatever it holds. Control
/// characters become visible.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            // Control characters, and those that turn the direction of text around.
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// Width of `text` in a font of `size`, at the most: the widest of the fonts that the style names,
/// `DejaVu Sans`, rounded up.
#[must_use]
pub fn extent(text: &str, size: f64) -> f64 {
    text.chars().map(|c| ems(c) * size).sum()
}

fn ems(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' => 0.3,
        'f' | 'r' | 't' | ' ' | '-' | '.' | ',' | ':' | ';' | '\'' | '!' | '|' | '(' | ')'
        | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.0,
        c if c.is_ascii_uppercase() => 0.79,
        c if c.is_ascii() => 0.65,
        // Most characters outside of Latin script are as wide as they are high, some more.
        c if c >= '\u{1100}' => 1.4,
        _ => 0.9,
    }
}

/// As much of `text` as has room, the last character an ellipsis where it is not all of it.
#[must_use]
pub fn fitting(text: &str, room: f64, size: f64) -> String {
    if extent(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - extent("…", size);
    let fits = text.chars().take_while(|c| {
        left -= ems(*c) * size;
        left >= 0.0
    });
    let mut short: String = fits.collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// `4.2 s`, `45 s`, `2 min 5 s`, `3 h 2 min`, `2 d 1 h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => {
            let tenths = time.as_millis() / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// [`duration`] of whole seconds.
#[must_use]
pub fn seconds(seconds: u64) -> String {
    duration(Duration::from_secs(seconds)).replace("0.0 s", "0 s")
}

/// From one time to a later one; nothing where it is not later.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// `2026-11-25 09:30:12 UTC`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `+12.3 s` after `from`, `−4.0 s` before it.
#[must_use]
pub fn offset(from: Timestamp, at: Timestamp) -> String {
    if at < from {
        return format!("−{}", duration(between(at, from)));
    }
    format!("+{}", duration(between(from, at)))
}
