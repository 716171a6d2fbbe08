//! The cluster as the other members see it.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::config::Settings;
use crate::core::backup::manifest::Member;
use crate::core::recovery::etcd::Home;
use crate::core::recovery::etcd::replace::Seen;
use crate::etcd::{AlarmKind, Etcd};
use crate::recovery::etcd::{Error, members, verify};
use crate::store::chain;

/// The cluster, and a way to change it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) etcd: Etcd,
    /// A member of another node that is in the quorum.
    pub(super) endpoint: String,
    pub(super) cluster_id: u64,
    pub(super) members: Vec<Seen>,
    /// Client addresses of the other members that answer.
    pub(super) others: Vec<String>,
}

/// Addresses at which other members may answer: only to be asked. Blocks.
pub(super) fn candidates(settings: &Settings, home: &Home) -> Vec<String> {
    let recorded = members::recorded(&home.data_dir).unwrap_or_default();
    let recorded = recorded.into_iter().flat_map(|member| member.client_urls);
    let all = settings.etcd.endpoints.iter().cloned();
    let all = all.chain(recorded).chain(home.guessed_clients());
    let all: BTreeSet<String> = all.filter(|url| !home.listens_on(url)).collect();
    all.into_iter().collect()
}

/// Asks the members at `candidates`. That a quorum lives is proven by asking through it.
///
/// # Errors
/// [`Error::NotReplaced`] where no other member of a quorum answers, or they are not of one
/// cluster.
pub(super) async fn look(
    settings: &Settings,
    home: &Home,
    candidates: &[String],
) -> Result<Cluster, Error> {
    let refused = |why: String| Err(Error::NotReplaced(why));
    if candidates.is_empty() {
        return refused("no other member of the cluster is known".to_owned());
    }
    let asked = crate::etcd::Settings {
        endpoints: candidates.to_vec(),
        ..settings.etcd.clone()
    };
    let etcd = Etcd::connect(&asked).await?;
    let (mut live, mut silent) = (Vec::new(), Vec::new());
    for (endpoint, status) in etcd.statuses().await {
        match status {
            Ok(status) if status.leader != 0 => live.push(status),
            Ok(_) => silent.push(format!("{endpoint} knows no leader")),
            Err(error) => silent.push(chain(&error)),
        }
    }
    let Some(first) = live.first().cloned() else {
        let why = silent.join("; ");
        return refused(format!("no other member is in a quorum: {why}"));
    };
    if live
        .iter()
        .any(|other| other.cluster_id != first.cluster_id)
    {
        return refused("the other members are not of one cluster".to_owned());
    }
    // By way of raft: whoever answers has a quorum.
    let quorum = crate::etcd::Settings {
        endpoints: vec![first.endpoint.clone()],
        ..asked.clone()
    };
    let quorum = Etcd::connect(&quorum).await?;
    let alarms = match quorum.alarms().await {
        Ok(alarms) => alarms,
        Err(error) => return refused(format!("the others have no quorum: {}", chain(&error))),
    };
    let listed = etcd.members_by(&first.endpoint).await?;
    let own = own_status(settings, home).await;
    let known: Vec<u64> = live.iter().map(|status| status.member_id).collect();
    let ask = listed.into_iter().map(async |member: Member| {
        let corrupt = alarms
            .iter()
            .any(|it| it.kind == AlarmKind::Corrupt && it.member_id == member.id);
        let answers = if Some(member.id) == own {
            true
        } else {
            known.contains(&member.id) || answers(&etcd, &member).await
        };
        Seen {
            healthy: answers && !corrupt,
            member,
        }
    });
    let members: Vec<Seen> = join_all(ask).await;
    Ok(Cluster {
        endpoint: first.endpoint,
        cluster_id: first.cluster_id,
        others: live.into_iter().map(|status| status.endpoint).collect(),
        members,
        etcd,
    })
}

/// A member that is no candidate, at its own addresses. Another one behind the same address proves
/// nothing about this one.
async fn answers(etcd: &Etcd, member: &Member) -> bool {
    for url in &member.client_urls {
        if let Ok(status) = etcd.status(url).await
            && status.member_id == member.id
            && status.leader != 0
        {
            return true;
        }
    }
    false
}

/// The id under which this node's member answers and knows a leader.
async fn own_status(settings: &Settings, home: &Home) -> Option<u64> {
    let (etcd, endpoint) = verify::own(settings, home).await.ok()?;
    let status = etcd.status(&endpoint).await.ok()?;
    (status.leader != 0).then_some(status.member_id)
}
