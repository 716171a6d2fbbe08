//! Which requests for certificates are approved after a restore: this node's own, and no others.

use std::collections::BTreeMap;

use rekindle::core::reading::Reading;
use rekindle::core::recovery::hygiene::Act;
use rekindle::core::recovery::hygiene::facts::{Request, Subject};

use crate::recovery_hygiene::{facts, ip, planned, set};

pub const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
type Change = fn(&mut Request, &mut Subject);
const SERVING: &str = "kubernetes.io/kubelet-serving";

pub fn request(signer: &str) -> Request {
    let purpose = if signer == SERVING {
        "server auth"
    } else {
        "client auth"
    };
    Request {
        name: "csr-1".to_owned(),
        uid: "uid-csr-1".to_owned(),
        signer: signer.to_owned(),
        requestor: "system:node:m1".to_owned(),
        groups: set(&["system:nodes", "system:authenticated"]),
        usages: set(&["digital signature", purpose]),
        subject: Some(Subject {
            common_names: vec!["system:node:m1".to_owned()],
            organizations: vec!["system:nodes".to_owned()],
            dns: if signer == SERVING {
                vec!["m1".to_owned()]
            } else {
                Vec::new()
            },
            addresses: if signer == SERVING {
                vec![ip("10.0.0.1")]
            } else {
                Vec::new()
            },
            more: false,
        }),
    }
}

#[test]
fn only_requests_for_exactly_this_node_are_approved() {
    let mut facts = facts();
    facts.second.master_leases = Reading::Known(BTreeMap::new());
    let mut decide = |request: Request| {
        facts.second.requests = Reading::Known(vec![request]);
        planned(&facts).pop().map(|one| one.act)
    };
    let approve = Act::Approve {
        name: "csr-1".to_owned(),
        uid: "uid-csr-1".to_owned(),
    };
    for signer in [CLIENT, SERVING] {
        assert_eq!(
            decide(request(signer)),
            Some(Ok(approve.clone())),
            "{signer}"
        );
        let changes: [(Change, &str); 11] = [
            (
                |it, _| it.requestor = "system:bootstrap:abc".to_owned(),
                "asks for it",
            ),
            (
                |it, _| it.requestor = "system:node:m2".to_owned(),
                "asks for it",
            ),
            (|it, _| it.groups.clear(), "group"),
            (|_, it| it.common_names.push("admin".to_owned()), "exactly"),
            (
                |_, it| it.organizations = vec!["system:masters".to_owned()],
                "exactly",
            ),
            (
                |_, it| it.organizations.push("system:masters".to_owned()),
                "exactly",
            ),
            (|_, it| it.more = true, "exactly"),
            (|_, it| it.dns.push("m2".to_owned()), "names hosts"),
            (|_, it| it.addresses.push(ip("10.0.0.2")), "names hosts"),
            (|it, _| it.usages.extend(set(&["cert sign"])), "usages"),
            (
                |it, _| it.signer = "kubernetes.io/kube-apiserver-client".to_owned(),
                "signer",
            ),
        ];
        for (change, why) in changes {
            let mut changed = request(signer);
            let mut subject = changed.subject.take().unwrap();
            change(&mut changed, &mut subject);
            changed.subject = Some(subject);
            let told = decide(changed).unwrap().unwrap_err();
            assert!(told.contains(why), "{signer}: {told}");
        }
        let mut unreadable = request(signer);
        unreadable.subject = None;
        assert!(decide(unreadable).unwrap().is_err());
    }
    let mut nameless = request(SERVING);
    let subject = nameless.subject.as_mut().unwrap();
    (subject.dns, subject.addresses) = (Vec::new(), Vec::new());
    assert!(decide(nameless).unwrap().is_err());
    // Another node's is not our business.
    let mut other = request(CLIENT);
    other.requestor = "system:node:m2".to_owned();
    other.subject.as_mut().unwrap().common_names = vec!["system:node:m2".to_owned()];
    assert_eq!(decide(other), None);
}
