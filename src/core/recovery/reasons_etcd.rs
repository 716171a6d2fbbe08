//! What of etcd does not work and is no loss, or not yet.

use super::etcd_seen::{AlarmWord, DataDir, EtcdAnswer};
use super::evidence::DoorAnswer;
use super::part::Part;
use super::quorum::{self, Quorum};
use super::reasons::{Found, Kind};

/// An answer of etcd that takes longer is a slow disk's or a busy machine's. etcd itself warns at
/// 100 ms; API servers begin to fail at about a second.
const SLOW_MS: u64 = 1000;
/// So many elections in ten minutes are not chance.
const ELECTIONS: usize = 3;
/// A member that is so far behind the others lags.
const BEHIND: u64 = 5000;

impl Found<'_> {
    pub(super) fn etcd(&mut self) {
        let evidence = self.case.evidence;
        let etcd = &evidence.etcd;
        let part = Part::Etcd;
        match self.case.quorum {
            Quorum::CutOff(why) | Quorum::Leaderless(why) => {
                let (what, how) = (why.clone(), "see to the network and the other masters");
                self.for_operator(part, Kind::CutOff, what, how);
            }
            Quorum::Unknown(_) => {
                for door in &etcd.endpoints {
                    let EtcdAnswer::Not(answer) = &door.answer else {
                        continue;
                    };
                    if matches!(answer, DoorAnswer::Untrusted(_) | DoorAnswer::Denied) {
                        let what = format!("etcd at {}: {}", door.endpoint, quorum::why(door));
                        let how = "see to etcd.certificate_file, etcd.ca_file and etcd's own \
                                   certificate";
                        self.for_operator(part, Kind::Untrusted, what, how);
                    }
                }
            }
            Quorum::Has => self.members(),
            Quorum::Gone(_) | Quorum::Wedged(_) => {}
        }
        let slow = etcd.statuses().map(|(door, _)| door.took_ms).max();
        let slow = slow.max(etcd.read.known().copied());
        if let Some(slow) = slow.filter(|slow| *slow >= SLOW_MS) {
            let what = format!("etcd takes {slow} ms to answer: its disk or this machine is slow");
            self.for_operator(part, Kind::Slow, what, "see to the disk of etcd's data");
        } else if etcd.anybody_answers() && etcd.read.known().is_none() {
            let why = etcd.read.unseen();
            let why = why.map_or("", |unseen| unseen.detail.as_str());
            let what = format!("etcd answers for itself and no read comes through: {why}");
            self.for_operator(part, Kind::Slow, what, "see to etcd's disk and its peers");
        }
        let elections = self.case.memory.elections.len();
        if elections >= ELECTIONS {
            let what = format!("etcd elected a leader {elections} times in ten minutes");
            let how = "see to the disks and the network of its members";
            self.for_operator(part, Kind::Elections, what, how);
        }
        let alarms = etcd.statuses().flat_map(|(_, status)| &status.alarms);
        let mut kinds: Vec<AlarmWord> = alarms.map(|alarm| alarm.kind).collect();
        kinds.dedup();
        for kind in kinds {
            let (what, how) = match kind {
                AlarmWord::NoSpace => (
                    "etcd's alarm NOSPACE: its database is full and takes no writes",
                    "compact, defragment and disarm; recovery mode does so after a restore only",
                ),
                AlarmWord::Corrupt => (
                    "etcd's alarm CORRUPT: the data of its members differs",
                    "find out which member is right before one is replaced",
                ),
            };
            self.for_operator(part, Kind::Alarm, what.to_owned(), how);
        }
    }

    /// Members, while there is a quorum.
    fn members(&mut self) {
        let etcd = &self.case.evidence.etcd;
        let Some(members) = etcd.members.known() else {
            return;
        };
        let newest = etcd.statuses().map(|(_, it)| it.raft_index).max();
        let mut silent = Vec::new();
        let mut behind = Vec::new();
        for member in &members.all {
            let mut statuses = etcd.statuses();
            let status = statuses.find(|(_, status)| status.member_id == member.id);
            let name = if member.name.is_empty() {
                format!("{:x}", member.id)
            } else {
                member.name.clone()
            };
            match status {
                None => silent.push(name),
                Some((_, status)) if status.learner => {
                    behind.push(format!("{name} is a learner and does not vote"));
                }
                Some((_, status)) if status.leader.is_none() => {
                    behind.push(format!("{name} is cut off from the others"));
                }
                Some((_, status)) => {
                    let by = newest.unwrap_or(0).saturating_sub(status.raft_applied);
                    if by > BEHIND {
                        behind.push(format!("{name} is {by} entries behind"));
                    }
                }
            }
        }
        if !silent.is_empty() {
            let (all, names) = (members.all.len(), silent.join(", "));
            let what = format!(
                "{} of {all} members of etcd do not answer: {names}",
                silent.len()
            );
            self.add(Part::Etcd, Kind::Members, what);
        }
        if !behind.is_empty() {
            let what = format!("members of etcd: {}", behind.join(", "));
            self.for_operator(
                Part::Etcd,
                Kind::Behind,
                what,
                "see to that member's machine",
            );
        }
        if etcd.own_door().is_some() && !members.all.iter().any(|member| member.own) {
            let what = "etcd's list of members has none of this node".to_owned();
            self.for_operator(
                Part::Etcd,
                Kind::Members,
                what,
                "add it, if it is to have one",
            );
        }
    }

    pub(super) fn data(&mut self) {
        let here = &self.case.evidence.etcd.here;
        let dir = here.data_dir.display();
        let runs = self.case.evidence.etcd.statuses().any(|(door, _)| door.own);
        let what = match here.data.known() {
            Some(DataDir::Damaged(what)) => format!("etcd's data in {dir} is damaged: {what}"),
            Some(DataDir::Absent | DataDir::Empty) if runs => format!(
                "etcd serves here, and its data is not in {dir}: it was deleted under it and is \
                 lost when etcd ends, or etcd.data_dir is wrong"
            ),
            _ => return,
        };
        let how = "take a backup now (`rekindle backup now`), then see to the directory";
        self.for_operator(Part::Etcd, Kind::Data, what, how);
    }
}
