//! Real sockets of this process: one user's, so they can join each other.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::*;

/// Listens on `[::]:port` as kube-apiserver does with `--permit-port-sharing`.
fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.set_reuse_port(true).unwrap();
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    socket.bind(&address.into()).unwrap();
    socket.listen(128).unwrap();
    socket.into()
}

/// A port that nobody has: among sockets that share, the kernel's own choice may be another's.
fn free() -> u16 {
    let alone = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    alone.local_addr().unwrap().port()
}

/// Whoever has one of `count` new connections to this address, each closed again.
fn reached(address: SocketAddr, listeners: &[&TcpListener], count: usize) -> Vec<usize> {
    let mut reached = vec![0; listeners.len()];
    for _ in 0..count {
        let mut client = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        // A dropped packet would come again after a second: long before that.
        let whose = (0..).map(|look| look % listeners.len()).find_map(|index| {
            listeners[index].set_nonblocking(true).unwrap();
            listeners[index].accept().ok().map(|it| (index, it.0))
        });
        let (index, mut server) = whose.unwrap();
        reached[index] += 1;
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    reached
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv6Addr::LOCALHOST, port).into()
}

fn elsewhere(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn id() -> CheckpointId {
    CheckpointId::parse("daemonset.kube-system.kube-apiserver").unwrap()
}

#[test]
fn c09_new_connections_reach_the_copy_until_the_parent_serves() {
    let port = free();
    let copy = listen(port);
    let steering = Steering::default();
    steering.steer_now(&id(), port, Side::Copy).unwrap();
    let to = |side| Steered::To { port, side };
    assert_eq!(steering.seen()[&id()], to(Side::Copy));
    let shared = steering.shared(&id()).unwrap();
    assert!(shared.parent().unwrap_err().contains("yet"));
    assert_eq!(reached(elsewhere(port), &[&copy], 20), [20]);
    assert_eq!(reached(loopback(port), &[&copy], 20), [20]);

    let parent = listen(port);
    let first = shared.parent().unwrap();
    assert_eq!(reached(elsewhere(port), &[&copy, &parent], 100), [100, 0]);
    assert_eq!(reached(loopback(port), &[&copy, &parent], 100), [0, 100]);

    // The parent ends and starts anew.
    drop(parent);
    assert_eq!(reached(loopback(port), &[&copy], 20), [20]);
    let parent = listen(port);
    assert_ne!(shared.parent().unwrap(), first);
    assert_eq!(reached(elsewhere(port), &[&copy, &parent], 100), [100, 0]);

    steering.steer_now(&id(), port, Side::Parent).unwrap();
    assert_eq!(steering.seen()[&id()], to(Side::Parent));
    assert_eq!(reached(elsewhere(port), &[&copy, &parent], 100), [0, 100]);
    drop(copy);
    assert_eq!(reached(elsewhere(port), &[&parent], 20), [20]);
    assert_eq!(reached(loopback(port), &[&parent], 20), [20]);

    steering.steer_now(&id(), port, Side::Hash).unwrap();
    assert!(steering.seen().is_empty());
    let another = listen(port);
    let dealt = reached(elsewhere(port), &[&parent, &another], 200);
    assert!(dealt.iter().all(|count| *count > 20), "{dealt:?}");
}

#[test]
fn where_the_order_is_not_known_nothing_is_steered() {
    let port = free();
    let _one = listen(port);
    let _other = listen(port);
    let steering = Steering::default();
    steering.steer_now(&id(), port, Side::Copy).unwrap();
    let refused = &steering.seen()[&id()];
    assert!(
        matches!(refused, Steered::Refused(why) if why.contains("2 listen")),
        "{refused:?}"
    );
    assert_eq!(steering.shared(&id()), None);
    steering.steer_now(&id(), 0, Side::Hash).unwrap();
    assert!(steering.seen().is_empty());
}

#[test]
fn a_port_of_one_address_is_refused() {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = one.local_addr().unwrap().port();
    let steering = Steering::default();
    steering.steer_now(&id(), port, Side::Copy).unwrap();
    let refused = &steering.seen()[&id()];
    assert!(
        matches!(refused, Steered::Refused(why) if why.contains("--bind-address")),
        "{refused:?}"
    );
}

#[test]
fn a_port_that_does_not_let_others_in_is_refused() {
    let one = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = one.local_addr().unwrap().port();
    let steering = Steering::default();
    steering.steer_now(&id(), port, Side::Copy).unwrap();
    let refused = &steering.seen()[&id()];
    assert!(
        matches!(refused, Steered::Refused(why) if why.contains("user")),
        "{refused:?}"
    );
}
