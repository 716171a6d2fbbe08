//! Whom new connections to a port reach that a checkpoint's copy and its parent share
//! (`--permit-port-sharing` of kube-apiserver, so `SO_REUSEPORT`): the copy until the parent
//! serves, then the parent. So a hand-over has no gap.
//!
//! Left alone the kernel deals connections out to both, and half of the clients meet a parent that
//! is still starting. A program that is attached to any of the sockets chooses for all of them
//! (`program.rs`). The daemon has none of theirs, and needs no right to look into their processes:
//! it joins them with a socket of its own for the blink of an eye, attaches the program, and
//! leaves. The program stays; a packet that finds the daemon's socket meanwhile is dropped, and
//! sent again by its sender.
//!
//! While both listen, what comes from `::1` is sent to the parent: an API server that listens on
//! every address talks to itself from there, and gets ready only when it reaches itself
//! (kube-apiserver 1.20, `pkg/server/secure_serving.go` and `LoopbackHostPort`). By that way the
//! daemon asks it whether it serves, too.

mod listeners;
mod program;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc::{sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};
use tracing::info;

use crate::core::id::CheckpointId;
use crate::core::sharing::{Side, Steered};
use listeners::{Listener, has_loopback, listeners};

/// What is steered on this node. Memory only: after a restart it is asked for again.
#[derive(Debug, Clone, Default)]
pub struct Steering {
    steered: Arc<Mutex<BTreeMap<CheckpointId, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    /// The copy's socket.
    copy: Option<Listener>,
    said: Steered,
}

/// A port of which a parent is asked beside its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedPort {
    /// The port.
    pub port: u16,
    /// The inode of the copy's socket.
    copy: u64,
}

/// Whether anybody listens on this port, on whatever address of the daemon's network.
///
/// # Errors
/// The kernel's list cannot be read.
pub fn is_listened_on(port: u16) -> io::Result<bool> {
    listeners::is_any(port)
}

/// The numbers (inodes) of the sockets that listen on this port, on whatever address of the daemon's
/// network. Blocking.
///
/// # Errors
/// The kernel's list cannot be read.
pub fn sockets_on(port: u16) -> io::Result<Vec<u64>> {
    let all = listeners::everywhere(port)?;
    Ok(all.into_iter().map(|listener| listener.inode).collect())
}

impl Steering {
    /// What is steered now, for a decision.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<CheckpointId, Steered> {
        let said = |(id, entry): (&CheckpointId, &Entry)| (id.clone(), entry.said.clone());
        self.entries().iter().map(said).collect()
    }

    /// How the parent of this checkpoint is asked, while its copy is beside it.
    #[must_use]
    pub fn shared(&self, id: &CheckpointId) -> Option<SharedPort> {
        let entries = self.entries();
        let entry = entries.get(id)?;
        match entry.said {
            Steered::To { port, .. } => Some(SharedPort {
                port,
                copy: entry.copy?.inode,
            }),
            Steered::Refused(_) => None,
        }
    }

    /// Sends new connections to `port` to `side`. Where that cannot be done, it is remembered as
    /// refused: that is an answer, no error.
    ///
    /// # Errors
    /// The kernel refuses a program on sockets that it took one for before.
    pub async fn steer(&self, id: &CheckpointId, port: u16, side: Side) -> io::Result<()> {
        let (steering, id) = (self.clone(), id.clone());
        tokio::task::spawn_blocking(move || steering.steer_now(&id, port, side)).await?
    }

    /// Reads the kernel's list of sockets, which may be long: blocking.
    fn steer_now(&self, id: &CheckpointId, port: u16, side: Side) -> io::Result<()> {
        let mut entries = self.entries();
        match side {
            Side::Copy => {
                let (copy, said) = match begin(port) {
                    Ok(copy) => (Some(copy), Steered::To { port, side }),
                    Err(why) => {
                        info!(checkpoint = %id, why, "its port is handed over with a gap");
                        (None, Steered::Refused(why))
                    }
                };
                entries.insert(id.clone(), Entry { copy, said });
                Ok(())
            }
            Side::Parent => {
                attach(port, &program::choosing(side))?;
                if let Some(entry) = entries.get_mut(id) {
                    entry.said = Steered::To { port, side };
                }
                Ok(())
            }
            Side::Hash => {
                let steered = entries.remove(id);
                if steered.is_none_or(|entry| entry.copy.is_none()) || listeners(port)?.is_empty() {
                    return Ok(());
                }
                attach(port, &program::choosing(side))
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<CheckpointId, Entry>> {
        self.steered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedPort {
    /// Where the parent is asked: connections from this address to itself are the parent's.
    pub const HOST: Ipv6Addr = Ipv6Addr::LOCALHOST;

    /// The socket of the parent, by its inode. Blocking.
    ///
    /// # Errors
    /// It does not listen (yet), or is not alone beside the copy: a connection may reach another.
    pub fn parent(&self) -> Result<u64, String> {
        let all = listeners(self.port).map_err(|error| error.to_string())?;
        let others: Vec<u64> = all.iter().map(|it| it.inode).collect();
        match others.as_slice() {
            [one, other] if *one == self.copy => Ok(*other),
            [other, one] if *one == self.copy => Ok(*other),
            [one] if *one == self.copy => Err(format!("it does not listen on {} yet", self.port)),
            _ => Err(format!("others listen on {} beside the copy", self.port)),
        }
    }
}

/// Begins to steer, while nobody but the copy listens: only then its place is known.
fn begin(port: u16) -> Result<Listener, String> {
    let all = listeners(port).map_err(|error| error.to_string())?;
    let copy = match all.as_slice() {
        [copy] => *copy,
        [] => {
            return Err(format!(
                "the copy does not listen on [::]:{port}: it has no IPv6, or --bind-address names one address"
            ));
        }
        several => return Err(format!("{} listen on [::]:{port} already", several.len())),
    };
    if !has_loopback() {
        return Err("there is no ::1 here".to_owned());
    }
    attach(port, &program::choosing(Side::Copy)).map_err(|error| {
        format!(
            "no socket beside the copy's, of user {}, on [::]:{port}: {error}",
            copy.user
        )
    })?;
    Ok(copy)
}

/// Joins the sockets that listen on `[::]:port`, gives them the program, and leaves.
///
/// The kernel lets only the same user's sockets join each other.
fn attach(port: u16, program: &[sock_filter]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM.cloexec(), None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_port(true)?;
    let drops = program::dropping();
    let drops: Vec<socket2::SockFilter> = drops
        .iter()
        .map(|it| socket2::SockFilter::new(it.code, it.jt, it.jf, it.k))
        .collect();
    socket.attach_filter(&drops)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(1)?;
    let mut program = program.to_vec();
    let program = sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    setsockopt(&socket, sockopt::AttachReusePortCbpf, &program)?;
    Ok(())
}

#[cfg(test)]
mod tests;
