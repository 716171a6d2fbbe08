//! Who listens on a port, from `/proc`.

use std::path::Path;

use crate::steering::sockets_on;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Name of its program.
    pub program: String,
}

/// The process that listens on TCP port `port` in our network; `None`: nobody, or nobody whom we
/// may see. Blocking.
#[must_use]
pub fn holder(port: u16) -> Option<Holder> {
    let sockets: Vec<String> = sockets_on(port)
        .unwrap_or_default()
        .into_iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut links = files
            .filter_map(Result::ok)
            .filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.any(|link| sockets.iter().any(|socket| link == Path::new(socket))) {
            let program = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder {
                pid,
                program: program.trim().to_owned(),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(holder(port).unwrap().pid, std::process::id());
        drop(listener);
        assert_eq!(holder(port), None);
    }
}
