//! What there is to recover with, looked at: backups, data directory, programs, room,
//! certificates, kubeconfig. Looked at when a loss is seen, when a plan is asked for, and now and
//! then for `status`: it costs some reads of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::guard::GuardView;
use super::{static_images, static_pods};
use crate::backup::high_water;
use crate::backup::restore::Tool;
use crate::config::Settings;
use crate::core::id::CheckpointId;
use crate::core::reading::{Reading, Unseen, UnseenKind};
use crate::core::recovery::etcd_seen::{DataDir, EtcdAnswer, EtcdHost};
use crate::core::recovery::evidence::{DoorAnswer, Evidence, Instance, Owner, Run};
use crate::core::recovery::loss::Loss;
use crate::core::recovery::part::Part;
use crate::core::recovery::resources::{Data, Expiry, OnHand, Resources, Restartable};
use crate::core::report::{Report, State};
use crate::daemon::backups::look::{free_bytes, look};
use crate::daemon::execute::blocking;
use crate::recover::certificates::expiry;
use crate::recover::kubeconfig;
use crate::recovery::etcd::home;
use crate::store::chain;

/// Where the program that restores is looked for: a service has no `PATH` of an operator's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the disk says.
struct OnDisk {
    backup: Reading<Option<OnHand>>,
    tool: Result<String, String>,
    free: Reading<u64>,
    administrator: Result<(), String>,
    certificates: Vec<Expiry>,
    /// The revision that etcd had when it was last asked, and a higher one that it had before.
    fallen: Option<(i64, i64)>,
}

/// Looks at everything.
pub(super) async fn gather(
    settings: &Arc<Settings>,
    evidence: &Evidence,
    report: &Report,
    guarded: &GuardView,
) -> Resources {
    let given = Arc::clone(settings);
    let disk = blocking(move || Ok(on_disk(&given))).await;
    let disk = disk.unwrap_or_else(|why| {
        let unseen = || Unseen::new(UnseenKind::Unreadable, why.clone());
        OnDisk {
            backup: Reading::Unknown(unseen()),
            tool: Err(why.clone()),
            free: Reading::Unknown(unseen()),
            administrator: Err(why.clone()),
            certificates: Vec::new(),
            fallen: None,
        }
    });
    let home = home::find(settings).await;
    let runs = home.as_ref().ok().map(|home| &home.runs);
    let missing_images = static_images::missing(settings, evidence, guarded, runs).await;
    let home = home
        .map(|home| home.runs.said())
        .map_err(|error| chain(&error));
    let mut blockers = Vec::new();
    if let Some(unseen) = evidence.containers.unseen() {
        blockers.push(format!("containerd is not known: {}", unseen.detail));
    }
    if let Some(unseen) = evidence.manifests.unseen() {
        blockers.push(format!(
            "the static pod directory is not known: {}",
            unseen.detail
        ));
    }
    Resources {
        checkpoints: checkpoints(evidence, report, &settings.policy.rescue),
        copies: static_pods::copies(guarded),
        put_back: BTreeMap::new(),
        not_put_back: Vec::new(),
        manifests_wait: BTreeMap::new(),
        restartable: restartable(evidence),
        missing_images,
        etcd_home: home,
        data: data(evidence, disk.fallen),
        backup: disk.backup,
        tool: disk.tool,
        free_bytes: disk.free,
        administrator: disk.administrator,
        certificates: disk.certificates,
        blockers,
    }
}

fn on_disk(settings: &Settings) -> OnDisk {
    let backup =
        match look(settings) {
            Ok(found) => Reading::Known(found.newest(|kept| kept.verified).map(
                |(kept, manifest)| OnHand {
                    id: kept.id.clone(),
                    taken_at: kept.taken_at,
                    bytes: manifest.content.database_bytes,
                    proven: kept.rehearsed,
                },
            )),
            Err(error) => Reading::Unknown(Unseen::new(UnseenKind::Unreadable, error)),
        };
    let tool = match Tool::find(settings.backup.etcdutl.as_deref(), PATH) {
        Ok(tool) if tool.bumps => Ok(format!("{} {}", tool.path.display(), tool.version)),
        Ok(tool) => Err(format!(
            "{} {} cannot raise the revision: etcdutl of etcd 3.5.10 or later can",
            tool.path.display(),
            tool.version
        )),
        Err(error) => Err(chain(&error)),
    };
    let free = match free_bytes(&settings.etcd_data_dir) {
        Some(bytes) => Reading::Known(bytes),
        None => Reading::Unknown(Unseen::new(
            UnseenKind::Unreadable,
            "its file system does not say",
        )),
    };
    let certificates = expiry::ends_below(&settings.backup.pki_dir);
    OnDisk {
        backup,
        tool,
        free,
        administrator: administrator(&settings.recovery.kubeconfig),
        certificates: certificates
            .into_iter()
            .map(|(what, at)| Expiry { what, at })
            .collect(),
        fallen: fallen(&settings.paths.state_dir),
    }
}

fn administrator(path: &Path) -> Result<(), String> {
    kubeconfig::load(path)
        .map(drop)
        .map_err(|error| format!("recovery.kubeconfig: {}", chain(&error)))
}

/// Which checkpoints could be activated. One whose parent was deleted is not, unless it is one of
/// those that are to be rescued.
fn checkpoints(
    evidence: &Evidence,
    report: &Report,
    rescued: &BTreeSet<CheckpointId>,
) -> Reading<BTreeMap<Part, Vec<String>>> {
    if !evidence.loop_turned {
        return Reading::not_asked();
    }
    let mut all: BTreeMap<Part, Vec<String>> = BTreeMap::new();
    for seen in &evidence.checkpoints {
        let mut blockers = Vec::new();
        if !seen.good {
            blockers.push(format!("checkpoint {}: {}", seen.id, seen.reason));
        }
        if seen.state == State::Orphaned && !rescued.contains(&seen.id) {
            blockers.push(format!(
                "checkpoint {} is not activated, its parent was deleted: {}",
                seen.id, seen.reason
            ));
        }
        if seen.state == State::Refused {
            blockers.push(format!(
                "checkpoint {} is refused: {}",
                seen.id, seen.reason
            ));
        }
        blockers.extend(
            report
                .missing_images
                .iter()
                .filter(|image| image.contains(seen.part.name()))
                .map(|image| format!("image missing: {image}")),
        );
        all.insert(seen.part, blockers);
    }
    Reading::Known(all)
}

/// What runs here, hangs, and could be started again. What ends by itself again and again is started
/// again by its owner already.
fn restartable(evidence: &Evidence) -> BTreeMap<Part, Restartable> {
    let mut all = BTreeMap::new();
    for part in Part::ALL.into_iter().filter(|part| hangs(evidence, *part)) {
        let mut running = evidence
            .running(part)
            .filter(|it: &&Instance| it.owner == Owner::Kubelet && it.run == Run::Running);
        if let Some(found) = running.next() {
            all.insert(
                part,
                Restartable::Container {
                    sandbox: found.sandbox.clone(),
                    pod: found.name.clone(),
                },
            );
        }
    }
    if let Some(EtcdHost::Unit { name, state }) = evidence.etcd.here.host.known()
        && matches!(state.as_str(), "inactive" | "failed")
    {
        all.insert(Part::Etcd, Restartable::Unit(name.clone()));
    }
    all
}

fn hangs(evidence: &Evidence, part: Part) -> bool {
    match part {
        Part::ApiServer => evidence
            .own_door()
            .is_some_and(|door| matches!(door.answer, DoorAnswer::TimedOut | DoorAnswer::NotReady)),
        Part::Etcd => evidence
            .etcd
            .own_door()
            .is_some_and(|door| door.answer == EtcdAnswer::Not(DoorAnswer::TimedOut)),
        // That they renew no lease is what the loss says; nothing else of theirs can be asked.
        Part::ControllerManager | Part::Scheduler => true,
    }
}

/// etcd's revision went back: what was there is gone. Both are of one record, so that no reading is
/// compared with one of another moment.
fn fallen(state_dir: &Path) -> Option<(i64, i64)> {
    let marks = high_water::read(state_dir).ok()?;
    let (seen, highest) = (marks.current_mark()?.seen, marks.highest()?);
    (seen < highest).then_some((seen, highest))
}

fn data(evidence: &Evidence, fallen: Option<(i64, i64)>) -> Reading<Data> {
    // It serves as well as any, and what it serves is not what was there.
    if let Some((seen, highest)) = fallen {
        return Reading::Known(Data::Behind { seen, highest });
    }
    evidence.etcd.here.data.map(|data| match data {
        DataDir::Absent | DataDir::Empty => Data::Absent,
        DataDir::Present { db_bytes, .. } => Data::Present(*db_bytes),
        DataDir::Damaged(why) => Data::Damaged(why.clone()),
    })
}

/// Losses that a plan is made for when nothing is lost.
pub(super) const THOUGHT_OF: [Loss; 4] = [
    Loss::Everything,
    Loss::ApiServers,
    Loss::ControllerManagers,
    Loss::Schedulers,
];

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::fallen;
    use crate::backup::high_water::{HighWaterError, record};

    #[test]
    fn data_that_fell_back_on_purpose_is_behind_until_a_restore_raises_it()
    -> Result<(), HighWaterError> {
        let dir = tempfile::tempdir().unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let record = |cluster, revision| record(dir.path(), cluster, revision, at);
        record(7, 100)?;
        assert_eq!(fallen(dir.path()), None);
        // Exchanged: another cluster, or an older snapshot of the same.
        record(8, 5)?;
        assert_eq!(fallen(dir.path()), Some((5, 100)));
        record(7, 60)?;
        assert_eq!(fallen(dir.path()), Some((60, 100)));
        // `backup restore` raises it above all that was recorded here.
        record(9, 101)?;
        assert_eq!(fallen(dir.path()), None);
        Ok(())
    }
}
