//! Opens the local socket, or takes it from systemd (`LISTEN_FDS`).
//!
//! Bound here, it is 0660 and belongs to the readers' group. A file in its place is removed only
//! where it is a socket and nobody answers on it.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::peer;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// What systemd handed over is no unix socket.
    #[error("the descriptor handed over by systemd is no listening unix socket")]
    Activation(#[source] io::Error),
    /// Another daemon answers there.
    #[error("another process answers on {path}")]
    InUse {
        /// The socket's path.
        path: PathBuf,
    },
    /// Something that is no socket is in the way.
    #[error("{path} is there and no socket")]
    InTheWay {
        /// The socket's path.
        path: PathBuf,
    },
    /// The file system refused a step.
    #[error("cannot {step} {path}")]
    Bind {
        /// What was tried.
        step: &'static str,
        /// The socket's path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The listening socket.
///
/// # Errors
/// As the variants of [`ListenError`] say.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn listen(path: &Path, group: &str) -> Result<UnixListener, ListenError> {
    let handed = listenfd::ListenFd::from_env()
        .take_unix_listener(0)
        .map_err(ListenError::Activation)?;
    let listener = match handed {
        Some(listener) => listener,
        None => bind(path, group)?,
    };
    let failed = |step| {
        move |source| ListenError::Bind {
            step,
            path: path.to_owned(),
            source,
        }
    };
    listener.set_nonblocking(true).map_err(failed("unblock"))?;
    UnixListener::from_std(listener).map_err(failed("register"))
}

fn bind(path: &Path, group: &str) -> Result<StdListener, ListenError> {
    let failed = |step| {
        move |source| ListenError::Bind {
            step,
            path: path.to_owned(),
            source,
        }
    };
    clear(path)?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed("make the directory of"))?;
    }
    let listener = StdListener::bind(path).map_err(failed("bind"))?;
    // Until its mode is set, the gate of `peer` alone keeps others out.
    let mode = |mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode));
    mode(0o600).map_err(failed("set the mode of"))?;
    if let Some(gid) = peer::group_id(group) {
        match std::os::unix::fs::chown(path, None, Some(gid)) {
            Ok(()) => mode(0o660).map_err(failed("set the mode of"))?,
            // By hand and not as root: the socket stays its owner's.
            Err(error) => tracing::warn!(group, %error, "the socket stays its owner's"),
        }
    } else {
        tracing::warn!(group, "no such group: only root may read the socket");
    }
    Ok(listener)
}

/// Removes a socket that a dead daemon left behind.
fn clear(path: &Path) -> Result<(), ListenError> {
    let path = path.to_owned();
    let kind = match std::fs::symlink_metadata(&path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            let step = "look at";
            return Err(ListenError::Bind { step, path, source });
        }
    };
    if !kind.is_socket() {
        return Err(ListenError::InTheWay { path });
    }
    match UnixStream::connect(&path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let step = "remove the stale";
            std::fs::remove_file(&path).map_err(|source| ListenError::Bind { step, path, source })
        }
        // An answer, or a full queue: somebody listens.
        Ok(_) | Err(_) => Err(ListenError::InUse { path }),
    }
}
