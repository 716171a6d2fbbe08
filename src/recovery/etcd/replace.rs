//! This node's member, whose data is damaged or gone, replaced while the others have a quorum:
//! removed, added as a learner on an empty data directory, promoted. Nothing is lost by it.

mod cluster;
mod joining;
mod joining_unit;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::cluster::{Cluster, candidates, look};
use super::power::{self, blocking};
use super::{Error, LOOK, Record, Say, home, swap, verify};
use crate::config::Settings;
use crate::core::backup::manifest::Member;
use crate::core::recovery::etcd::replace::{initial_cluster, own, replaceable};
use crate::core::recovery::etcd::{Home, Place, Replace, ReplaceStage, Runs};
use crate::etcd::{EtcdError, Status};
use crate::failpoints::hit;
use crate::store::chain;

/// For the cluster to accept a change of its members: it refuses some seconds after another one.
const ACCEPTS: Duration = Duration::from_secs(90);
/// For the learner to catch up: a snapshot of the whole database is sent to it.
const CATCHES_UP: Duration = Duration::from_secs(1800);

/// What a replacement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The member.
    pub home: Home,
    /// Its id now.
    pub member_id: u64,
    /// Where the old data is kept; `None`: there was none.
    pub aside: Option<PathBuf>,
}

/// Looks at everything and refuses what may not be done: a member that is healthy, others without
/// a quorum. Changes nothing.
///
/// # Errors
/// [`Error::NotReplaced`] with the reason.
pub async fn prepare_replace(settings: &Settings, id: &str) -> Result<Replace, Error> {
    let home = home::find(settings).await?;
    if let Runs::SelfHosted { .. } = home.runs {
        return Err(not_told(&home.runs));
    }
    let (owned, at) = (settings.clone(), home.clone());
    let others = blocking(move || Ok(candidates(&owned, &at))).await?;
    let cluster = look(settings, &home, &others).await?;
    let old_member = own(&cluster.members, &home).map(|seen| seen.member.id);
    replaceable(&cluster.members, old_member).map_err(Error::NotReplaced)?;
    let (data_dir, owned) = (home.data_dir.clone(), id.to_owned());
    let place: Place = blocking(move || swap::look(data_dir, &owned)).await?;
    Ok(Replace {
        id: id.to_owned(),
        stage: ReplaceStage::Prepared,
        home,
        cluster_id: cluster.id,
        others: cluster.others,
        old_member,
        new_member: None,
        place,
    })
}

/// Replaces the member, or goes on with it where `resumed` says how far it came.
///
/// # Errors
/// A refusal or the step that failed. Until the member is removed, [`undo_replace`] takes
/// everything back; then the same call goes on.
pub async fn replace(
    settings: &Settings,
    id: &str,
    resumed: Option<Replace>,
    record: Record<'_, Replace>,
    say: Say<'_>,
) -> Result<Replaced, Error> {
    // What it holds while it waits is large, and nobody else has to hold it.
    Box::pin(steps(settings, id, resumed, record, say)).await
}

async fn steps(
    settings: &Settings,
    id: &str,
    resumed: Option<Replace>,
    record: Record<'_, Replace>,
    say: Say<'_>,
) -> Result<Replaced, Error> {
    power::place(settings, id)?;
    let mut it = match resumed {
        Some(it) if it.id == id => it,
        Some(it) => return Err(Error::NotReplaced(format!("{} is under way", it.id))),
        None => prepare_replace(settings, id).await?,
    };
    loop {
        record(&it)?;
        hit("replace-etcd.recorded");
        if it.stage == ReplaceStage::Done {
            break;
        }
        say(it.stage.said());
        match it.stage {
            ReplaceStage::Prepared | ReplaceStage::Done => {}
            ReplaceStage::Stopping => {
                still(settings, &it).await?;
                power::stop(settings, &it.home, &it.id, say).await?;
            }
            ReplaceStage::MovingAside => {
                power::stopped(&it.home).await?;
                let place = it.place.clone();
                blocking(move || swap::empty(&place)).await?;
            }
            ReplaceStage::Removing => remove(settings, &it).await?,
            ReplaceStage::Adding => it.new_member = Some(add(settings, &it).await?),
            ReplaceStage::Starting => join(settings, &it).await?,
            ReplaceStage::Promoting => promote(settings, &it).await?,
            ReplaceStage::Settling => settle(settings, &it, say).await?,
            ReplaceStage::Verifying => verify(settings, &it).await?,
        }
        hit("replace-etcd.step-done");
        it.stage = it.stage.next();
    }
    Ok(Replaced {
        member_id: it.new_member.unwrap_or(0),
        aside: it.place.had_data.then(|| it.place.aside()),
        home: it.home,
    })
}

/// Takes a replacement back whose member was not removed yet. Twice is once.
///
/// # Errors
/// [`Error::Committed`] where it was removed, or that is not known.
pub async fn undo_replace(settings: &Settings, it: &Replace, say: Say<'_>) -> Result<(), Error> {
    if it.stage.committed() {
        let listed = it.stage == ReplaceStage::Removing
            && seen(settings, it).await.is_ok_and(|cluster| {
                let mut ids = cluster.members.iter().map(|seen| seen.member.id);
                it.old_member.is_some_and(|old| ids.any(|id| id == old))
            });
        if !listed {
            let why = "the member may be removed from the cluster already";
            return Err(Error::Committed(why.to_owned()));
        }
    }
    if it.stage < ReplaceStage::Stopping {
        return Ok(());
    }
    say("starting etcd on its old data again");
    let place = it.place.clone();
    blocking(move || swap::refill(&place)).await?;
    power::start(settings, &it.home, &it.id).await
}

async fn seen(settings: &Settings, it: &Replace) -> Result<Cluster, Error> {
    let cluster = look(settings, &it.home, &it.others).await?;
    if cluster.id != it.cluster_id {
        return Err(Error::NotReplaced(format!(
            "the others are another cluster now ({:x}, before {:x})",
            cluster.id, it.cluster_id
        )));
    }
    Ok(cluster)
}

/// The reasons for it still hold.
async fn still(settings: &Settings, it: &Replace) -> Result<Cluster, Error> {
    let cluster = seen(settings, it).await?;
    replaceable(&cluster.members, it.old_member).map_err(Error::NotReplaced)?;
    Ok(cluster)
}

async fn remove(settings: &Settings, it: &Replace) -> Result<(), Error> {
    let Some(old) = it.old_member else {
        return Ok(());
    };
    persist(async || {
        let cluster = seen(settings, it).await?;
        if cluster.members.iter().all(|seen| seen.member.id != old) {
            return Ok(());
        }
        replaceable(&cluster.members, Some(old)).map_err(Error::NotReplaced)?;
        Ok(cluster.etcd.remove_member(&cluster.endpoint, old).await?)
    })
    .await
}

async fn add(settings: &Settings, it: &Replace) -> Result<u64, Error> {
    persist(async || {
        let cluster = seen(settings, it).await?;
        // Added by a run that was cut off before it could write that down.
        if let Some(there) = own(&cluster.members, &it.home)
            && Some(there.member.id) != it.old_member
        {
            return Ok(there.member.id);
        }
        let urls = &it.home.peer_urls;
        Ok(cluster.etcd.add_learner(&cluster.endpoint, urls).await?)
    })
    .await
}

/// Starts the member so that it joins.
async fn join(settings: &Settings, it: &Replace) -> Result<(), Error> {
    let cluster = seen(settings, it).await?;
    let members: Vec<Member> = cluster
        .members
        .into_iter()
        .map(|seen| seen.member)
        .collect();
    let (owned, id) = (settings.clone(), it.id.clone());
    let entries = initial_cluster(&members, &it.home);
    match &it.home.runs {
        Runs::StaticPod { file, .. } => {
            let file = file.clone();
            blocking(move || joining::begin(&owned, &id, &file, &entries)).await
        }
        Runs::Unit { unit } => joining_unit::begin(settings, &id, unit, &entries).await,
        runs @ Runs::SelfHosted { .. } => Err(not_told(runs)),
    }
}

async fn promote(settings: &Settings, it: &Replace) -> Result<(), Error> {
    let end = Instant::now() + CATCHES_UP;
    loop {
        let why = match promoted(settings, it).await {
            Ok(true) => return Ok(()),
            Ok(false) => "it has not caught up".to_owned(),
            Err(error) => chain(&error),
        };
        if Instant::now() >= end {
            let seconds = CATCHES_UP.as_secs();
            return Err(Error::Silent { seconds, why });
        }
        sleep(LOOK).await;
    }
}

/// It has its vote, or is given it.
async fn promoted(settings: &Settings, it: &Replace) -> Result<bool, Error> {
    let cluster = seen(settings, it).await?;
    let mut members = cluster.members.iter().map(|seen| &seen.member);
    let own = members.find(|member| Some(member.id) == it.new_member);
    match own {
        Some(own) if !own.learner => return Ok(true),
        Some(_) => {}
        None => {
            let why = "the cluster does not list the new member".to_owned();
            return Err(Error::NotReplaced(why));
        }
    }
    let id = it.new_member.unwrap_or(0);
    cluster.etcd.promote(&cluster.endpoint, id).await?;
    Ok(true)
}

/// What starts it is as it was: the member's log is there, its flags are not read any more.
async fn settle(settings: &Settings, it: &Replace, say: Say<'_>) -> Result<(), Error> {
    match &it.home.runs {
        Runs::StaticPod {
            file,
            namespace,
            pod,
        } => {
            let (owned, id, name) = (settings.clone(), it.id.clone(), file.clone());
            // One after the other: a member that finds its port taken ends, and is started again
            // minutes later.
            if blocking(move || joining::taken(&owned, &id, &name)).await? {
                power::pod_gone(settings, namespace, pod, say).await?;
            }
            let (owned, id, file) = (settings.clone(), it.id.clone(), file.clone());
            blocking(move || joining::end(&owned, &id, &file)).await
        }
        Runs::Unit { unit } => joining_unit::end(unit).await,
        runs @ Runs::SelfHosted { .. } => Err(not_told(runs)),
    }
}

async fn verify(settings: &Settings, it: &Replace) -> Result<(), Error> {
    let fits = |status: &Status| {
        if status.leader == 0 || status.learner {
            return Err("it has no leader or no vote yet".to_owned());
        }
        if status.cluster_id != it.cluster_id || Some(status.member_id) != it.new_member {
            let (member, cluster) = (status.member_id, status.cluster_id);
            return Err(format!("{member:x} of cluster {cluster:x} answers"));
        }
        Ok(())
    };
    verify::until(settings, &it.home, fits).await.map(drop)
}

fn not_told(runs: &Runs) -> Error {
    Error::NotAutomatic {
        home: runs.said(),
        why: "it is not told from here how to join its cluster; by hand: stop it, move its data \
              aside, `etcdctl member remove`, `etcdctl member add --learner`, start it with \
              --initial-cluster-state=existing, `etcdctl member promote`"
            .to_owned(),
    }
}

/// Tries again what etcd refuses or does not answer, for a while.
async fn persist<T>(work: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let end = Instant::now() + ACCEPTS;
    loop {
        match work().await {
            Err(Error::Etcd(
                EtcdError::Refused { .. }
                | EtcdError::TimedOut { .. }
                | EtcdError::Unreachable { .. },
            )) if Instant::now() < end => sleep(LOOK).await,
            done => return done,
        }
    }
}
