//! Invariant 6: no restore while a member of the old cluster answers. A member of another node
//! that accepts a connection answers, whatever it says; this node's own one may, as long as it
//! knows no leader, or is known to be another cluster (`emptied.rs`). Silence of another node is
//! what a lost quorum looks like and counts as none.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::Error;
use super::emptied::{highest, is_another};
use super::power::{Reach, reachable};
use crate::config::Settings;
use crate::core::backup::manifest::Member;
use crate::core::recovery::etcd::{Home, Source};
use crate::etcd::{Etcd, EtcdError};
use crate::store::chain;

/// Most addresses that are asked.
const MOST: usize = 64;

/// Refuses where somebody answers. `known`: members from the database or the backup.
///
/// # Errors
/// [`Error::Answers`], [`Error::Unknown`].
pub(super) async fn nobody_answers(
    settings: &Settings,
    home: &Home,
    source: &Source,
    known: &[Member],
) -> Result<(), Error> {
    let others = others(settings, home, known);
    let asked = others.iter().take(MOST);
    let reached = join_all(asked.map(async |url| (url, reachable(url).await))).await;
    if let Some((url, _)) = reached.iter().find(|(_, reach)| *reach == Reach::Open) {
        return Err(Error::Answers(format!(
            "somebody accepts connections at {url}"
        )));
    }
    own(settings, home, source).await
}

/// Addresses of the other members.
fn others(settings: &Settings, home: &Home, known: &[Member]) -> BTreeSet<String> {
    let is_own = |member: &&Member| {
        let mut urls = member.peer_urls.iter();
        member.name == home.name || urls.any(|url| home.peer_urls.contains(url))
    };
    let members = known.iter().filter(|member| !is_own(member));
    let members = members.flat_map(|member| member.peer_urls.iter().chain(&member.client_urls));
    let peers = home.others().into_iter().map(|(_, url)| url);
    let all = settings.etcd.endpoints.iter().cloned();
    let all = all.chain(members.cloned()).chain(peers);
    all.chain(home.guessed_clients())
        .filter(|url| !home.listens_on(url) && !home.peer_urls.contains(url))
        .collect()
}

/// This node's member: it may run, but not as a part of a cluster that lives.
async fn own(settings: &Settings, home: &Home, source: &Source) -> Result<(), Error> {
    let Some(endpoint) = home.endpoint(&settings.etcd.endpoints) else {
        return Ok(());
    };
    if reachable(&endpoint).await == Reach::Refused {
        return Ok(());
    }
    let one = crate::etcd::Settings {
        endpoints: vec![endpoint.clone()],
        ..settings.etcd.clone()
    };
    let highest = highest(settings).await;
    let asked = async { Etcd::connect(&one).await?.status(&endpoint).await };
    match asked.await {
        // Its data was lost, and it has begun anew: what it leads is not the old cluster.
        Ok(status)
            if status.leader != 0
                && is_another(settings, home, source, (status.revision, highest)).await =>
        {
            Ok(())
        }
        Ok(status) if status.leader != 0 => Err(Error::Answers(format!(
            "{endpoint} has a leader ({:x})",
            status.leader
        ))),
        // It hangs: the stop that follows is verified.
        Ok(_) | Err(EtcdError::TimedOut { .. }) => Ok(()),
        Err(_) if reachable(&endpoint).await == Reach::Refused => Ok(()),
        Err(error) => Err(Error::Unknown(chain(&error))),
    }
}
