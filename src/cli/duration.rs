//! A length of time on the command line: `90s`, `30m`, `2h`, `1d`, `1d 12h`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// The length that `text` means; a day has 24 hours.
///
/// # Errors
/// What is wrong with it, one sentence: no length, a negative one, one in months or years.
pub fn parse(text: &str) -> Result<Duration, String> {
    let told = || format!("{text:?} is no length of time: write 90s, 30m, 2h, 1d or 1h30m");
    let span: Span = text.trim().parse().map_err(|_| told())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours());
    length
        .ok()
        .and_then(|length| Duration::try_from(length).ok())
        .ok_or_else(told)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_people_write() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("2h", 7200),
            ("1d", 86400),
            ("1h30m", 5400),
            ("1d 12h", 129_600),
            ("7d", 604_800),
            ("45 minutes", 2700),
            ("PT1H", 3600),
            ("0s", 0),
        ] {
            assert_eq!(
                parse(text).map(|length| length.as_secs()),
                Ok(seconds),
                "{text}"
            );
        }
        for text in ["", "soon", "30", "-5m", "5m ago", "1mo", "1y", "∞"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
