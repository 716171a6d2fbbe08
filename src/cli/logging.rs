//! Log lines on stderr: one for each event, `key=value`, no time (journald adds it).
//!
//! Where stderr is the journal's, each event is a record of it: the same line as its message, and
//! each field by itself, `REKINDLE_CHECKPOINT=…` ([`crate::systemd::journal`]). What cannot be sent
//! so is written to stderr with its syslog level before it, `<6>`; `sd-daemon(3)`.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::systemd::journal::{Journal, Record};

/// Starts logging. `level` has been checked by the configuration; a second start does nothing.
pub fn start(level: &str) {
    let targets: Targets = level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let stream = std::env::var_os("JOURNAL_STREAM").and_then(|stream| stream.into_string().ok());
    let lines = Lines {
        levels: stream.is_some(),
        journal: stream.as_deref().and_then(Journal::of_stderr),
    };
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .try_init();
}

struct Lines {
    /// Whoever reads stderr understands syslog levels.
    levels: bool,
    journal: Option<Journal>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = line(event);
        let level = *event.metadata().level();
        if let Some(journal) = &self.journal
            && journal.send(&record(event, &line)).is_ok()
        {
            return;
        }
        let line = if self.levels {
            format!("<{}>{line}\n", syslog(level))
        } else {
            format!("{level:<5} {line}\n")
        };
        // One write: lines of two threads do not mix. A stderr that is gone can be told to nobody.
        let _gone = std::io::stderr().write_all(line.as_bytes());
    }
}

fn syslog(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Message and fields. What a name holds must not begin a line of its own.
fn line(event: &Event<'_>) -> String {
    let mut fields = String::new();
    let _whole = DefaultFields::new().format_fields(Writer::new(&mut fields), event);
    fields
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn record(event: &Event<'_>, line: &str) -> Record {
    let metadata = event.metadata();
    let mut record = Record::new(syslog(*metadata.level()), line);
    if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
        record.place(file, number);
    }
    event.record(&mut Fields(&mut record));
    record
}

/// Fields as their own: the message without them is `REKINDLE_EVENT`.
struct Fields<'a>(&'a mut Record);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = match field.name() {
            "message" => "event",
            name => name,
        };
        self.0.field(name, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _whole = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::{line, record};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<(String, String)>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let line = line(event);
            let record = record(event, &line);
            let record = String::from_utf8(record.bytes().to_vec()).unwrap();
            self.0.lock().unwrap().push((line, record));
        }
    }

    #[test]
    fn an_event_is_one_line_and_a_field_for_each_of_its_own() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(kept.clone());
        tracing::subscriber::with_default(subscriber, || {
            let error = "a\nnewline";
            tracing::warn!(action = "start", checkpoint = %"daemonset.a", seconds = 3, %error, "done");
        });
        let all = kept.0.lock().unwrap();
        let [(line, record)] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert_eq!(
            line,
            "done action=\"start\" checkpoint=daemonset.a seconds=3 error=a newline"
        );
        for field in [
            "PRIORITY=4",
            "REKINDLE_EVENT=done",
            "REKINDLE_ACTION=start",
            "REKINDLE_CHECKPOINT=daemonset.a",
            "REKINDLE_SECONDS=3",
            "CODE_FILE=src/cli/logging.rs",
        ] {
            assert!(record.lines().any(|it| it == field), "{field}: {record}");
        }
        assert!(record.contains(&format!("\nMESSAGE={line}\n")), "{record}");
        assert!(record.contains("\nREKINDLE_ERROR\n"), "{record}");
    }
}
