//! What is restored: looked at before anything is done, and made into the new data directory.

use std::path::Path;

use super::data::SNAPSHOT;
use crate::backup::Progress;
use crate::backup::high_water;
use crate::backup::rehearse::Tools;
use crate::backup::restore::{self, Members, Raise, RestoreError, Source as From, Wanted};
use crate::backup::signing::Trust;
use crate::cleanup;
use crate::config::Settings;
use crate::core::backup::manifest::Member;
use crate::core::reading::chain;
use crate::core::recovery::etcd::restore::Figures;
use crate::core::recovery::etcd::{Restore, Source};
use crate::recovery::etcd::power::{blocking, free, place};
use crate::recovery::etcd::{Error, members, swap};
use crate::store::dir::Dir;

/// What a data directory takes beside the database: preallocated logs.
const LOGS: u64 = 192 << 20; // 192 MiB
/// Deepest directory of a data directory that is measured.
const DEPTH: usize = 8;

/// Refuses what cannot be done, before anything is. Blocks.
pub(super) fn look_at_source(settings: &Settings, it: &Restore) -> Result<(), Error> {
    let tools = Tools::find(settings.backup.tools_dir().as_deref());
    tools.map_err(|error| Error::Quarantine(chain(&error)))?;
    match &it.source {
        Source::DataDirectory => {
            let dir = &it.place.data_dir;
            let absent = || Error::NoSource(format!("{} holds no database", dir.display()));
            let database = cleanup::etcd::database(dir).map_err(Error::Read)?;
            let database = database.ok_or_else(absent)?;
            let whole = size(&Dir::open(dir)?.sub("member")?, 0)?;
            let database = std::fs::metadata(database).map_or(0, |meta| meta.len());
            room(settings, it, whole.saturating_add(database), database)
        }
        Source::Backup(name) => match From::find(name, &settings.backup.dir) {
            Ok(_) => Ok(()),
            Err(error @ RestoreError::NotFound { .. }) => Err(Error::NoSource(error.to_string())),
            Err(error) => Err(error.into()),
        },
    }
}

/// Room for `copy` bytes in the state directory and a database of `database` bytes beside the old
/// one.
fn room(settings: &Settings, it: &Restore, copy: u64, database: u64) -> Result<(), Error> {
    let (state, data) = (&settings.paths.state_dir, it.place.current());
    let data = data.parent().unwrap_or(Path::new("/"));
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
    let fresh = database.saturating_add(LOGS);
    let needs = if device(state) == device(data) {
        vec![(data, copy.saturating_add(fresh))]
    } else {
        vec![(state.as_path(), copy), (data, fresh)]
    };
    for (path, needed) in needs {
        let free = free(path)?;
        if free < needed {
            let path = path.to_owned();
            return Err(Error::Room { path, needed, free });
        }
    }
    Ok(())
}

/// Bytes of the files in a directory.
fn size(dir: &Dir, depth: usize) -> Result<u64, Error> {
    let mut bytes = 0_u64;
    for name in dir.names()? {
        let Some(stat) = dir.stat(&name)? else {
            continue;
        };
        bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        if kind == rustix::fs::FileType::Directory && depth < DEPTH {
            bytes = bytes.saturating_add(size(&dir.sub(&name)?, depth + 1)?);
        }
    }
    Ok(bytes)
}

/// Members that are known from the data directory and the backup.
pub(super) async fn known_members(settings: &Settings, it: &Restore) -> Vec<Member> {
    let (settings, it) = (settings.clone(), it.clone());
    let known = tokio::task::spawn_blocking(move || {
        let mut known = members::recorded(&it.place.data_dir).unwrap_or_default();
        if let Source::Backup(name) = &it.source
            && let Ok(source) = From::find(name, &settings.backup.dir)
            && let Some(manifest) = source.manifest()
        {
            known.extend(manifest.etcd.members.iter().cloned());
        }
        known
    });
    known.await.unwrap_or_default()
}

/// The member is known to be the only one of its cluster.
pub(super) async fn alone(it: &Restore) -> bool {
    let it = it.clone();
    let alone = tokio::task::spawn_blocking(move || {
        let recorded = members::recorded(&it.place.data_dir);
        it.home.others().is_empty() && recorded.is_some_and(|members| members.len() == 1)
    });
    alone.await.unwrap_or(false)
}

/// Makes the new data directory beside the old one.
pub(super) async fn make(
    settings: &Settings,
    it: &Restore,
    progress: &Progress,
) -> Result<Figures, Error> {
    let (settings, it, progress) = (settings.clone(), it.clone(), progress.clone());
    blocking(move || make_now(&settings, &it, &progress)).await
}

fn make_now(settings: &Settings, it: &Restore, progress: &Progress) -> Result<Figures, Error> {
    // One that a run before this made is not believed: its figures were not written down.
    swap::discard_fresh(&it.place)?;
    let (source, trust) = match &it.source {
        Source::DataDirectory => {
            let path = place(settings, &it.id)?.path().join(SNAPSHOT);
            (From::Bare(path), None)
        }
        Source::Backup(name) => {
            let keys = &settings.backup.trusted_key_files;
            let trust = Trust::of(&settings.paths.state_dir, keys)?;
            let found = From::find(name, &settings.backup.dir)?;
            (found, Some(trust))
        }
    };
    let named = source.to_string();
    let marks = high_water::read(&settings.paths.state_dir).unwrap_or_default();
    // What the caller knows, and what this node has seen.
    let recorded = marks.current_mark().map(|mark| mark.revision);
    let highest = it.high_water.max(recorded);
    let tools = Tools::find(settings.backup.tools_dir().as_deref());
    let tools = tools.map_err(|error| Error::Quarantine(chain(&error)))?;
    let peer_urls = it.home.peer_urls.join(",");
    let entries = it.home.peer_urls.iter();
    let entries = entries.map(|url| format!("{}={url}", it.home.name));
    let fresh = it.place.fresh();
    let wanted = Wanted {
        source,
        data_dir: &fresh,
        trust: trust.as_ref(),
        members: Members {
            name: Some(it.home.name.clone()),
            initial_cluster: Some(entries.collect::<Vec<_>>().join(",")),
            peer_urls: Some(peer_urls),
            token: None,
        },
        // To be above what any cluster here ever had costs nothing.
        raise: Raise::Above(highest.max(marks.highest())),
        tool: Some(&tools.restore),
        path: "",
    };
    let plan = restore::plan(wanted, progress).map_err(|error| of_source(it, error))?;
    if plan.live_keys == 0 {
        return Err(Error::Empty(named));
    }
    // A member that is alone has everything that was ever acknowledged; one of several may lag.
    if it.source == Source::DataDirectory
        && it.home.others().is_empty()
        && let Some(seen) = highest
        && plan.revision < seen
    {
        let (what, ends) = (named, plan.revision);
        return Err(Error::Behind { what, ends, seen });
    }
    restore::carry_out(&plan, progress)?;
    let by = plan.bump.as_ref().map_or(0, |bump| bump.by);
    let raised = i64::try_from(by)
        .ok()
        .and_then(|by| plan.revision.checked_add(by));
    let bounds = plan.remarks.iter().any(|it| it.contains("upper bounds"));
    Ok(Figures {
        revision: plan.revision,
        expected_revision: raised.unwrap_or(plan.revision),
        live_keys: (!bounds).then_some(plan.live_keys),
        token: plan.member.token,
        remarks: plan.remarks,
    })
}

/// A snapshot of the quarantine that is not whole means that the data was not.
fn of_source(it: &Restore, error: RestoreError) -> Error {
    match (&it.source, error) {
        (Source::DataDirectory, RestoreError::Backup(error)) => Error::Damaged {
            what: it.place.data_dir.display().to_string(),
            why: chain(&error),
        },
        (_, error) => error.into(),
    }
}
