//! Each way back: out of which losses it leads, what it needs, what it costs.

use jiff::Timestamp;

use super::loss::Loss;
use super::part::Part;
use super::plan::{Asked, RungPlan};
use super::resources::{Data, Resources, Restartable};
use super::rung::Rung;
use crate::core::reading::Reading;

/// What a way loses that has nothing to restore.
const NOT_KNOWN: &str = "not known";
/// A restore reads and writes so many bytes in a second, at the least: a slow disk.
const BYTES_A_SECOND: u64 = 50 << 20; // 50 MiB

/// The ways that lead out of a loss, in the order in which they are tried.
#[must_use]
pub fn ways_out_of(loss: Loss) -> Vec<Rung> {
    match loss {
        Loss::ApiServers | Loss::Schedulers | Loss::ControllerManagers => vec![
            Rung::Checkpoints,
            Rung::Restart,
            Rung::StaticPods,
            Rung::TemporaryControlPlane,
        ],
        Loss::EtcdMember => vec![Rung::Restart, Rung::StaticPods, Rung::ReplaceMember],
        Loss::EtcdQuorum | Loss::Everything => vec![
            Rung::Restart,
            Rung::StaticPods,
            Rung::DataDirectory,
            Rung::Backup,
        ],
    }
}

/// The parts that a loss is about.
#[must_use]
pub fn parts_of(loss: Loss) -> Vec<Part> {
    match loss {
        Loss::ApiServers => vec![Part::ApiServer],
        Loss::Schedulers => vec![Part::Scheduler],
        Loss::ControllerManagers => vec![Part::ControllerManager],
        Loss::EtcdMember | Loss::EtcdQuorum => vec![Part::Etcd],
        Loss::Everything => vec![Part::Etcd, Part::ApiServer],
    }
}

/// Why it is not known yet whether putting a static manifest back leads out of the loss.
pub(super) fn waits_for_manifests(loss: Loss, resources: &Resources) -> Option<&String> {
    let mut parts = parts_of(loss).into_iter();
    parts.find_map(|part| resources.manifests_wait.get(&part))
}

/// Describes one way.
#[must_use]
pub fn describe(
    rung: Rung,
    loss: Loss,
    resources: &Resources,
    asked: Option<&Asked>,
    now: Timestamp,
) -> RungPlan {
    let mut way = RungPlan {
        rung,
        loses: "nothing".to_owned(),
        loses_seconds: Some(0),
        takes_seconds: 0,
        with: Vec::new(),
        blockers: resources.blockers.clone(),
        asks: Vec::new(),
    };
    match rung {
        Rung::Checkpoints => checkpoints(&mut way, loss, resources),
        Rung::Restart => {
            restart(&mut way, loss, resources);
            whole_data(&mut way, loss, resources);
        }
        Rung::StaticPods => {
            static_pods(&mut way, loss, resources);
            whole_data(&mut way, loss, resources);
        }
        Rung::TemporaryControlPlane => {
            way.takes_seconds = 60;
            if let Err(why) = &resources.administrator {
                way.blockers.push(why.clone());
            }
        }
        Rung::ReplaceMember => {
            way.takes_seconds = 60;
            home(&mut way, resources);
        }
        Rung::DataDirectory => data_directory(&mut way, resources),
        Rung::Backup => backup(&mut way, resources, asked, now),
    }
    way
}

fn checkpoints(way: &mut RungPlan, loss: Loss, resources: &Resources) {
    way.takes_seconds = 15;
    let Reading::Known(known) = &resources.checkpoints else {
        way.blockers
            .push("which checkpoints there are is not known".to_owned());
        return;
    };
    for part in parts_of(loss) {
        match known.get(&part) {
            Some(blockers) if blockers.is_empty() => {
                way.with.push(format!("a checkpoint of {part}"));
            }
            Some(blockers) => way.blockers.extend(blockers.iter().cloned()),
            None => way
                .blockers
                .push(format!("no checkpoint of {part} is here")),
        }
    }
}

fn restart(way: &mut RungPlan, loss: Loss, resources: &Resources) {
    way.takes_seconds = 20;
    let parts = parts_of(loss);
    let found = parts
        .iter()
        .filter_map(|part| Some((part, resources.restartable.get(part)?)));
    for (part, what) in found {
        way.with.push(match what {
            Restartable::Container { pod, .. } => {
                format!("{part} of {pod} is stopped; the kubelet starts it again")
            }
            Restartable::Unit(unit) => format!("{unit} is started again"),
        });
        if matches!(what, Restartable::Container { .. }) {
            images(&mut way.blockers, *part, resources);
        }
    }
    if way.with.is_empty() {
        way.blockers
            .push("nothing of it runs here that could be restarted".to_owned());
    }
}

/// An etcd that is started without its data begins an empty cluster (invariant 7).
fn whole_data(way: &mut RungPlan, loss: Loss, resources: &Resources) {
    if !parts_of(loss).contains(&Part::Etcd) {
        return;
    }
    match &resources.data {
        Reading::Known(Data::Present(_)) => {}
        Reading::Known(Data::Absent) => way.blockers.push(
            "etcd's data is gone: started as it is, it would begin an empty cluster".to_owned(),
        ),
        Reading::Known(Data::Damaged(why)) => way
            .blockers
            .push(format!("starting etcd brings no data back: {why}")),
        Reading::Known(Data::Behind { seen, highest }) => way.blockers.push(format!(
            "starting etcd brings no data back: {}",
            Data::behind(*seen, *highest)
        )),
        Reading::Unknown(unseen) => way.blockers.push(format!(
            "whether etcd's data is there is not known: {}",
            unseen.detail
        )),
    }
}

fn static_pods(way: &mut RungPlan, loss: Loss, resources: &Resources) {
    way.takes_seconds = 25;
    let Reading::Known(copies) = &resources.copies else {
        way.blockers
            .push("which copies of static manifests there are is not known".to_owned());
        return;
    };
    for part in parts_of(loss) {
        match (resources.put_back.get(&part), copies.get(&part)) {
            (Some(restore), _) => {
                way.with.push(restore.why.clone());
                images(&mut way.blockers, part, resources);
            }
            (None, Some(_)) => {}
            (None, None) => way
                .blockers
                .push(format!("no static manifest of {part} is kept here")),
        }
    }
    if way.with.is_empty() {
        way.blockers.extend(resources.not_put_back.iter().cloned());
    }
    if way.with.is_empty() && way.blockers.is_empty() {
        way.blockers
            .push("the static manifests are as they were when it last served".to_owned());
    }
}

/// What every change of etcd needs.
fn home(way: &mut RungPlan, resources: &Resources) {
    match &resources.etcd_home {
        Ok(home) => way.with.push(format!("etcd runs here as {home}")),
        Err(why) => way.blockers.push(why.clone()),
    }
    images(&mut way.blockers, Part::Etcd, resources);
}

/// A part that is stopped and not started again is worse off than before.
fn images(blockers: &mut Vec<String>, part: Part, resources: &Resources) {
    let missing = resources.missing_images.get(&part).into_iter().flatten();
    blockers.extend(missing.map(|image| format!("image missing: {part} needs it, and {image}")));
}

fn restore(way: &mut RungPlan, resources: &Resources, bytes: u64, times: u64) {
    home(way, resources);
    match &resources.tool {
        Ok(tool) => way.with.push(tool.clone()),
        Err(why) => way.blockers.push(why.clone()),
    }
    let needed = bytes.saturating_mul(times);
    match &resources.free_bytes {
        Reading::Known(free) if *free < needed => way.blockers.push(format!(
            "it needs {} MiB beside etcd's data directory, and {} MiB are free",
            needed >> 20,
            free >> 20
        )),
        Reading::Known(_) => {}
        Reading::Unknown(unseen) => way.blockers.push(format!(
            "how much room there is is not known: {}",
            unseen.detail
        )),
    }
    way.takes_seconds = 30 + needed / BYTES_A_SECOND;
}

/// Nothing is foretold of a way that has nothing to restore.
fn nothing_to_restore(way: &mut RungPlan, why: String) {
    NOT_KNOWN.clone_into(&mut way.loses);
    way.loses_seconds = None;
    way.blockers.push(why);
}

fn data_directory(way: &mut RungPlan, resources: &Resources) {
    "at most what this member had not written down".clone_into(&mut way.loses);
    let bytes = match &resources.data {
        Reading::Known(Data::Present(bytes)) => *bytes,
        Reading::Known(Data::Absent) => {
            nothing_to_restore(way, "there is no data directory of etcd here".to_owned());
            0
        }
        Reading::Known(Data::Damaged(why)) => {
            nothing_to_restore(way, format!("its database is damaged: {why}"));
            0
        }
        Reading::Known(Data::Behind { seen, highest }) => {
            let why = Data::behind(*seen, *highest);
            nothing_to_restore(way, format!("its database is not what it was: {why}"));
            0
        }
        Reading::Unknown(unseen) => {
            let why = format!("etcd's data directory cannot be read: {}", unseen.detail);
            nothing_to_restore(way, why);
            0
        }
    };
    restore(way, resources, bytes, 3);
}

fn backup(way: &mut RungPlan, resources: &Resources, asked: Option<&Asked>, now: Timestamp) {
    if let Some(source) = asked.and_then(|asked| asked.source.as_ref()) {
        way.with.push(format!("backup {source}, as asked for"));
        "what came after it".clone_into(&mut way.loses);
        // How old it is, is known to who asks for it.
        way.loses_seconds = asked.map(|asked| asked.allow_loss_seconds);
        restore(way, resources, 0, 2);
        return;
    }
    let bytes = match &resources.backup {
        Reading::Known(Some(backup)) => {
            let age = backup.age(now);
            let proven = if backup.proven {
                "rehearsed"
            } else {
                "verified"
            };
            way.with.push(format!("backup {}, {proven}", backup.id));
            way.loses = format!("the last {}", told(age.as_secs()));
            way.loses_seconds = Some(age.as_secs());
            backup.bytes
        }
        Reading::Known(None) => {
            nothing_to_restore(way, "no backup: none on this node is verified".to_owned());
            0
        }
        Reading::Unknown(unseen) => {
            let why = format!("the backups cannot be read: {}", unseen.detail);
            nothing_to_restore(way, why);
            0
        }
    };
    restore(way, resources, bytes, 2);
}

/// A time for people.
fn told(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
