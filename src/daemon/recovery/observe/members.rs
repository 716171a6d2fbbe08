//! etcd as it answers: configured endpoints, the members that they know, and one read that needs a
//! quorum.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use http::Uri;

use super::leases::{ByApiServer, Leases, Read};
use crate::config::Settings;
use crate::core::backup::manifest::Member;
use crate::core::reading::{Reading, Unseen, UnseenKind, chain};
use crate::core::recovery::etcd_seen::{
    AlarmSeen, AlarmWord, EtcdAnswer, EtcdDoor, EtcdEvidence, EtcdMember, EtcdMembers, Identity,
    MemberStatus,
};
use crate::core::recovery::evidence::Lease;
use crate::core::recovery::part::Part;
use crate::daemon::clock;
use crate::etcd::{self, AlarmKind, Etcd, EtcdError, Status};
use crate::fetch::files;
use crate::objects::{self, REGISTRY};

/// Whose uid is the cluster's.
const NAMESPACE: &str = "kube-system";
/// Most members that are asked: etcd advises at most seven.
const MOST: usize = 16;

/// etcd, and what is remembered of it.
pub(super) struct Members {
    settings: etcd::Settings,
    node: String,
    address: Option<String>,
    etcd: Option<Etcd>,
    known: Option<EtcdMembers>,
    /// This node's member, by its id, once it has answered.
    own: Option<u64>,
    read: Option<BTreeMap<Part, Read>>,
    leases: Leases,
    /// The same by an API server: what changes with a renewal is written otherwise there.
    of_api_server: Leases,
    by_api_server: ByApiServer,
}

/// What one linearizable read told.
struct Told {
    took_ms: u64,
    identity: Reading<Identity>,
    leases: BTreeMap<Part, Read>,
}

impl Members {
    pub(super) fn new(settings: &Settings) -> Self {
        let admin = settings.recovery.kubeconfig.clone();
        Self {
            settings: settings.etcd.clone(),
            node: settings.node.name.clone(),
            address: settings.node.address.map(|address| address.to_string()),
            etcd: None,
            known: None,
            own: None,
            read: None,
            leases: Leases::default(),
            of_api_server: Leases::default(),
            by_api_server: ByApiServer::new(admin, settings.apiserver.call_deadline),
        }
    }

    /// Asks everybody. Takes a few deadlines at most.
    pub(super) async fn look(&mut self, host_ip: Option<&str>) -> EtcdEvidence {
        self.read = None;
        let mut seen = EtcdEvidence::nothing(std::path::PathBuf::new());
        let known = |members: &Option<EtcdMembers>| match members {
            Some(members) => Reading::Known(members.clone()),
            None => Reading::not_asked(),
        };
        let etcd = match self.etcd.take() {
            Some(etcd) => etcd,
            None => match Etcd::connect(&self.settings).await {
                Ok(etcd) => etcd,
                Err(error) => {
                    let endpoints = self.settings.endpoints.iter();
                    let doors = endpoints.map(|it| self.failed(it, host_ip, true, 0, &error));
                    seen.endpoints = doors.collect();
                    seen.members = known(&self.known);
                    return seen;
                }
            },
        };
        let asked = self.settings.endpoints.iter();
        let asked = asked.map(|endpoint| self.ask(&etcd, endpoint, host_ip, true));
        seen.endpoints = futures_util::future::join_all(asked).await;
        self.own = own_id(&seen).or(self.own);
        self.learn(&etcd, &seen, host_ip).await;
        let further = self.further(&seen);
        let asked = further
            .iter()
            .map(|url| self.ask(&etcd, url, host_ip, false));
        seen.endpoints
            .extend(futures_util::future::join_all(asked).await);
        seen.members = known(&self.known);
        claim_own(&mut seen);
        let leads = |(_, status): (&EtcdDoor, &MemberStatus)| status.leader.is_some();
        if seen.statuses().any(leads) {
            match self.told(&etcd).await {
                Ok(told) => {
                    seen.read = Reading::Known(told.took_ms);
                    seen.identity = told.identity;
                    self.read = Some(told.leases);
                }
                Err(unseen) => {
                    seen.read = Reading::Unknown(unseen.clone());
                    seen.identity = Reading::Unknown(unseen);
                }
            }
        } else {
            let why = Unseen::new(UnseenKind::Unreachable, "no member of etcd knows a leader");
            seen.read = Reading::Unknown(why.clone());
            seen.identity = Reading::Unknown(why);
        }
        self.etcd = Some(etcd);
        seen
    }

    /// The leases, by etcd where it was read, else by an API server that serves.
    pub(super) async fn leases(
        &mut self,
        serves: bool,
        etcd: &EtcdEvidence,
    ) -> Reading<BTreeMap<Part, Lease>> {
        if let Some(read) = self.read.take() {
            return Reading::Known(self.leases.see(read, clock::now()));
        }
        if serves && !etcd.anybody_answers() {
            return self.by_api_server.read(&mut self.of_api_server).await;
        }
        let why = etcd.read.unseen().cloned();
        why.map_or_else(Reading::not_asked, Reading::Unknown)
    }

    async fn ask(
        &self,
        etcd: &Etcd,
        endpoint: &str,
        host_ip: Option<&str>,
        configured: bool,
    ) -> EtcdDoor {
        let began = clock::now();
        let answer = etcd.status(endpoint).await;
        let took = clock::now().since(began);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match answer {
            Ok(status) => EtcdDoor {
                endpoint: endpoint.to_owned(),
                own: self.is_own(endpoint, host_ip) || self.own == Some(status.member_id),
                configured,
                answer: EtcdAnswer::Status(seen(&status)),
                detail: String::new(),
                took_ms,
            },
            Err(error) => self.failed(endpoint, host_ip, configured, took_ms, &error),
        }
    }

    fn failed(
        &self,
        endpoint: &str,
        host_ip: Option<&str>,
        configured: bool,
        took_ms: u64,
        error: &EtcdError,
    ) -> EtcdDoor {
        EtcdDoor {
            endpoint: endpoint.to_owned(),
            own: self.is_own(endpoint, host_ip),
            configured,
            answer: EtcdAnswer::Not(error.answer()),
            detail: chain(error),
            took_ms,
        }
    }

    fn is_own(&self, endpoint: &str, host_ip: Option<&str>) -> bool {
        let Ok(url) = endpoint.parse::<Uri>() else {
            return false;
        };
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        is_loopback(host) || self.address.as_deref() == Some(host) || host_ip == Some(host)
    }

    /// Keeps the list of members that was heard last.
    async fn learn(&mut self, etcd: &Etcd, seen: &EtcdEvidence, host_ip: Option<&str>) {
        if !seen.anybody_answers() {
            return;
        }
        let asked = tokio::time::timeout(self.settings.deadline, etcd.members()).await;
        if let Ok(Ok(members)) = asked {
            let named = members.iter().any(|member| member.name == self.node);
            let own = |member: &Member| match self.own {
                // Several members may have loopback addresses; only one has this id, or this name.
                Some(own) => own == member.id,
                None if named => member.name == self.node,
                None => {
                    let mut urls = member.client_urls.iter();
                    urls.any(|url| self.is_own(url, host_ip))
                }
            };
            let all = members.iter().map(|it| known_as(it, own(it)));
            self.known = Some(EtcdMembers {
                all: all.collect(),
                at: clock::now(),
            });
        }
    }

    /// Addresses of members that nobody of the configuration is.
    fn further(&self, seen: &EtcdEvidence) -> Vec<String> {
        let members = self.known.iter().flat_map(|members| &members.all);
        let unasked = members.filter(|member| {
            let answered = seen.statuses().any(|(_, it)| it.member_id == member.id);
            let asked = |url: &String| seen.endpoints.iter().any(|door| door.endpoint == *url);
            !member.own && !answered && !member.client_urls.iter().any(asked)
        });
        let urls = unasked.filter_map(|member| member.client_urls.first().cloned());
        urls.take(MOST).collect()
    }

    /// Reads what needs a quorum.
    async fn told(&self, etcd: &Etcd) -> Result<Told, Unseen> {
        let unseen = |error: Option<&EtcdError>| match error {
            Some(error) => Unseen::because(UnseenKind::Unreachable, error),
            None => Unseen::new(UnseenKind::Unreachable, "no endpoint of etcd was asked"),
        };
        let read = async {
            let began = clock::now();
            let mut reader = etcd.reader();
            let key = format!("{REGISTRY}/namespaces/{NAMESPACE}");
            let namespace = reader.value(key.as_bytes()).await;
            let namespace = namespace.map_err(|silent| unseen(silent.first()))?;
            let took = clock::now().since(began);
            let mut leases = BTreeMap::new();
            for part in Part::LEADERS {
                let key = format!("{REGISTRY}/leases/{NAMESPACE}/{part}");
                let stored = reader.value(key.as_bytes()).await;
                let Some(content) = stored.map_err(|silent| unseen(silent.first()))? else {
                    continue;
                };
                // Encrypted, it still changes with each renewal.
                let holder = objects::holder(&content);
                let holder = holder.unwrap_or_else(|_| "somebody".to_owned());
                leases.insert(part, Read { holder, content });
            }
            Ok(Told {
                took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                identity: self.identity(namespace.as_deref()),
                leases,
            })
        };
        let after = self.settings.deadline.saturating_mul(2);
        tokio::time::timeout(after, read).await.unwrap_or_else(|_| {
            let text = format!("no read came through within {} s", after.as_secs());
            Err(Unseen::new(UnseenKind::TimedOut, text))
        })
    }

    fn identity(&self, namespace: Option<&[u8]>) -> Reading<Identity> {
        let cluster = match namespace.map(objects::uid) {
            None => None,
            Some(Ok(uid)) => Some(uid),
            Some(Err(error)) => {
                return Reading::Unknown(Unseen::because(UnseenKind::Unreadable, &error));
            }
        };
        // Only ever compared with what this process saw before.
        let mut digest = DefaultHasher::new();
        let authority = files::read(&self.settings.ca_file).ok();
        authority.hash(&mut digest);
        Reading::Known(Identity {
            authority: format!("{:016x}", digest.finish()),
            cluster,
        })
    }
}

fn known_as(member: &Member, own: bool) -> EtcdMember {
    EtcdMember {
        id: member.id,
        name: member.name.clone(),
        client_urls: member.client_urls.clone(),
        peer_urls: member.peer_urls.clone(),
        learner: member.learner,
        own,
    }
}

/// What looks like this node's own address and is known to be another member's is not our own.
fn claim_own(seen: &mut EtcdEvidence) {
    let Some(members) = seen.members.known() else {
        return;
    };
    let others: Vec<&EtcdMember> = members.all.iter().filter(|it| !it.own).collect();
    for door in &mut seen.endpoints {
        let foreign = |member: &&EtcdMember| match &door.answer {
            EtcdAnswer::Status(status) => status.member_id == member.id,
            EtcdAnswer::Not(_) => member.client_urls.contains(&door.endpoint),
        };
        if others.iter().any(foreign) {
            door.own = false;
        }
    }
}

/// The id of this node's member, as its own door says it. With several loopback addresses of
/// different members nobody knows which is ours.
fn own_id(seen: &EtcdEvidence) -> Option<u64> {
    let mut own = seen.statuses().filter(|(door, _)| door.own);
    let (_, first) = own.next()?;
    let same = own.all(|(_, status)| status.member_id == first.member_id);
    same.then_some(first.member_id)
}

/// The name or address is this machine's own.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn seen(status: &Status) -> MemberStatus {
    let alarms = status.alarms().into_iter().map(|alarm| AlarmSeen {
        member_id: alarm.member_id,
        kind: match alarm.kind {
            AlarmKind::NoSpace => AlarmWord::NoSpace,
            AlarmKind::Corrupt => AlarmWord::Corrupt,
        },
    });
    MemberStatus {
        member_id: status.member_id,
        cluster_id: status.cluster_id,
        leader: Some(status.leader).filter(|leader| *leader != 0),
        learner: status.learner,
        revision: status.revision,
        raft_term: status.raft_term,
        raft_index: status.raft_index,
        raft_applied: status.raft_applied_index,
        db_bytes: status.db_bytes,
        alarms: alarms.collect(),
        complaints: status.errors.clone(),
    }
}
