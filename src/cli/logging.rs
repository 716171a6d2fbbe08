//! Log lines on stderr: one for each event, `key=value`, no time (journald adds it).
//!
//! Under journald each line begins with its syslog level, `<6>`; `sd-daemon(3)`.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. `level` has been checked by the configuration; a second start does nothing.
pub fn start(level: &str) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let targets: Targets = level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(Line { journal });
    let _ = tracing_subscriber::registry()
        .with(layer)
        .with(targets)
        .try_init();
}

struct Line {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        if self.journal {
            writer.write_str(match level {
                Level::ERROR => "<3>",
                Level::WARN => "<4>",
                Level::INFO => "<6>",
                _ => "<7>",
            })?;
        } else {
            write!(writer, "{level:<5} ")?;
        }
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        // What a name holds must not begin a line of its own.
        for c in fields.chars() {
            writer.write_char(if c.is_control() { ' ' } else { c })?;
        }
        writeln!(writer)
    }
}
