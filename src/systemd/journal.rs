//! Structured lines for the journal, by its own protocol: a datagram of fields.
//!
//! Only where standard error is the journal's already, as systemd says in `$JOURNAL_STREAM`; a
//! redirected one stays what it is. A record that cannot be sent is the caller's to write to
//! standard error, which is the journal's too: no line is lost.
//!
//! The crate `tracing-journald` sends the bare message as `MESSAGE=`; a reader of `journalctl -u`
//! would then see none of the fields that say what it was about.
//!
//! Source: systemd's "Native Journal Protocol", `systemd.exec(5)` on `$JOURNAL_STREAM`.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::fs::fstat;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// What each field of an event begins with.
const PREFIX: &str = "REKINDLE_";
/// The journal's limit of a name.
const NAME_LIMIT: usize = 64;

/// A connection to the journal.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    /// A connection, where standard error is the journal's. `stream`: `$JOURNAL_STREAM`.
    #[must_use]
    pub fn of_stderr(stream: &str) -> Option<Self> {
        let stderr = fstat(io::stderr()).ok()?;
        if stream != format!("{}:{}", stderr.st_dev, stderr.st_ino) {
            return None;
        }
        Self::connect(Path::new(SOCKET)).ok()
    }

    /// A connection to the journal that listens at `path`.
    ///
    /// # Errors
    /// Where nobody does.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }

    /// Sends one record.
    ///
    /// # Errors
    /// Where the journal is away, or the record is larger than a datagram.
    pub fn send(&self, record: &Record) -> io::Result<()> {
        self.0.send(&record.0).map(drop)
    }
}

/// The fields of one line.
#[derive(Debug, Default)]
pub struct Record(Vec<u8>);

impl Record {
    /// A record of a line of `level` (0 to 7, `syslog(3)`).
    #[must_use]
    pub fn new(level: u8, message: &str) -> Self {
        let mut record = Self::default();
        record.push("PRIORITY", &level.to_string());
        record.push("SYSLOG_IDENTIFIER", "rekindle");
        record.push("MESSAGE", message);
        record
    }

    /// Adds where in the source it is from.
    pub fn place(&mut self, file: &str, line: u32) {
        self.push("CODE_FILE", file);
        self.push("CODE_LINE", &line.to_string());
    }

    /// Adds `REKINDLE_NAME=value`, the name in the journal's alphabet. A name of nothing else adds
    /// nothing.
    pub fn field(&mut self, name: &str, value: &str) {
        let of_journal = |c: char| match c.to_ascii_uppercase() {
            c if c.is_ascii_uppercase() || c.is_ascii_digit() => c,
            _ => '_',
        };
        let mut own = PREFIX.to_owned();
        own.extend(name.trim_start_matches("r#").chars().map(of_journal));
        own.truncate(NAME_LIMIT);
        if own.len() > PREFIX.len() {
            self.push(&own, value);
        }
    }

    /// The bytes as they are sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn push(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // A value of several lines has its length before it.
            self.0.push(b'\n');
            let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
            self.0.extend_from_slice(&length.to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, Record};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_record_is_in_the_journal_s_form() {
        let mut record = Record::new(6, "done action=\"a\"");
        record.place("src/a.rs", 7);
        record.field("action", "start-engine-pod");
        record.field("error.kind", "of\ntwo lines");
        record.field("", "no name");
        let expected = b"PRIORITY=6\nSYSLOG_IDENTIFIER=rekindle\nMESSAGE=done action=\"a\"\n\
            CODE_FILE=src/a.rs\nCODE_LINE=7\nREKINDLE_ACTION=start-engine-pod\n\
            REKINDLE_ERROR_KIND\n\x0c\0\0\0\0\0\0\0of\ntwo lines\n";
        assert_eq!(
            String::from_utf8_lossy(record.bytes()),
            String::from_utf8_lossy(expected)
        );
        let long = "x".repeat(100);
        let mut record = Record::default();
        record.field(&long, "");
        assert_eq!(record.bytes().len(), 64 + "=\n".len());
    }

    #[test]
    fn it_is_sent_as_one_datagram_or_refused_as_too_large() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        assert!(Journal::connect(&path).is_err(), "nobody listens");
        let journald = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::connect(&path).unwrap();
        journal.send(&Record::new(4, "short")).unwrap();
        let mut bytes = [0; 256];
        let length = journald.recv(&mut bytes).unwrap();
        assert_eq!(
            &bytes[..length],
            b"PRIORITY=4\nSYSLOG_IDENTIFIER=rekindle\nMESSAGE=short\n"
        );
        let huge = Record::new(4, &"x".repeat(16 << 20));
        assert!(journal.send(&huge).is_err());
    }
}
