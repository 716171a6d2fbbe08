//! `rekindle cri-log`: copies a container's output into a file in the log format of the CRI.
//!
//! containerd's shim starts it for each container of our own engine and gives it the container's
//! output on descriptors 3 and 4, so that logs are written whether or not the daemon runs.
//! Source: containerd 1.6 `runtime/v2/logging/logging.go` and `pkg/process/io.go`; format:
//! kubelet 1.20 `pkg/kubelet/kuberuntime/logs/logs.go`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Longest piece of a line in one entry, bytes; longer lines go on in the next entry (`P`).
const PIECE: usize = 16 << 10;
/// Size at which the file is set aside, bytes.
const FILE_LIMIT: u64 = 10 << 20;

/// The log file, with what it grew to. Set aside as `<path>.1` when it is full; one is kept.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl Log {
    /// Opens the file to append to it, with its directories.
    ///
    /// # Errors
    /// The I/O error.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let file = append(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            limit,
        })
    }

    /// Writes one entry, as one write.
    fn entry(
        &mut self,
        time: Timestamp,
        stream: &str,
        piece: &[u8],
        whole: bool,
    ) -> io::Result<()> {
        if self.size >= self.limit {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".1");
            rustix::fs::rename(&self.path, &aside)?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        let tag = if whole { 'F' } else { 'P' };
        let mut entry = format!("{time:.9} {stream} {tag} ").into_bytes();
        entry.extend_from_slice(piece);
        entry.push(b'\n');
        self.file.write_all(&entry)?;
        self.size += u64::try_from(entry.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o640);
    options.open(path)
}

/// Copies the output that the shim hands over until both streams end.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    let opened = (|| {
        let log = Mutex::new(Log::open(path, FILE_LIMIT)?);
        let out = File::open("/proc/self/fd/3")?;
        let err = File::open("/proc/self/fd/4")?;
        Ok::<_, io::Error>((log, out, err))
    })();
    let Ok((log, out, err)) = opened else {
        return ExitCode::FAILURE;
    };
    // The shim waits for this byte before it starts the container.
    let ready = OpenOptions::new().write(true).open("/proc/self/fd/5");
    if ready.and_then(|mut ready| ready.write_all(&[0])).is_err() {
        return ExitCode::FAILURE;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| copy(out, "stdout", &log));
        copy(err, "stderr", &log);
    });
    ExitCode::SUCCESS
}

/// Copies one stream to its end. What cannot be written is dropped: a full disk must not stop the
/// container.
pub fn copy(stream: impl Read, name: &str, log: &Mutex<Log>) {
    let mut reader = BufReader::with_capacity(PIECE, stream);
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        let room = u64::try_from(PIECE).unwrap_or(u64::MAX);
        let read = (&mut reader).take(room).read_until(b'\n', &mut piece);
        let time = Timestamp::now();
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        }
        let whole = piece.last() == Some(&b'\n');
        if whole {
            piece.pop();
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // The last line of a stream may lack its end; it is whole all the same.
        let whole = whole || piece.len() < PIECE;
        log.entry(time, name, &piece, whole).ok();
    }
}
