//! Leases of leader election, followed by their changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as ApiLease;

use crate::apiserver::ask::Asker;
use crate::core::reading::{Reading, Unseen};
use crate::core::recovery::evidence::Lease;
use crate::core::recovery::part::Part;
use crate::core::time::Moment;
use crate::daemon::clock;

/// A lease as it was read: who holds it, and whatever changes with a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) holder: String,
    pub(super) content: Vec<u8>,
}

/// What is remembered of them.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<Part, (Vec<u8>, Lease)>);

impl Leases {
    /// Takes in what was read now.
    pub(super) fn see(&mut self, read: BTreeMap<Part, Read>, now: Moment) -> BTreeMap<Part, Lease> {
        self.0.retain(|part, _| read.contains_key(part));
        for (part, Read { holder, content }) in read {
            let renewed = match self.0.get(&part) {
                Some((before, lease)) if *before == content => (lease.changed, lease.renewed),
                Some(_) => (now, true),
                None => (now, false),
            };
            let (changed, renewed) = renewed;
            let lease = Lease {
                holder,
                changed,
                renewed,
            };
            self.0.insert(part, (content, lease));
        }
        let seen = self.0.iter();
        seen.map(|(part, (_, lease))| (*part, lease.clone()))
            .collect()
    }
}

/// Leases by an API server, with an administrator's credentials.
pub(super) struct ByApiServer(Asker);

impl ByApiServer {
    pub(super) fn new(kubeconfig: PathBuf, deadline: Duration) -> Self {
        Self(Asker::new(kubeconfig, deadline))
    }

    pub(super) async fn read(&self, leases: &mut Leases) -> Reading<BTreeMap<Part, Lease>> {
        match self.ask().await {
            Ok(read) => Reading::Known(leases.see(read, clock::now())),
            Err(unseen) => Reading::Unknown(unseen),
        }
    }

    async fn ask(&self) -> Result<BTreeMap<Part, Read>, Unseen> {
        let mut all = BTreeMap::new();
        for part in Part::LEADERS {
            let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{part}");
            let lease: Option<ApiLease> = self.0.find(&path).await?;
            let Some(spec) = lease.and_then(|lease| lease.spec) else {
                continue;
            };
            let renewed = spec.renew_time.map(|time| time.0.to_string());
            let holder = spec.holder_identity.unwrap_or_default();
            let content = format!("{holder} {}", renewed.unwrap_or_default());
            let content = content.into_bytes();
            all.insert(part, Read { holder, content });
        }
        Ok(all)
    }
}
