//! What this host is called and which addresses it has, as the kernel tells without being asked
//! anything: read from its files, which are those of our own network namespace.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the kernel lists its routes, local addresses among them.
/// Source: Linux `net/ipv4/fib_trie.c`, `fib_trie_seq_show`.
const IPV4: &str = "/proc/self/net/fib_trie";
/// Source: Linux `net/ipv6/addrconf.c`, `if6_seq_show`.
const IPV6: &str = "/proc/self/net/if_inet6";
const NAME: &str = "/proc/sys/kernel/hostname";

/// This host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Host {
    /// Its name; empty where it cannot be read.
    pub name: String,
    /// Its addresses but loopback and link-local ones; empty where they cannot be read.
    pub addresses: BTreeSet<IpAddr>,
}

impl Host {
    /// Reads it. What cannot be read is left empty, which says nothing about it.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut addresses = ipv4(&read(IPV4));
        addresses.extend(ipv6(&read(IPV6)));
        Self {
            name: read(NAME).trim().to_lowercase(),
            addresses,
        }
    }
}

/// The local addresses in a `fib_trie`.
#[must_use]
pub fn ipv4(text: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.filter(|a| !a.is_loopback() && !a.is_link_local())
        {
            found.insert(IpAddr::V4(address));
        }
    }
    found
}

/// The addresses in an `if_inet6`.
#[must_use]
pub fn ipv6(text: &str) -> BTreeSet<IpAddr> {
    let addresses = text.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        let address = Ipv6Addr::from_bits(bits);
        let local = address.is_loopback() || address.segments()[0] & 0xffc0 == 0xfe80;
        (!local && digits.len() == 32).then_some(IpAddr::V6(address))
    });
    addresses.collect()
}
