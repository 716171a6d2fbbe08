//! The programs by which the kernel chooses among the sockets that listen on one port: classic BPF
//! that answers the place of the socket in the order in which they began to listen. A place that
//! there is not is no choice: the kernel then goes by the connection's hash, as without a program.
//!
//! Source: Linux `net/core/sock_reuseport.c`, `reuseport_select_sock`; `socket(7)`,
//! `SO_ATTACH_REUSEPORT_CBPF`.

use nix::libc::sock_filter;

use super::Side;

/// Loads a byte, and a word, at a place in the packet.
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP_IF_EQUAL: u16 = 0x15;
const ANSWER: u16 = 0x06;
/// The packet's network header. Source: `linux/filter.h`, `SKF_NET_OFF`.
const NETWORK: u32 = 0xfff0_0000;
/// Where the source address of an IPv6 packet begins.
const SOURCE: u32 = NETWORK + 8;
/// Copy and parent, in the order in which they began to listen.
const COPY: u32 = 0;
const PARENT: u32 = 1;
/// No socket has this place.
const NOBODY: u32 = u32::MAX;

/// The program that sends new connections to `side`.
pub(super) fn choosing(side: Side) -> Vec<sock_filter> {
    match side {
        Side::Copy => copy_but_for_loopback(),
        Side::Parent => vec![answer(PARENT)],
        Side::Hash => vec![answer(NOBODY)],
    }
}

/// A socket filter that drops every packet.
pub(super) fn dropping() -> Vec<sock_filter> {
    vec![answer(0)]
}

/// What comes from `::1` is for the parent: its own clients, without which it never gets ready, and
/// the daemon's question. Everything else is for the copy.
fn copy_but_for_loopback() -> Vec<sock_filter> {
    vec![
        one(LOAD_BYTE, NETWORK),
        one(SHIFT_RIGHT, 4),
        equal(6, 0, 9),
        one(LOAD_WORD, SOURCE),
        equal(0, 0, 7),
        one(LOAD_WORD, SOURCE + 4),
        equal(0, 0, 5),
        one(LOAD_WORD, SOURCE + 8),
        equal(0, 0, 3),
        one(LOAD_WORD, SOURCE + 12),
        equal(1, 0, 1),
        answer(PARENT),
        answer(COPY),
    ]
}

fn answer(place: u32) -> sock_filter {
    one(ANSWER, place)
}

fn one(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Goes on `yes` instructions further where the value is `k`, `no` further where it is not.
fn equal(k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        code: JUMP_IF_EQUAL,
        jt: yes,
        jf: no,
        k,
    }
}
