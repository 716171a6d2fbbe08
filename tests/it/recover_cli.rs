//! `rekindle recover` as an operator runs it: exit codes, streams, and nothing written by half.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use rekindle::core::recover::found::{Found, Stored};
use serde_json::{Value, json};

use crate::backup_samples::put;
use crate::recover_database::Records;
use crate::recover_samples::{NOW, Pki, SECRET, lab_with};
use crate::store_samples::names;

/// The data of a Secret or `ConfigMap` as the API server would have it in JSON.
fn data(stored: &Stored) -> Value {
    let Stored::Plain(object) = stored else {
        panic!("the samples are plain")
    };
    let entries = object.data.iter();
    let bytes = |value: &Vec<u8>| k8s_openapi::ByteString(value.clone());
    json!({"data": entries.map(|(key, value)| (key.clone(), json!(bytes(value)))).collect::<serde_json::Map<_, _>>()})
}

/// etcd's database with the objects of `found`; `sealed` are Secrets whose value is encrypted.
pub fn database(dir: &Path, found: &Found, sealed: &[&str]) -> PathBuf {
    let mut records = Records::default();
    let key = |kind: &str, name: &str| format!("/registry/{kind}/kube-system/{name}");
    for set in &found.daemon_sets {
        let name = key("daemonsets", set.metadata.name.as_deref().unwrap());
        records.put(&name, &serde_json::to_vec(set).unwrap());
    }
    for deployment in &found.deployments {
        let name = key("deployments", deployment.metadata.name.as_deref().unwrap());
        records.put(&name, &serde_json::to_vec(deployment).unwrap());
    }
    for (name, stored) in &found.secrets {
        let secret: Secret = serde_json::from_value(data(stored)).unwrap();
        let value = if sealed.contains(&name.as_str()) {
            [b"k8s:enc:aescbc:v1:k1:".as_slice(), &[7; 64]].concat()
        } else {
            serde_json::to_vec(&secret).unwrap()
        };
        records.put(&key("secrets", name), &value);
    }
    for (name, stored) in &found.config_maps {
        let Stored::Plain(object) = stored else {
            continue;
        };
        let text = object
            .data
            .iter()
            .map(|(key, value)| (key.clone(), String::from_utf8(value.clone()).unwrap()));
        let map = ConfigMap {
            data: Some(text.collect()),
            ..ConfigMap::default()
        };
        records.put(&key("configmaps", name), &serde_json::to_vec(&map).unwrap());
    }
    records.write(dir, "backup.db", 4096, true)
}

pub fn recover(dir: &Path, args: &[&str]) -> Command {
    let config = dir.join("config.toml");
    let text = format!("[paths]\nstate_dir = \"{}\"\n", dir.join("state").display());
    put(&config, text.as_bytes());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command
        .args(["recover", "--recovery-dir"])
        .arg(dir.join("recovered"))
        .args(args)
        .arg("--config")
        .arg(config);
    command
}

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = recover(dir, args).output().unwrap();
    let (out, err) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert!(!out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
    (status.code().unwrap(), out, err)
}

struct Stage {
    dir: tempfile::TempDir,
    found: Found,
    pki: Pki,
}

impl Stage {
    fn new() -> Self {
        let pki = Pki::new(NOW);
        Self {
            dir: tempfile::tempdir().unwrap(),
            found: lab_with(&pki),
            pki,
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Recovers from a database with what was found.
    fn recovered(&self, sealed: &[&str], args: &[&str]) -> (i32, String, String) {
        let file = database(self.path(), &self.found, sealed);
        let file = file.to_str().unwrap();
        run(self.path(), &[&["--etcd-backup-file", file], args].concat())
    }

    #[track_caller]
    fn nothing_written(&self) {
        assert!(!self.path().join("recovered").exists());
        let left = names(self.path());
        assert!(left.iter().all(|name| !name.contains(".part")), "{left:?}");
    }
}

#[test]
fn help_is_what_it_was() {
    let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["recover", "--help"])
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!("recover_help", out);
}

#[test]
fn wrong_usage_is_2_and_says_all_of_it() {
    let stage = Stage::new();
    for (args, words) in [
        (
            &[][..],
            &["--kubeconfig is needed to ask the API server"][..],
        ),
        (
            &[
                "--etcd-backup-file",
                "b",
                "--etcd-servers",
                "https://e:2379",
            ],
            &["are two sources"],
        ),
        (
            &[
                "--etcd-servers",
                "https://e:2379",
                "--etcd-certificate-path",
                "c",
                "--etcd-prefix",
                "",
            ],
            &["both or not at all", "--etcd-prefix must not be empty"],
        ),
        (
            &[
                "--etcd-backup-file",
                "b",
                "--etcd-ca-path",
                "c",
                "--etcd-endpoint",
                "e:2379",
            ],
            &["are for --etcd-servers", "--etcd-endpoint must be URLs"],
        ),
        (
            &["--node-address", "host", "--etcd-backup-file", "b"],
            &["--node-address"],
        ),
    ] {
        let (code, out, err) = run(stage.path(), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(
            words.iter().all(|word| err.contains(word)),
            "{words:?}: {err}"
        );
    }
    stage.nothing_written();
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let stage = Stage::new();
    let (code, out, err) = stage.recovered(&[], &["--dry-run"]);
    assert_eq!(code, 0, "{err}");
    for line in [
        "would write to ",
        "  bootstrap-manifests/bootstrap-kube-apiserver.yaml",
        "  tls/secrets/kube-controller-manager/ca.key",
        "bootstrap-kube-scheduler from Deployment kube-system/kube-scheduler",
        "  it keeps its own kubeconfig, tls/secrets/kube-scheduler/scheduler.kubeconfig",
        "  nodeSelector is left out",
    ] {
        assert!(
            out.lines().any(|have| have.starts_with(line)),
            "{line}: {out}"
        );
    }
    assert!(err.contains("warning: no --kubeconfig is given"), "{err}");
    assert!(!err.contains("Writing asset"), "{err}");
    stage.nothing_written();
}

#[test]
fn it_writes_what_the_seed_prints_and_lists_it_as_json() {
    let stage = Stage::new();
    let kubeconfig = stage.path().join("kubeconfig");
    // One that names files, as the kubelet's often does.
    put(&stage.path().join("ca.crt"), stage.pki.authority.as_bytes());
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                clusters: [{name: k, cluster: {server: 'https://10.0.0.5:6443', certificate-authority: ca.crt}}]\n\
                users: [{name: u, user: {token: abc}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";
    put(&kubeconfig, text.as_bytes());
    let (code, out, err) = stage.recovered(
        &[],
        &["--kubeconfig", kubeconfig.to_str().unwrap(), "-o", "json"],
    );
    assert_eq!(code, 0, "{err}");
    let first = err.lines().next().unwrap();
    assert!(
        first.starts_with("Attempting recovery using etcd backup file at \"/"),
        "{first}"
    );
    assert!(first.ends_with("/backup.db\"..."), "{first}");
    let recovered = stage.path().join("recovered");
    let told: Vec<&str> = err
        .lines()
        .filter_map(|line| line.strip_prefix("Writing asset: "))
        .collect();
    let report: Value = serde_json::from_str(&out).unwrap();
    let listed: Vec<PathBuf> = report["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| recovered.join(path.as_str().unwrap()))
        .collect();
    assert_eq!(told.iter().map(PathBuf::from).collect::<Vec<_>>(), listed);
    assert!(listed.iter().all(|path| path.is_file()));
    assert_eq!(report["written"], true);
    assert!(
        err.contains(&format!(
            "rekindle start --asset-dir {}",
            recovered.display()
        )),
        "{err}"
    );
    let own = std::fs::read_to_string(recovered.join("auth/kubeconfig")).unwrap();
    assert!(
        own.contains("certificate-authority-data") && !own.contains("ca.crt"),
        "{own}"
    );

    // Once more it is refused, and what is there stays.
    let (code, _, err) = stage.recovered(&[], &[]);
    assert_eq!(code, 1);
    assert!(
        err.contains("recovered is not empty") && err.contains("hint: "),
        "{err}"
    );
    assert!(!err.contains("Attempting"), "{err}");
    assert!(recovered.join("auth/kubeconfig").is_file());
}

#[test]
fn r17_needed_secrets_that_are_encrypted_are_refused_without_a_configuration() {
    let mut stage = Stage::new();
    stage.found.config_maps.clear();
    let (code, out, err) = stage.recovered(&["kube-apiserver", "kube-scheduler"], &[]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    for word in [
        "in the way of a recovery; nothing was written",
        "needs Secret kube-system/kube-apiserver, which cannot be read: it is encrypted at rest",
        "needs Secret kube-system/kube-scheduler, which cannot be read",
        "needs ConfigMap kube-system/kube-apiserver-config, which does not exist",
        "--encryption-config FILE",
    ] {
        assert!(err.contains(word), "{word}: {err}");
    }
    stage.nothing_written();
}

#[test]
fn r19_nothing_found_is_an_error_with_nothing_written() {
    let mut stage = Stage::new();
    stage.found.daemon_sets.clear();
    stage.found.deployments.clear();
    let (code, out, err) = stage.recovered(&[], &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("nothing to recover: no DaemonSet or Deployment of namespace kube-system"),
        "{err}"
    );
    stage.nothing_written();
    let (code, _, err) = stage.recovered(
        &[],
        &["--etcd-prefix", "/other", "--namespace", "elsewhere"],
    );
    assert_eq!(code, 1);
    assert!(err.contains("namespace elsewhere"), "{err}");
}

#[test]
fn a_damaged_or_absent_file_and_a_bad_kubeconfig_are_told() {
    let stage = Stage::new();
    let file = database(stage.path(), &stage.found, &[]);
    let bytes = std::fs::read(&file).unwrap();
    let cut = stage.path().join("cut.db");
    put(&cut, &bytes[..bytes.len() / 2]);
    let none = stage.path().join("none.db");
    for path in [&cut, &none] {
        let (code, out, err) = run(
            stage.path(),
            &["--etcd-backup-file", path.to_str().unwrap()],
        );
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains("error: "), "{err}");
    }
    let bad = stage.path().join("bad");
    put(&bad, format!("users: {SECRET}\n").as_bytes());
    let (code, _, err) = stage.recovered(&[], &["--kubeconfig", bad.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("bad is no kubeconfig"), "{err}");
    let (code, _, err) = stage.recovered(&[], &["--encryption-config", bad.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot use the encryption configuration"),
        "{err}"
    );
    stage.nothing_written();
}

#[test]
fn r11_and_r10_expired_and_foreign_certificates_are_told_and_issued_anew() {
    let mut stage = Stage::new();
    let (old, key) = stage.pki.leaf(
        &[(rcgen::DnType::CommonName, "api")],
        &["192.0.2.77"],
        (2020, 2021),
    );
    let entries = [("apiserver.crt", old.as_str()), ("apiserver.key", &key)];
    stage.found.secrets.insert(
        "kube-apiserver".to_owned(),
        crate::recover_samples::plain(&entries),
    );
    let (code, _, err) = stage.recovered(&[], &["--dry-run"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("apiserver.crt expired on 2021-01-01 and does not name 127.0.0.1"),
        "{err}"
    );
    let (code, out, err) = stage.recovered(
        &[],
        &["--reissue-certificates", "--node-address", "192.0.2.99"],
    );
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("issued anew") && !err.contains("expired"),
        "{out}{err}"
    );
    let new = stage
        .path()
        .join("recovered/tls/secrets/kube-apiserver/apiserver.crt");
    let text = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(new)
        .output();
    let text = String::from_utf8(text.unwrap().stdout).unwrap();
    assert!(
        text.contains("IP Address:192.0.2.99") && text.contains("IP Address:192.0.2.77"),
        "{text}"
    );
}
