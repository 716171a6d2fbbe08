//! Who listens on a port, by the kernel's own list.
//!
//! The kernel gives the list a page at a time, and finds its place again by counting: while others begin and
//! end to listen, a row may come twice, or not at all. So a socket counts once, and the list is read twice
//! before one is not there. Source: Linux `net/ipv4/tcp_ipv4.c`, `tcp_seek_last_pos`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};

/// Bytes of a list that are read: some 60 000 connections.
const LIMIT: u64 = 10 << 20;

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listener {
    /// The user whose process made it.
    pub(super) user: u32,
    /// The socket's number: another one for another socket.
    pub(super) inode: u64,
}

/// `st` of a socket that listens. Source: Linux `include/net/tcp_states.h`, `TCP_LISTEN`.
const LISTENS: &str = "0A";
/// `::1`, as the kernel lists addresses.
const LOOPBACK: &str = "00000000000000000000000000000001";

/// The sockets that listen on `[::]:port` in this network namespace.
pub(super) fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    let look = || io::Result::Ok(parse(&read("/proc/net/tcp6")?, port));
    Ok(either(look()?, look()?))
}

/// Those that listen on this port, on whatever address.
pub(super) fn everywhere(port: u16) -> io::Result<Vec<Listener>> {
    Ok(either(on_any_address(port)?, on_any_address(port)?))
}

/// Whether anybody listens on this port, on whatever address: one row is enough.
pub(super) fn is_any(port: u16) -> io::Result<bool> {
    Ok(!on_any_address(port)?.is_empty() || !on_any_address(port)?.is_empty())
}

/// Those that stand in either, each of them once.
fn either(one: Vec<Listener>, other: Vec<Listener>) -> Vec<Listener> {
    let all: BTreeSet<Listener> = one.into_iter().chain(other).collect();
    all.into_iter().collect()
}

fn on_any_address(port: u16) -> io::Result<Vec<Listener>> {
    let suffix = format!(":{port:04X}");
    // Without IPv6 there is no such list.
    let six = read("/proc/net/tcp6").unwrap_or_default();
    let four = read("/proc/net/tcp")?;
    let rows = four.lines().chain(six.lines());
    let of_port = |local: &str| local.ends_with(&suffix);
    Ok(rows.filter_map(|row| listener(row, of_port)).collect())
}

/// Those that listen stand first in a list, so nothing of them is cut off.
fn read(list: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(list)?.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether there is an `::1` to connect to and from.
pub(super) fn has_loopback() -> bool {
    let listed = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    listed.lines().any(|line| line.starts_with(LOOPBACK))
}

fn parse(listed: &str, port: u16) -> Vec<Listener> {
    let local = format!("{:032}:{port:04X}", 0);
    let rows = listed.lines();
    rows.filter_map(|row| listener(row, |it| it == local))
        .collect()
}

/// The socket of a row, where it listens on such an address.
///
/// Source: Linux `Documentation/networking/proc_net_tcp.rst`.
fn listener(row: &str, is_local: impl Fn(&str) -> bool) -> Option<Listener> {
    let mut fields = row.split_ascii_whitespace();
    if !is_local(fields.nth(1)?) || fields.nth(1)? != LISTENS {
        return None;
    }
    Some(Listener {
        user: fields.nth(3)?.parse().ok()?,
        inode: fields.nth(1)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;

    use super::*;

    const LISTED: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28312 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 28400 1 0000000000000000 100 0 0 10 0
   2: 00000000000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28501 1 0000000000000000 100 0 0 10 0
   3: 00000000000000000000000000000000:192B 0000000000000000FFFF00000100007F:D2A4 01 00000000:00000000 00:00000000 00000000     0        0 28602 1 0000000000000000 100 0 0 10 0
";

    /// Failed with "2 listen" where tests ran side by side: the last row came again.
    #[test]
    fn others_that_come_and_go_neither_double_nor_hide_a_listener() {
        let bound = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let done = AtomicBool::new(false);
        let mut seen = BTreeSet::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    drop(bound());
                }
            });
            // Another port each time: which row is the last one depends on it.
            for ours in (0..40).map(|_| bound()) {
                let port = ours.local_addr().unwrap().port();
                seen.extend((0..10).map(|_| listeners(port).unwrap().len()));
            }
            done.store(true, Relaxed);
        });
        assert_eq!(seen, BTreeSet::from([1]));
    }

    #[test]
    fn those_that_listen_on_every_address_are_listed() {
        let found = parse(LISTED, 6443);
        let seen: Vec<(u32, u64)> = found.iter().map(|it| (it.user, it.inode)).collect();
        assert_eq!(seen, [(0, 28312), (65534, 28400)]);
        assert_eq!(parse(LISTED, 443), []);
        assert_eq!(parse("broken\n1: a b", 6443), []);
    }
}
