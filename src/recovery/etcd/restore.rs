//! The steps of a restore, in order.

mod data;
mod source;

use std::path::PathBuf;

use self::source::{known_members, look_at_source};
use super::power::{self, blocking};
use super::{Asked, Error, Record, Say, alarms_cleared, fence, home, starting, swap, verify};
use crate::backup::Progress;
use crate::backup::rehearse::Quarantine;
use crate::config::Settings;
use crate::core::recovery::etcd::{Home, Restore, Stage};
use crate::core::recovery::policy::Hygiene;
use crate::failpoints::hit;
use crate::store::dir::Dir;

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The member.
    pub home: Home,
    /// Revision of what was restored.
    pub from_revision: i64,
    /// Revision of the member when it served.
    pub revision: i64,
    /// Live keys that it has.
    pub keys: u64,
    /// Where the old data directory is kept; `None`: there was none.
    pub aside: Option<PathBuf>,
    /// What somebody should know, one sentence each.
    pub notices: Vec<String>,
}

/// Restores etcd, or goes on with it where `resumed` says how far it came. See [`super`].
///
/// # Errors
/// A refusal or the step that failed. Where [`Error::is_of_the_source`] says so and the commit
/// point was not reached, [`Restore::instead`] of what was recorded last goes on with another
/// source; [`undo`] takes everything back. After the commit point the same call goes on.
pub async fn restore(
    settings: &Settings,
    asked: &Asked,
    resumed: Option<Restore>,
    record: Record<'_, Restore>,
    say: Say<'_>,
    progress: &Progress,
) -> Result<Restored, Error> {
    // What it holds while it waits is large, and nobody else has to hold it.
    Box::pin(steps(settings, asked, resumed, record, say, progress)).await
}

async fn steps(
    settings: &Settings,
    asked: &Asked,
    resumed: Option<Restore>,
    record: Record<'_, Restore>,
    say: Say<'_>,
    progress: &Progress,
) -> Result<Restored, Error> {
    let mut it = if let Some(it) = resumed {
        same(it, asked)?
    } else {
        power::place(settings, &asked.id)?;
        let home = home::find(settings).await?;
        Restore::new(&asked.id, asked.source.clone(), home, asked.high_water)
    };
    let mut quarantine = None;
    let mut notices = Vec::new();
    let mut seen = None;
    loop {
        record(&it)?;
        hit("recovery-etcd.recorded");
        if it.stage == Stage::Done {
            break;
        }
        say(it.stage.said());
        match it.stage {
            Stage::Prepared => prepare(settings, &mut it).await?,
            Stage::Stopping => {
                let known = known_members(settings, &it).await;
                fence::nobody_answers(settings, &it.home, &it.source, &known).await?;
                power::stop(settings, &it.home, &it.id, say).await?;
            }
            Stage::Copying => {
                power::stopped(&it.home).await?;
                quarantine = Some(data::copy(settings, &it, progress).await?);
            }
            Stage::Replaying => {
                let copy: Quarantine = quarantine.take().ok_or(Error::CutOff)?;
                data::replay(settings, &it, copy, progress).await?;
            }
            Stage::Restoring => {
                it.restored = Some(source::make(settings, &it, progress).await?);
            }
            Stage::Swapping => {
                let known = known_members(settings, &it).await;
                fence::nobody_answers(settings, &it.home, &it.source, &known).await?;
                power::stopped(&it.home).await?;
                let place = it.place.clone();
                blocking(move || swap::change(&place)).await?;
            }
            Stage::Starting => starting::start(settings, &it.home, &it.id, say).await?,
            Stage::Verifying => seen = Some(check(settings, &it, &mut notices).await?),
            Stage::Done => {}
        }
        hit("recovery-etcd.step-done");
        it.stage = it.stage.next(&it.source);
    }
    let (revision, keys) = match seen {
        Some(seen) => seen,
        // Resumed when it was done already.
        None => check(settings, &it, &mut notices).await?,
    };
    tidy(settings, &it).await;
    let figures = it.restored.as_ref();
    notices.extend(figures.iter().flat_map(|figures| figures.remarks.clone()));
    notices.extend(revenants(settings, &it).await);
    Ok(Restored {
        from_revision: figures.map_or(0, |figures| figures.revision),
        aside: it.place.had_data.then(|| it.place.aside()),
        home: it.home,
        revision,
        keys,
        notices,
    })
}

/// Takes a restore back that has not reached its commit point: the old data is as it was, and what
/// starts etcd is started again. Twice is once. Does not wait until etcd serves: it may be damaged.
///
/// # Errors
/// [`Error::Committed`] after the commit point.
pub async fn undo(settings: &Settings, it: &Restore, say: Say<'_>) -> Result<(), Error> {
    if it.stage.committed() {
        return Err(Error::Committed(format!(
            "the new data directory of recovery {} is in place or about to be, and the old one \
             is {}",
            it.id,
            it.place.aside().display()
        )));
    }
    if it.stage < Stage::Stopping {
        return Ok(());
    }
    say("starting etcd on its old data again");
    let place = it.place.clone();
    blocking(move || swap::discard_fresh(&place)).await?;
    tidy(settings, it).await;
    // Without ending API servers or waiting for the kubelet: mostly another way follows at once, which
    // stops etcd again.
    power::start(settings, &it.home, &it.id).await
}

/// One restore has one source (R03).
fn same(it: Restore, asked: &Asked) -> Result<Restore, Error> {
    if it.id != asked.id || it.source != asked.source {
        return Err(Error::OtherSource {
            began: it.source.said(),
            asked: asked.source.said(),
            id: it.id,
        });
    }
    let stage = it.stage.resumed();
    Ok(Restore { stage, ..it })
}

/// Looks at everything; nothing is done yet.
async fn prepare(settings: &Settings, it: &mut Restore) -> Result<(), Error> {
    let (data_dir, id) = (it.home.data_dir.clone(), it.id.clone());
    it.place = blocking(move || swap::look(data_dir, &id)).await?;
    let known = known_members(settings, it).await;
    fence::nobody_answers(settings, &it.home, &it.source, &known).await?;
    let (settings, it) = (settings.clone(), it.clone());
    blocking(move || look_at_source(&settings, &it)).await
}

/// What the member has: its revision and its number of keys.
async fn check(
    settings: &Settings,
    it: &Restore,
    notices: &mut Vec<String>,
) -> Result<(i64, u64), Error> {
    let figures = it.restored.as_ref().ok_or(Error::CutOff)?;
    let least = figures.expected_revision;
    let status = verify::serves(settings, &it.home, least).await?;
    let (keys, exact) = verify::keys(settings, &it.home, least).await?;
    match figures.live_keys {
        Some(expected) if exact && keys < expected => {
            return Err(Error::Less(format!(
                "{keys} keys at revision {least}, and {expected} were restored"
            )));
        }
        Some(_) | None => {}
    }
    if settings.recovery.policy.hygiene.contains(&Hygiene::Alarms) {
        notices.extend(alarms_cleared(settings, &it.home).await?);
    }
    Ok((status.revision, keys))
}

/// Removes what the restore made for itself. What cannot be removed stays.
async fn tidy(settings: &Settings, it: &Restore) {
    let (settings, id) = (settings.clone(), it.id.clone());
    let _ = blocking(move || {
        let dir: Dir = power::place(&settings, &id)?;
        Ok(crate::store::durable::discard(&dir, data::SNAPSHOT, &dir)?)
    })
    .await;
}

/// Whatever would start the old data again (R15): it is only said.
async fn revenants(settings: &Settings, it: &Restore) -> Vec<String> {
    let aside = it.place.aside().display().to_string();
    let manifests = settings.paths.manifest_dir.clone();
    let found = blocking(move || {
        let dir = Dir::open(&manifests)?;
        let mut found = Vec::new();
        for name in dir.names()? {
            let Ok((bytes, _)) = dir.read(&name, home::LIMIT) else {
                continue;
            };
            if String::from_utf8_lossy(&bytes).contains(&aside) {
                found.push(format!(
                    "{} names {aside}, the data of before the recovery: it must not be started",
                    manifests.join(&name).display()
                ));
            }
        }
        Ok(found)
    });
    found.await.unwrap_or_default()
}
