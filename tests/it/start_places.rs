//! What `start` puts on the disk and takes away again.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::DnType;
use rekindle::core::reading::Reading;
use rekindle::core::start::journal::{Component, Journal};
use rekindle::core::start::observed::{Placed, Standing};
use rekindle::start::place::{PlaceError, Places};
use rekindle::start::tree::{self, Tree, TreeError};

use crate::recover_samples::{NOW, Pki};
use crate::start_world::{World, required};

const API: &str = "bootstrap-kube-apiserver.yaml";
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: bootstrap-kube-apiserver
  namespace: kube-system
spec:
  futureField: kept
  hostNetwork: true
  containers:
  - name: kube-apiserver
    image: k8s.gcr.io/kube-apiserver:v1.20.2
    command: [kube-apiserver, --secure-port=6443, \"--etcd-servers=http://127.0.0.1:2379\"]
  volumes:
  - name: secrets
    hostPath: {path: /etc/kubernetes/bootstrap-secrets/secrets/kube-apiserver}
  - name: other
    hostPath: {path: /etc/kubernetes/bootstrap-secrets-of-others}
";

#[expect(clippy::disallowed_methods, reason = "a test's own files")]
pub fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// A tree and the places of a node below one directory.
pub struct Node {
    pub dir: PathBuf,
    pub journal: Journal,
    pub places: Places,
    pub tree: Tree,
}

impl Node {
    pub fn new(dir: &Path) -> Self {
        let tree = dir.join("tree");
        write(&tree.join("auth/kubeconfig"), "the kubeconfig");
        write(&tree.join("bootstrap-manifests").join(API), POD);
        write(
            &tree.join("tls/secrets/kube-apiserver/ca.crt"),
            "a certificate",
        );
        write(&tree.join("tls/etcd-client.key"), "a key");
        std::fs::create_dir_all(dir.join("kubernetes/manifests")).unwrap();
        let tree = tree::read(&tree).unwrap();
        let mut journal = World::new().journal;
        journal.manifest_dir = dir.join("kubernetes/manifests").display().to_string();
        journal.secrets_dir = dir
            .join("kubernetes/bootstrap-secrets")
            .display()
            .to_string();
        journal.components = vec![tree.pods[0].component(&[required("kube-apiserver")])];
        Self {
            places: Places::of(&journal, dir.join("edited")),
            dir: dir.to_owned(),
            journal,
            tree,
        }
    }

    pub fn component(&self) -> &Component {
        &self.journal.components[0]
    }

    pub fn look(&self) -> Placed {
        let Reading::Known(placed) = self.places.look(&self.journal.components) else {
            panic!("the places cannot be read");
        };
        placed
    }

    pub fn manifest(&self) -> PathBuf {
        self.dir.join("kubernetes/manifests").join(API)
    }

    pub fn secrets(&self) -> PathBuf {
        self.dir.join("kubernetes/bootstrap-secrets")
    }

    /// Names in the directory that holds both places.
    pub fn names(&self) -> Vec<String> {
        crate::store_samples::names(&self.dir.join("kubernetes"))
    }
}

#[test]
fn the_tree_says_what_runs_and_in_whose_place() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(dir.path());
    assert_eq!(
        node.component().counterpart,
        Some(required("kube-apiserver"))
    );
    assert!(node.component().api);
    let pod = &node.tree.pods[0];
    assert_eq!(pod.flag("--etcd-servers"), Some("http://127.0.0.1:2379"));
    assert_eq!(
        pod.images().collect::<Vec<_>>(),
        ["k8s.gcr.io/kube-apiserver:v1.20.2"]
    );
    let shown = format!("{:?} {:?}", node.tree, pod);
    assert!(
        !shown.contains("a key") && !shown.contains("etcd-servers"),
        "{shown}"
    );
}

#[test]
fn a_tree_that_is_none_is_refused_with_what_is_missing() {
    let table: [(&str, Option<&str>, &str); 6] = [
        ("auth/kubeconfig", None, "no auth/kubeconfig"),
        (
            "bootstrap-manifests/bootstrap-kube-apiserver.yaml",
            None,
            "no file in bootstrap-manifests",
        ),
        (
            "bootstrap-manifests/a.yaml",
            Some("kind: Service\nmetadata: {name: a}"),
            "kind is not Pod",
        ),
        (
            "bootstrap-manifests/a.yaml",
            Some("{{ half"),
            "neither one YAML nor one JSON",
        ),
        (
            "bootstrap-manifests/a.yaml",
            Some("kind: Pod\nspec: {}\n"),
            "no name",
        ),
        (
            "bootstrap-manifests/a.yaml",
            Some("kind: Pod\nmetadata: {name: A/b}\nspec: {containers: []}"),
            "no DNS name",
        ),
    ];
    for (file, content, said) in table {
        let dir = tempfile::tempdir().unwrap();
        Node::new(dir.path());
        let path = dir.path().join("tree").join(file);
        match content {
            Some(text) => write(&path, text),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = tree::read(&dir.path().join("tree"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{file}: {error}");
    }
    let error = tree::read(Path::new("/nowhere")).unwrap_err();
    assert!(matches!(error, TreeError::Read(_)));
}

#[test]
fn r11_certificates_that_do_not_hold_are_told_apart_by_who_needs_them() {
    let dir = tempfile::tempdir().unwrap();
    Node::new(dir.path());
    let tree = dir.path().join("tree");
    let flag = "--tls-cert-file=/etc/kubernetes/secrets/apiserver.crt";
    let pod = POD.replace("[kube-apiserver,", &format!("[kube-apiserver, {flag},"));
    write(&tree.join("bootstrap-manifests").join(API), &pod);
    let (pki, past) = (Pki::new(NOW), (2020, 2021));
    let (server, _) = pki.leaf(&[(DnType::CommonName, "kube-apiserver")], &[], past);
    let kubeconfig = |user, years| pki.kubeconfig(user, "https://127.0.0.1:6443", years);
    let api = "tls/secrets/kube-apiserver/apiserver.crt";
    let kcm = "tls/secrets/kube-controller-manager/kcm.kubeconfig";
    write(&tree.join(api), &server);
    write(&tree.join(kcm), &kubeconfig("kcm", past));
    write(&tree.join("auth/kubeconfig"), &kubeconfig("admin", NOW));
    let told = || {
        let now = "2030-06-01T00:00:00Z".parse().unwrap();
        tree::read(&tree).unwrap().out_of_date(now)
    };
    let expired = |path: &str| format!("{path} expired on 2021-01-01");
    assert_eq!(told(), (vec![expired(api)], vec![expired(kcm)]));
    write(&tree.join("auth/kubeconfig"), &kubeconfig("admin", past));
    assert_eq!(told().0, [expired(api), expired("auth/kubeconfig")]);
}

#[test]
fn keys_are_for_root_alone_and_what_stood_there_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(dir.path());
    write(&node.secrets().join("old"), "of before");
    assert_eq!(node.look().secrets, Standing::Foreign);
    node.places.place_secrets(&node.tree).unwrap();
    assert_eq!(node.look().secrets, Standing::Ours(0));
    assert!(node.look().aside);
    assert_eq!(read(&node.secrets().join("kubeconfig")), "the kubeconfig");
    let key = node.secrets().join("secrets/kube-apiserver/ca.crt");
    assert_eq!(read(&key), "a certificate");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(key.parent().unwrap()), 0o700);
    assert_eq!(mode(&node.secrets()), 0o700);
    // Again: nothing more.
    node.places.place_secrets(&node.tree).unwrap();
    node.places.remove_secrets().unwrap();
    node.places.remove_secrets().unwrap();
    node.places.tidy();
    assert_eq!(read(&node.secrets().join("old")), "of before");
    assert_eq!(node.names(), ["bootstrap-secrets", "manifests"]);
}

#[test]
fn a_manifest_is_placed_as_it_is_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(dir.path());
    node.places
        .place_manifest(&node.tree, node.component())
        .unwrap();
    assert_eq!(node.look().files[API], Standing::Ours(0));
    let pod: serde_json::Value = serde_json::from_str(&read(&node.manifest())).unwrap();
    assert_eq!(pod["spec"]["futureField"], "kept");
    assert_eq!(pod["spec"]["hostNetwork"], true);
    let paths = |index: usize| pod["spec"]["volumes"][index]["hostPath"]["path"].as_str();
    let expected = node.secrets().join("secrets/kube-apiserver");
    assert_eq!(paths(0), expected.to_str());
    assert_eq!(
        paths(1),
        Some("/etc/kubernetes/bootstrap-secrets-of-others")
    );
    let again = Component {
        activation: 1,
        ..node.component().clone()
    };
    assert_ne!(
        node.places.rendered(&node.tree.pods[0], 0),
        node.places.rendered(&node.tree.pods[0], again.activation)
    );
    node.places
        .remove_manifest(&node.tree, node.component())
        .unwrap();
    assert_eq!(node.look().files[API], Standing::Absent);
    assert!(!node.dir.join("edited").exists());
}

#[test]
fn a_manifest_of_somebody_else_survives() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(dir.path());
    for foreign in [
        POD,
        "kind: Pod\nmetadata: {annotations: {rekindle.dev/start: other, rekindle.dev/activation: '0'}}",
        "{",
    ] {
        write(&node.manifest(), foreign);
        assert_eq!(node.look().files[API], Standing::Foreign);
        let error = node
            .places
            .place_manifest(&node.tree, node.component())
            .unwrap_err();
        assert!(matches!(error, PlaceError::InTheWay { .. }), "{error}");
        node.places
            .remove_manifest(&node.tree, node.component())
            .unwrap();
        assert_eq!(read(&node.manifest()), foreign);
    }
}

#[test]
fn a_manifest_that_was_edited_meanwhile_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(dir.path());
    node.places
        .place_manifest(&node.tree, node.component())
        .unwrap();
    let edited = read(&node.manifest()).replace("6443", "7443");
    write(&node.manifest(), &edited);
    assert_eq!(node.look().files[API], Standing::Ours(0));
    node.places
        .remove_manifest(&node.tree, node.component())
        .unwrap();
    assert!(!node.manifest().exists());
    let kept = node.dir.join("edited").join(format!("s1-0-{API}"));
    assert_eq!(read(&kept), edited);
}
