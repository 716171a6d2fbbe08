//! An etcd that ran as pods of the cluster it serves, under etcd-operator: it is restored from the
//! backup into a member of its own, which the operator then replaces by members of its cluster.
//!
//! The way of the predecessor before it gave the feature up (`predecessor.md` 2.6), with what it
//! could not do: a cluster without TLS (bootkube#612), Secrets with other names, and a member that
//! is really healthy before keys are deleted in it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

use super::addresses::{ETCD_SERVERS, host_of, is_address};
use super::command::change;
use super::found::{Found, Stored};
use super::plan::{Backup, Bytes, SECRETS_DIR};
use super::pod::Notes;
use super::select::is_etcd_cluster;

/// Defaults of etcd-operator. Source: coreos/etcd-operator 0.9 `pkg/apis/etcd/v1beta2/cluster.go`.
const REPOSITORY: &str = "quay.io/coreos/etcd";
const VERSION: &str = "3.1.8";
/// Secrets as bootkube named them, with the directory of the tree that their keys go to.
/// Source: bootkube 0.9 `pkg/asset/asset.go`.
const SECRETS: [(&str, &str, &str); 3] = [
    ("/TLS/static/member/peerSecret", "etcd-peer-tls", "tls/etcd"),
    (
        "/TLS/static/member/serverSecret",
        "etcd-server-tls",
        "tls/etcd",
    ),
    ("/TLS/static/operatorSecret", "etcd-client-tls", "tls"),
];

/// Everything of a self-hosted etcd that goes into the tree.
#[derive(Debug)]
pub(super) struct SelfHosted {
    pub(super) from: String,
    pub(super) pod: Pod,
    pub(super) files: BTreeMap<String, Bytes>,
    pub(super) documents: BTreeMap<String, Value>,
    pub(super) changes: Vec<String>,
    scheme: &'static str,
}

impl SelfHosted {
    /// Tells the API server of the member that is restored.
    pub(super) fn tell(&self, container: &mut Container, notes: &mut Notes) {
        let member = format!("{}://127.0.0.1:12379", self.scheme);
        let changed = change(container, ETCD_SERVERS, |old| {
            Some(format!("{old},{member}"))
        });
        if changed.is_empty() {
            notes.warn(format!(
                "{} has no --{ETCD_SERVERS} on its command line: add {member} to what it uses",
                container.name
            ));
        }
        for (_, new) in changed {
            notes.change(format!(
                "--{ETCD_SERVERS} is {new}: with the restored member"
            ));
        }
    }
}

/// The self-hosted etcd of `found`, if it has one.
pub(super) fn of(
    found: &Found,
    backup: Backup<'_>,
    mistakes: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Option<SelfHosted> {
    let Some(cluster) = &found.etcd_cluster else {
        // Without it a self-hosted etcd could not come back, and whether it is one is not known.
        let unreadable = found.unreadable.iter();
        for (place, why) in unreadable.filter(|(place, _)| is_etcd_cluster(place)) {
            mistakes.push(format!("{place} cannot be read: {why}"));
        }
        return None;
    };
    let text = |pointer: &str| cluster.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("kube-etcd");
    let from = format!("EtcdCluster {}/{name}", found.namespace);
    if cluster
        .pointer("/spec/selfHosted")
        .is_none_or(Value::is_null)
    {
        warnings.push(format!(
            "{from} does not say that it is self-hosted: it is taken for an etcd of its own, which \
             must be running"
        ));
        return None;
    }
    let endpoint = text("/spec/selfHosted/bootMemberClientEndpoint").unwrap_or_default();
    let address = host_of(endpoint);
    if !is_address(address) {
        mistakes.push(format!(
            "{from}: its spec.selfHosted.bootMemberClientEndpoint names no address, and the \
             temporary Service needs one"
        ));
    }
    if !backup.plain {
        mistakes.push(format!(
            "{from} is to be restored from the backup by etcd's own tools, which cannot read a \
             packed one: unpack {} (zstd -d) and give the result as --etcd-backup-file",
            backup.path
        ));
    }
    let tls = cluster
        .pointer("/spec/TLS")
        .is_some_and(|tls| !tls.is_null());
    let files = if tls {
        secrets(found, cluster, &from, mistakes)
    } else {
        BTreeMap::new()
    };
    let scheme = if tls { "https" } else { "http" };
    let repository = text("/spec/repository").filter(|text| !text.is_empty());
    let version = text("/spec/version").filter(|text| !text.is_empty());
    let image = format!(
        "{}:v{}",
        repository.unwrap_or(REPOSITORY),
        version.unwrap_or(VERSION).trim_start_matches('v')
    );
    let boot = Boot {
        image: &image,
        address: &bracketed(address),
        scheme,
        namespace: &found.namespace,
        name,
        backup,
    };
    let pod = match boot.pod() {
        Ok(pod) => pod,
        Err(error) => {
            mistakes.push(format!(
                "{from}: its temporary member cannot be made: {error}"
            ));
            return None;
        }
    };
    let documents = [
        ("etcd/bootstrap-etcd-service.json", boot.service(address)),
        (
            "etcd/migrate-etcd-cluster.json",
            clean(cluster, name, &found.namespace),
        ),
    ];
    let changes = vec![
        format!("a member that is restored from {}", backup.path),
        format!("image {image}"),
    ];
    Some(SelfHosted {
        from,
        pod,
        files,
        documents: documents.map(|(path, json)| (path.to_owned(), json)).into(),
        changes,
        scheme,
    })
}

fn secrets(
    found: &Found,
    cluster: &Value,
    from: &str,
    mistakes: &mut Vec<String>,
) -> BTreeMap<String, Bytes> {
    let mut files = BTreeMap::new();
    for (pointer, default, dir) in SECRETS {
        let named = cluster
            .pointer(&format!("/spec{pointer}"))
            .and_then(Value::as_str);
        let name = named.filter(|name| !name.is_empty()).unwrap_or(default);
        let place = format!("Secret {}/{name}", found.namespace);
        match found.secrets.get(name) {
            Some(Stored::Plain(object)) => {
                for (key, value) in &object.data {
                    let bad = key.contains('/') || key.starts_with('.') || key.is_empty();
                    if bad || ["secrets", "config-maps", "volumes", "etcd"].contains(&key.as_str())
                    {
                        mistakes.push(format!("{from}: {place} has a key that is no file name"));
                    } else {
                        files.insert(format!("{dir}/{key}"), Bytes(value.clone()));
                    }
                }
            }
            Some(Stored::Unreadable(why)) => {
                mistakes.push(format!("{from} needs {place}, which cannot be read: {why}"));
            }
            None => mistakes.push(format!("{from} needs {place}, which does not exist")),
        }
    }
    files
}

/// What the temporary member is made of.
struct Boot<'a> {
    image: &'a str,
    address: &'a str,
    scheme: &'static str,
    namespace: &'a str,
    name: &'a str,
    backup: Backup<'a>,
}

impl Boot<'_> {
    fn pod(&self) -> Result<Pod, serde_json::Error> {
        let Self {
            image,
            address,
            scheme,
            namespace,
            ..
        } = self;
        let data = json!({"name": "etcd", "mountPath": "/var/etcd"});
        let version = json!([{"name": "ETCDCTL_API", "value": "3"}]);
        let mut command = vec![
            "/usr/local/bin/etcd".to_owned(),
            "--name=boot-etcd".to_owned(),
            format!("--listen-client-urls={scheme}://0.0.0.0:12379"),
            format!("--listen-peer-urls={scheme}://0.0.0.0:12380"),
            format!("--advertise-client-urls={scheme}://{address}:12379"),
            "--data-dir=/var/etcd/data".to_owned(),
        ];
        if *scheme == "https" {
            let keys = "/etc/kubernetes/secrets/etcd";
            command.extend(["peer-", ""].iter().flat_map(|kind| {
                let file = if kind.is_empty() { "server" } else { "peer" };
                [
                    format!("--{kind}client-cert-auth=true"),
                    format!("--{kind}trusted-ca-file={keys}/{file}-ca.crt"),
                    format!("--{kind}cert-file={keys}/{file}.crt"),
                    format!("--{kind}key-file={keys}/{file}.key"),
                ]
            }));
        }
        serde_json::from_value(json!({
            "metadata": {
                "name": "bootstrap-etcd",
                "namespace": namespace,
                // The temporary Service selects by it.
                "labels": {"k8s-app": "boot-etcd"},
            },
            "spec": {
                "hostNetwork": true,
                "dnsPolicy": "Default",
                "restartPolicy": "OnFailure",
                "automountServiceAccountToken": false,
                "priorityClassName": "system-node-critical",
                "priority": 2_000_001_000,
                "tolerations": [{"operator": "Exists"}],
                "initContainers": [
                    {
                        "name": "recovery",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/bin/sh", "-ec", self.restore()],
                        "env": version,
                        "volumeMounts": [
                            data,
                            {"name": "etcdbackup", "mountPath": "/var/etcd-backup.db", "readOnly": true},
                        ],
                    },
                    {
                        "name": "cleanup",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/bin/sh", "-ec", self.clean_up()],
                        "env": version,
                        "volumeMounts": [data],
                    },
                ],
                "containers": [{
                    "name": "etcd",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "volumeMounts": [
                        data,
                        {"name": "secrets", "mountPath": "/etc/kubernetes/secrets", "readOnly": true},
                    ],
                }],
                "volumes": [
                    {"name": "etcd", "emptyDir": {}},
                    {"name": "etcdbackup", "hostPath": {"path": self.backup.path, "type": "File"}},
                    {"name": "secrets", "hostPath": {"path": SECRETS_DIR, "type": "DirectoryOrCreate"}},
                ],
            },
        }))
    }

    /// Restores once: what is cut off begins anew, what is restored stays.
    fn restore(&self) -> String {
        let Self {
            address, scheme, ..
        } = self;
        let peer = format!("{scheme}://{address}:12380");
        format!(
            "[ -d /var/etcd/data ] && exit 0\n\
             rm -rf /var/etcd/restoring\n\
             etcdctl snapshot restore /var/etcd-backup.db --data-dir=/var/etcd/restoring \
             --name=boot-etcd --initial-cluster=boot-etcd={peer} \
             --initial-cluster-token={token} --initial-advertise-peer-urls={peer} \
             --skip-hash-check=true\n\
             mv /var/etcd/restoring /var/etcd/data\n",
            token = self.backup.token,
        )
    }

    /// The old cluster and its members' pods must not be there when the operator starts: it would
    /// take them for its own.
    fn clean_up(&self) -> String {
        let Self {
            namespace, name, ..
        } = self;
        let prefix = self.backup.prefix.trim_end_matches('/');
        format!(
            "etcd --name=boot-etcd --data-dir=/var/etcd/data \
             --listen-client-urls=http://127.0.0.1:32379 \
             --listen-peer-urls=http://127.0.0.1:32380 \
             --advertise-client-urls=http://127.0.0.1:32379 &\n\
             member=$!\n\
             left=120\n\
             export ETCDCTL_ENDPOINTS=http://127.0.0.1:32379\n\
             until etcdctl endpoint health; do\n\
             \u{20} left=$((left - 1)); [ $left -gt 0 ] || exit 1; sleep 1\n\
             done\n\
             etcdctl del {prefix}/etcd.database.coreos.com/etcdclusters/{namespace}/{name}\n\
             etcdctl del --prefix {prefix}/pods/{namespace}/{name}-\n\
             kill $member\n\
             wait $member || true\n"
        )
    }

    fn service(&self, address: &str) -> Value {
        let port = |name: &str, port: u16| json!({"name": name, "port": port, "protocol": "TCP"});
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "bootstrap-etcd-service", "namespace": self.namespace},
            "spec": {
                "selector": {"k8s-app": "boot-etcd"},
                "clusterIP": address,
                "ports": [port("client", 12379), port("peers", 12380)],
            },
        })
    }
}

/// The cluster as somebody would create it: without uid, version and status.
fn clean(cluster: &Value, name: &str, namespace: &str) -> Value {
    let field = |name: &str| cluster.get(name).cloned().unwrap_or_default();
    json!({
        "apiVersion": field("apiVersion"),
        "kind": field("kind"),
        "metadata": {"name": name, "namespace": namespace},
        "spec": field("spec"),
    })
}

fn bracketed(address: &str) -> String {
    if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    }
}
