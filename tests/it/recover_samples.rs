//! The lab's self-hosted control plane as a source finds it, with certificates of its own.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rekindle::core::manifest::gathered::Object;
use rekindle::core::manifest::references::api_references;
use rekindle::core::recover::found::{Found, Stored};
use rekindle::core::recover::plan::{Mistakes, Plan, Wanted, plan};
use serde_json::{Value, json};

/// Stands in every Secret: must never come out in a message.
pub const SECRET: &str = "hunter2-the-secret-value";
const MOUNT: &str = "/etc/kubernetes/secrets";

/// A certificate's dates as years.
pub type Years = (i32, i32);
pub const NOW: Years = (2020, 2040);

/// An authority and leaves below it.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    pub authority: String,
    pub key: String,
}

impl Pki {
    pub fn new(years: Years) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let (authority, pem) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        Self {
            issuer: Issuer::new(params, key),
            authority,
            key: pem,
        }
    }

    /// A leaf, and its key.
    pub fn leaf(
        &self,
        subject: &[(DnType, &str)],
        names: &[&str],
        years: Years,
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }

    pub fn kubeconfig(&self, user: &str, server: &str, years: Years) -> String {
        let (certificate, key) = self.leaf(&[(DnType::CommonName, user)], &[], years);
        let encoded = |text: &str| {
            let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
            serde_json::to_value(bytes)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        };
        format!(
            "apiVersion: v1\nkind: Config\n\
             clusters: [{{name: lab, cluster: {{server: \"{server}\", certificate-authority-data: {}}}}}]\n\
             users: [{{name: u, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n\
             contexts: [{{name: c, context: {{cluster: lab, user: u}}}}]\ncurrent-context: c\n",
            encoded(&self.authority),
            encoded(&certificate),
            encoded(&key)
        )
    }
}

pub fn object(entries: &[(&str, &str)]) -> Object {
    let data = entries.iter();
    Object {
        data: data
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect(),
        binary_data: BTreeMap::new(),
    }
}

pub fn plain(entries: &[(&str, &str)]) -> Stored {
    Stored::Plain(object(entries))
}

/// The pod spec of a component, with its Secret whole in the volume `secrets`.
pub fn spec(component: &str, command: &[&str]) -> Value {
    json!({
        "hostNetwork": true,
        "priorityClassName": "system-node-critical",
        "serviceAccountName": component,
        "nodeSelector": {"node-role.kubernetes.io/master": ""},
        "containers": [{
            "name": component,
            "image": format!("k8s.gcr.io/{component}:v1.20.2"),
            "command": command,
            "volumeMounts": [{"name": "secrets", "mountPath": MOUNT, "readOnly": true}],
        }],
        "volumes": [{"name": "secrets", "secret": {"secretName": component}}],
    })
}

fn controller(name: &str, labels: &Value, spec: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

pub fn daemon_set(name: &str, labels: &Value, spec: &Value) -> DaemonSet {
    serde_json::from_value(controller(name, labels, spec)).unwrap()
}

pub fn deployment(name: &str, labels: &Value, spec: &Value) -> Deployment {
    serde_json::from_value(controller(name, labels, spec)).unwrap()
}

pub fn label(component: &str) -> Value {
    json!({"tier": "control-plane", "k8s-app": component})
}

pub fn api_spec() -> Value {
    let mut spec = spec(
        "kube-apiserver",
        &[
            "/usr/local/bin/kube-apiserver",
            "--advertise-address=$(HOST_IP)",
            "--etcd-servers=http://127.0.0.1:2379",
            "--insecure-port=0",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-signing-key-file=/etc/kubernetes/secrets/service-account.key",
            "--tls-cert-file=/etc/kubernetes/secrets/apiserver.crt",
            "--tls-private-key-file=/etc/kubernetes/secrets/apiserver.key",
            "--audit-policy-file=/etc/kubernetes/config/audit-policy.yaml",
        ],
    );
    let container = &mut spec["containers"][0];
    container["env"] = json!([
        {"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
    ]);
    let mounts = container["volumeMounts"].as_array_mut().unwrap();
    mounts.push(json!({"name": "config", "mountPath": "/etc/kubernetes/config"}));
    let volumes = spec["volumes"].as_array_mut().unwrap();
    volumes.push(json!({"name": "config", "configMap": {"name": "kube-apiserver-config"}}));
    spec
}

fn kubeconfig_spec(component: &str, kubeconfig: &str) -> Value {
    let flag = format!("--kubeconfig={MOUNT}/{kubeconfig}");
    spec(
        component,
        &[
            &format!("/usr/local/bin/{component}"),
            &flag,
            "--leader-elect=true",
        ],
    )
}

/// The whole control plane; certificates of `pki`.
pub fn lab_with(pki: &Pki) -> Found {
    let names = ["kubernetes", "localhost", "127.0.0.1", "10.0.0.5"];
    let (certificate, key) = pki.leaf(&[(DnType::CommonName, "kube-apiserver")], &names, NOW);
    let local = "https://127.0.0.1:6443";
    let secrets = [
        (
            "kube-apiserver",
            plain(&[
                ("apiserver.crt", &certificate),
                ("apiserver.key", &key),
                ("ca.crt", &pki.authority),
                ("service-account.key", SECRET),
            ]),
        ),
        (
            "kube-controller-manager",
            plain(&[
                ("ca.crt", &pki.authority),
                ("ca.key", &pki.key),
                ("service-account.key", SECRET),
                ("kcm.kubeconfig", &pki.kubeconfig("system:kcm", local, NOW)),
            ]),
        ),
        (
            "kube-scheduler",
            plain(&[(
                "scheduler.kubeconfig",
                &pki.kubeconfig("system:scheduler", local, NOW),
            )]),
        ),
    ];
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
    Found {
        namespace: "kube-system".to_owned(),
        daemon_sets: vec![daemon_set(
            "kube-apiserver",
            &label("kube-apiserver"),
            &api_spec(),
        )],
        deployments: [
            ("kube-controller-manager", "kcm.kubeconfig"),
            ("kube-scheduler", "scheduler.kubeconfig"),
        ]
        .map(|(name, file)| deployment(name, &label(name), &kubeconfig_spec(name, file)))
        .into(),
        secrets: secrets
            .map(|(name, stored)| (name.to_owned(), stored))
            .into(),
        config_maps: [(
            "kube-apiserver-config".to_owned(),
            plain(&[("audit-policy.yaml", policy), ("readme.txt", "words\n")]),
        )]
        .into(),
        ..Found::default()
    }
}

pub fn lab() -> Found {
    lab_with(&Pki::new(NOW))
}

pub fn addresses() -> BTreeSet<String> {
    ["10.0.0.5", "fd00::5"].map(str::to_owned).into()
}

/// Nothing special asked for, on the host that the lab's certificates name.
pub fn wanted(addresses: &BTreeSet<String>) -> Wanted<'_> {
    Wanted {
        looked_in: "etcd backup file at \"/b\"",
        kubeconfig: false,
        etcd_endpoints: &[],
        node_address: None,
        host_addresses: addresses,
        backup: None,
    }
}

#[track_caller]
pub fn planned(found: &Found, wanted: &Wanted<'_>) -> Plan {
    let plan = plan(found, wanted).unwrap_or_else(|Mistakes(all)| panic!("{}", all.join("\n")));
    for pod in &plan.pods {
        assert_eq!(
            api_references(&pod.pod),
            Vec::<String>::new(),
            "{}",
            pod.from
        );
        assert_eq!(pod.pod.spec.as_ref().unwrap().host_network, Some(true));
    }
    let shown = format!("{plan:?}");
    assert!(!shown.contains(SECRET));
    plan
}

/// [`planned`] with nothing special asked for.
#[track_caller]
pub fn simply(found: &Found) -> Plan {
    planned(found, &wanted(&addresses()))
}

#[track_caller]
pub fn mistakes(found: &Found, wanted: &Wanted<'_>) -> Vec<String> {
    let Err(Mistakes(all)) = plan(found, wanted) else {
        panic!("planned all the same")
    };
    assert!(all.iter().all(|mistake| !mistake.contains(SECRET)));
    all
}

/// The spec of the only controller of that name, to be changed.
pub fn spec_of<'a>(
    found: &'a mut Found,
    name: &str,
) -> &'a mut k8s_openapi::api::core::v1::PodSpec {
    let sets = found
        .daemon_sets
        .iter_mut()
        .map(|set| (&set.metadata, &mut set.spec.template));
    let deployments = found.deployments.iter_mut();
    let deployments = deployments.map(|one| (&one.metadata, &mut one.spec.template));
    let mut all = sets.chain(deployments);
    let (_, template) = all
        .find(|(meta, _)| meta.name.as_deref() == Some(name))
        .unwrap();
    template.spec.as_mut().unwrap()
}

/// Changes the spec of a controller as JSON.
pub fn edit(found: &mut Found, name: &str, change: impl FnOnce(&mut Value)) {
    let spec = spec_of(found, name);
    let mut value = serde_json::to_value(&*spec).unwrap();
    change(&mut value);
    *spec = serde_json::from_value(value).unwrap();
}

/// The planned pod of a component as JSON.
#[track_caller]
pub fn pod(plan: &Plan, name: &str) -> Value {
    let name = format!("bootstrap-{name}");
    let found = plan
        .pods
        .iter()
        .find(|p| p.pod.metadata.name.as_ref() == Some(&name));
    serde_json::to_value(&found.unwrap_or_else(|| panic!("no {name}")).pod).unwrap()
}

/// Its changes, joined.
pub fn changes(plan: &Plan, name: &str) -> String {
    let name = format!("bootstrap-{name}");
    let found = plan
        .pods
        .iter()
        .find(|p| p.pod.metadata.name.as_ref() == Some(&name));
    found.unwrap().changes.join("\n")
}

pub fn command(pod: &Value) -> Vec<String> {
    serde_json::from_value(pod["spec"]["containers"][0]["command"].clone()).unwrap()
}
