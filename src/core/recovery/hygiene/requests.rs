//! Requests of this node's kubelet for certificates: approved only where who asks and what is asked
//! for are exactly this node. Any other that names this node is told.
//!
//! Source: Kubernetes 1.20 `pkg/controller/certificates/approver/sarapprove.go`,
//! `pkg/apis/certificates/helpers.go` (`ValidateKubeletClientCSR`, `ValidateKubeletServingCSR`).

use std::collections::BTreeSet;

use super::facts::{Facts, Request, Subject};
use super::{Act, Planned, unseen};
use crate::core::reading::Reading;
use crate::core::recovery::policy::Hygiene;

const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";
const GROUP: &str = "system:nodes";

pub(super) fn requests(facts: &Facts) -> Vec<Planned> {
    let kind = Hygiene::CertificateRequests;
    let Reading::Known(requests) = &facts.second.requests else {
        return unseen(kind, "requests for certificates", &facts.second.requests)
            .into_iter()
            .collect();
    };
    let user = format!("system:node:{}", facts.node);
    let ours = requests.iter().filter(|request| {
        let subject = request.subject.as_ref();
        let named = subject.is_some_and(|it| it.common_names.contains(&user));
        named || request.requestor == user
    });
    let planned = ours.map(|request| Planned {
        kind,
        what: format!(
            "request {} of {} for a certificate of {user} waits for somebody to decide",
            request.name, request.requestor
        ),
        act: match against(facts, request, &user) {
            Some(why) => Err(why),
            None => Ok(Act::Approve {
                name: request.name.clone(),
                uid: request.uid.clone(),
            }),
        },
    });
    planned.collect()
}

/// What is against approving it.
fn against(facts: &Facts, request: &Request, user: &str) -> Option<String> {
    let Some(subject) = &request.subject else {
        return Some("what it asks for cannot be read".to_owned());
    };
    if request.requestor != user {
        return Some(format!(
            "{} asks for it, and not this node",
            request.requestor
        ));
    }
    if !request.groups.contains(GROUP) {
        return Some(format!("who asks for it is not in the group {GROUP}"));
    }
    if subject.common_names != [user] || subject.organizations != [GROUP] || subject.more {
        return Some("its subject is not exactly this node".to_owned());
    }
    let (purpose, names) = match request.signer.as_str() {
        CLIENT => (
            "client auth",
            subject.dns.is_empty() && subject.addresses.is_empty(),
        ),
        SERVING => ("server auth", are_ours(facts, subject)),
        other => return Some(format!("its signer is {other}")),
    };
    if !names {
        return Some("it names hosts or addresses that are not this node's".to_owned());
    }
    let allowed = ["digital signature", "key encipherment", purpose];
    let usages: BTreeSet<&str> = request.usages.iter().map(String::as_str).collect();
    let fitting = usages.iter().all(|usage| allowed.contains(usage));
    if !fitting || !usages.contains(purpose) || !usages.contains("digital signature") {
        return Some("its usages are not those of a kubelet".to_owned());
    }
    None
}

/// The names and addresses are this node's, and there is one.
fn are_ours(facts: &Facts, subject: &Subject) -> bool {
    let nodes = facts.second.nodes.known().into_iter().flatten();
    let mut own: BTreeSet<String> = nodes
        .filter(|node| node.name == facts.node)
        .flat_map(|node| node.addresses.iter().cloned())
        .collect();
    own.insert(facts.node.clone());
    let hosts = subject.dns.iter().all(|name| own.contains(name));
    let mut addresses = subject.addresses.iter();
    let addresses = addresses.all(|it| facts.addresses.contains(it) || own.contains(it));
    let any = !subject.dns.is_empty() || !subject.addresses.is_empty();
    hosts && addresses && any
}
