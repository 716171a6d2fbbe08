//! Who may do what over the socket.
//!
//! The kernel's first gate is the socket file (0660, group of readers). The second is here, by
//! `SO_PEERCRED`, asked for every request: root may do everything, members of the group may read,
//! everyone else gets 403 (scenario D06).
//!
//! Source: `unix(7)` on `SO_PEERCRED`: the credentials are those at `connect(2)`.

use std::fs::File;
use std::io::Read;

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look.
    Read,
    /// Change something: take a backup.
    Change,
}

/// The process on the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Process id, where it lives in our pid namespace.
    pub pid: Option<i32>,
}

/// The request is not for this peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied;

/// Decides. `readers` is the group that may read, `groups` are the peer's supplementary groups.
///
/// # Errors
/// Where the peer may not.
pub fn gate(
    access: Access,
    peer: Peer,
    groups: &[u32],
    readers: Option<u32>,
) -> Result<(), Denied> {
    let member = readers.is_some_and(|readers| peer.gid == readers || groups.contains(&readers));
    match access {
        _ if peer.uid == 0 => Ok(()),
        Access::Read if member => Ok(()),
        Access::Read | Access::Change => Err(Denied),
    }
}

/// Supplementary groups of a process; none where they cannot be read, which only denies.
#[must_use]
pub fn groups(pid: Option<i32>) -> Vec<u32> {
    let Some(pid) = pid else {
        return Vec::new();
    };
    let status = read_text(&format!("/proc/{pid}/status"), 16 * 1024);
    status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))
        .map(|line| {
            line.split_whitespace()
                .filter_map(|gid| gid.parse().ok())
                .collect()
        })
        .unwrap_or_default()
}

/// Number of a group in `/etc/group`; other sources of groups are not asked.
#[must_use]
pub fn group_id(name: &str) -> Option<u32> {
    group_in(&read_text("/etc/group", 1024 * 1024), name)
}

fn group_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn read_text(path: &str, limit: u64) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    read.map(|_| text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Access, Denied, Peer, gate, group_in, groups};

    #[test]
    fn d06_only_root_changes_and_only_the_group_reads() {
        let peer = |uid, gid| Peer {
            uid,
            gid,
            pid: None,
        };
        for (access, uid, gid, groups, readers, expected) in [
            (Access::Read, 0, 0, &[][..], None, Ok(())),
            (Access::Change, 0, 0, &[], None, Ok(())),
            (Access::Change, 0, 65534, &[], Some(900), Ok(())),
            (Access::Read, 1000, 900, &[], Some(900), Ok(())),
            (Access::Read, 1000, 1000, &[4, 900], Some(900), Ok(())),
            (Access::Change, 1000, 900, &[900], Some(900), Err(Denied)),
            (Access::Read, 1000, 1000, &[4], Some(900), Err(Denied)),
            (Access::Read, 1000, 0, &[0], Some(900), Err(Denied)),
            (Access::Read, 1000, 1000, &[], None, Err(Denied)),
            (Access::Read, 65534, 65534, &[], Some(900), Err(Denied)),
        ] {
            let told = format!("{access:?} {uid} {gid} {groups:?} {readers:?}");
            assert_eq!(
                gate(access, peer(uid, gid), groups, readers),
                expected,
                "{told}"
            );
        }
    }

    #[test]
    fn groups_come_from_the_system() {
        let text = "root:x:0:\nrekindle-x:x:5:\nbroken\nrekindle:x:970:alice\n";
        assert_eq!(group_in(text, "rekindle"), Some(970));
        assert_eq!(group_in(text, "broken"), None);
        assert_eq!(group_in(text, "nobody"), None);
        assert_eq!(groups(None), Vec::<u32>::new());
        assert_eq!(groups(Some(-1)), Vec::<u32>::new());
    }
}
