//! Leases of leader election whose holder leads no more.
//!
//! Two things prove that: its container here has ended ([`Proven`]), or it cannot have renewed the
//! lease since etcd was lost, and by its own rules it stopped leading one duration later. Cleared,
//! the next leader need not wait: whoever wants to lead counts a whole duration from when it first
//! reads the lease, however old that is. Source: `client-go`
//! `tools/leaderelection/leaderelection.go`, `tryAcquireOrRenew`.

use jiff::{SignedDuration, Timestamp};

use super::facts::{Facts, Lease, Node};
use super::{Act, Planned, unseen};
use crate::core::reading::Reading;
use crate::core::recovery::leaders::Proven;
use crate::core::recovery::policy::Hygiene;
use crate::core::recovery::record::{Ending, Finding};

/// Clocks of masters, and the moments in which two of them see a loss, differ by less.
const CLOCKS: SignedDuration = SignedDuration::from_secs(10);

/// All of them, for people.
const ALL: &str = "leases of kube-system";
/// Between the lease and its holder, for people.
const HELD: &str = " is held by ";
/// Why nothing is done about a lease yet.
const EARLY: &str = "its holder may not have given up yet";

/// What the leases are looked at by.
#[derive(Debug, Clone, Copy)]
pub struct Election<'a> {
    /// This node.
    pub node: &'a str,
    /// When etcd was lost: nobody can have renewed anything after that.
    pub lost_at: Timestamp,
    /// When etcd served again.
    pub restored_at: Timestamp,
    /// Now.
    pub wall: Timestamp,
    /// Nodes of the API, where they are known.
    pub nodes: Option<&'a [Node]>,
    /// Whose containers here have ended.
    pub proven: &'a Proven,
    /// etcd has served all the time, so nothing but that end proves anything: a holder whose clock
    /// is behind renews its lease all the same.
    pub etcd_lived: bool,
}

/// Of everything that was looked at once.
pub(super) fn leases(facts: &Facts) -> Vec<Planned> {
    let look = &facts.second;
    let Reading::Known(leases) = &look.leases else {
        return unseen(Hygiene::Leases, ALL, &look.leases)
            .into_iter()
            .collect();
    };
    let election = Election {
        node: &facts.node,
        lost_at: facts.lost_at,
        restored_at: facts.restored_at,
        wall: look.wall,
        nodes: look.nodes.known().map(Vec::as_slice),
        proven: &Proven::default(),
        etcd_lived: false,
    };
    stale(leases, &election)
}

/// Leases that are held by somebody of before the restore; each is cleared, or its holder may still
/// lead.
#[must_use]
pub fn stale(leases: &[Lease], by: &Election<'_>) -> Vec<Planned> {
    let stale = leases.iter().filter_map(|lease| one(lease, by));
    stale.collect()
}

fn one(lease: &Lease, by: &Election<'_>) -> Option<Planned> {
    let holder = lease
        .holder
        .as_deref()
        .filter(|holder| !holder.is_empty())?;
    // Those of API servers are no leader election; they clear up after each other.
    if lease.of_an_apiserver {
        return None;
    }
    let renewed = lease.renewed?;
    // What is stored was written before the loss: anything clearly later was renewed since.
    let since = later(by.lost_at, CLOCKS);
    if renewed >= by.restored_at.min(since) {
        return None;
    }
    let duration = SignedDuration::from_secs(lease.duration_seconds.unwrap_or(60).max(0));
    let given_up = later(renewed.max(by.lost_at), duration.saturating_mul(2));
    let ended = by.proven.covers(&lease.name, holder);
    let node = holder.split_once('_').map_or(holder, |(node, _)| node);
    let gone = by
        .nodes
        .is_some_and(|nodes| !nodes.iter().any(|it| it.name == node));
    let why = if ended {
        "whose container on this node has ended".to_owned()
    } else if gone && node != by.node {
        format!("of {node}, which is no node any more")
    } else {
        let since = if by.etcd_lived { "loss" } else { "restore" };
        format!("who has not renewed it since before the {since}")
    };
    Some(Planned {
        kind: Hygiene::Leases,
        what: format!("lease {}{HELD}{holder}, {why}", lease.name),
        act: if ended || (by.wall >= given_up && !by.etcd_lived) {
            Ok(Act::ClearLease {
                name: lease.name.clone(),
                resource_version: lease.resource_version.clone(),
            })
        } else {
            Err(EARLY.to_owned())
        },
    })
}

/// `before`, of a look in which nothing could be done about a lease, says nothing any more once
/// `cleared` is: that lease was cleared.
#[must_use]
pub fn superseded(before: &Finding, cleared: &Finding) -> bool {
    let lease = cleared.what.split(HELD).next().unwrap_or_default();
    let same = before.what.split(HELD).next() == Some(lease);
    let kind = Hygiene::Leases.word();
    before.kind == kind
        && cleared.kind == kind
        && matches!(before.end, Ending::Left(_))
        && cleared.end == Ending::Done
        && (same || before.what.starts_with(ALL))
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
