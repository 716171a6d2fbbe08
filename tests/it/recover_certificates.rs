//! R10 and R11: certificates of the recovered tree against this host and this day.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};

use jiff::Timestamp;
use rcgen::DnType;
use rekindle::core::recover::found::Found;
use rekindle::core::recover::plan::Plan;
use rekindle::recover::certificates::{About, settle};
use rekindle::recover::host::Host;

use crate::backup_samples::put;
use crate::recover_samples::{NOW, Pki, SECRET, Years, lab_with, plain, simply};

const API: &str = "tls/secrets/kube-apiserver/apiserver.crt";
const PAST: Years = (2020, 2021);

fn host(address: &str) -> Host {
    Host {
        name: "master-9".to_owned(),
        addresses: [address.parse::<IpAddr>().unwrap()].into(),
    }
}

/// The plan of `found` on a host with `address`.
fn settled(found: &Found, address: &str, reissue: bool) -> Plan {
    let mut plan = simply(found);
    let host = host(address);
    let about = About {
        now: "2030-06-01T00:00:00Z".parse::<Timestamp>().unwrap(),
        host: &host,
        node_address: None,
        reissue,
    };
    settle(&mut plan, found, &about);
    assert!(!format!("{plan:?}").contains(SECRET));
    plan
}

fn api_certificate(pki: &Pki, names: &[&str], years: Years) -> Found {
    let mut found = lab_with(pki);
    let subject = [
        (DnType::OrganizationName, "o"),
        (DnType::CommonName, "kube-apiserver"),
    ];
    let (certificate, key) = pki.leaf(&subject, names, years);
    let entries = [
        ("apiserver.crt", certificate.as_str()),
        ("apiserver.key", &key),
    ];
    found
        .secrets
        .insert("kube-apiserver".to_owned(), plain(&entries));
    found
}

/// What openssl, an independent reader, says of files.
fn openssl(args: &[&str]) -> String {
    let output: Output = Command::new("openssl").args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{args:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn written(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    put(&path, bytes);
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_certificate_that_holds_and_names_this_host_is_left_alone() {
    let pki = Pki::new(NOW);
    let plan = settled(&lab_with(&pki), "10.0.0.5", true);
    assert_eq!((plan.warnings, plan.changes), (Vec::new(), Vec::new()));
}

#[test]
fn r11_expired_and_not_yet_valid_certificates_are_told() {
    let pki = Pki::new(NOW);
    let names = ["127.0.0.1", "10.0.0.5"];
    let plan = settled(&api_certificate(&pki, &names, PAST), "10.0.0.5", false);
    assert_eq!(plan.warnings.len(), 1, "{:?}", plan.warnings);
    let told = &plan.warnings[0];
    assert!(
        told.contains(&format!("{API} expired on 2021-01-01")),
        "{told}"
    );
    assert!(told.contains("give --reissue-certificates"), "{told}");

    let plan = settled(
        &api_certificate(&pki, &names, (2031, 2040)),
        "10.0.0.5",
        false,
    );
    assert!(
        plan.warnings[0].contains("holds only from 2031-01-01"),
        "{:?}",
        plan.warnings
    );

    // Without the authority's key nobody can.
    let mut found = api_certificate(&pki, &names, PAST);
    let other = Pki::new(NOW);
    let kcm = [
        ("ca.key", other.key.as_str()),
        (
            "kcm.kubeconfig",
            &pki.kubeconfig("k", "https://127.0.0.1:6443", NOW),
        ),
    ];
    found
        .secrets
        .insert("kube-controller-manager".to_owned(), plain(&kcm));
    let plan = settled(&found, "10.0.0.5", true);
    assert!(
        plan.warnings[0].contains("key of its authority is not among"),
        "{:?}",
        plan.warnings
    );
    assert_eq!(plan.changes, Vec::<String>::new());

    // An authority that ended cannot issue either.
    let ended = Pki::new(PAST);
    let plan = settled(&api_certificate(&ended, &names, PAST), "10.0.0.5", true);
    assert!(plan.changes.is_empty());
    assert!(
        plan.warnings
            .iter()
            .any(|w| w.contains("it is an authority")),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn r10_a_certificate_of_another_host_is_issued_anew_with_this_ones_names() {
    let pki = Pki::new(NOW);
    let found = api_certificate(&pki, &["kubernetes", "127.0.0.1", "10.0.0.1"], NOW);
    let told = settled(&found, "10.0.0.9", false).warnings;
    assert!(
        told[0].contains("does not name this host (10.0.0.9)"),
        "{told:?}"
    );

    let plan = settled(&found, "10.0.0.9", true);
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert!(
        plan.changes[0].contains("issued anew, until 2031-06-01"),
        "{:?}",
        plan.changes
    );
    let dir = tempfile::tempdir().unwrap();
    let leaf = written(dir.path(), "leaf", &plan.files[API].0);
    let authority = written(dir.path(), "ca", pki.authority.as_bytes());
    let day = "1906502400"; // 2030-06-01
    openssl(&["verify", "-attime", day, "-CAfile", &authority, &leaf]);
    let text = openssl(&["x509", "-in", &leaf, "-noout", "-text"]);
    for word in [
        "DNS:kubernetes",
        "IP Address:127.0.0.1",
        "IP Address:10.0.0.1",
        "IP Address:10.0.0.9",
        "DNS:master-9",
        "O = o, CN = kube-apiserver",
        "TLS Web Server Authentication",
        "Digital Signature, Key Encipherment",
        "CA:FALSE",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // The same key: nothing else has to change.
    let key = written(
        dir.path(),
        "key",
        &plan.files["tls/secrets/kube-apiserver/apiserver.key"].0,
    );
    let public = openssl(&["x509", "-in", &leaf, "-noout", "-pubkey"]);
    assert_eq!(public, openssl(&["pkey", "-in", &key, "-pubout"]));
    // And again it is left alone.
    let mut again = plan.clone();
    let host = host("10.0.0.9");
    let now = "2030-07-01T00:00:00Z".parse().unwrap();
    again.changes.clear();
    settle(
        &mut again,
        &found,
        &About {
            now,
            host: &host,
            node_address: None,
            reissue: true,
        },
    );
    assert_eq!((again.warnings, again.changes), (Vec::new(), Vec::new()));
}

#[test]
fn r11_an_expired_client_certificate_in_a_kubeconfig_is_issued_anew() {
    let pki = Pki::new(NOW);
    let mut found = lab_with(&pki);
    let old = pki.kubeconfig("system:kube-scheduler", "https://127.0.0.1:6443", PAST);
    found.secrets.insert(
        "kube-scheduler".to_owned(),
        plain(&[("scheduler.kubeconfig", &old)]),
    );
    let plan = settled(&found, "10.0.0.5", true);
    assert_eq!(plan.warnings, Vec::<String>::new());
    let path = "tls/secrets/kube-scheduler/scheduler.kubeconfig";
    assert!(plan.changes[0].contains(path), "{:?}", plan.changes);
    let new = String::from_utf8(plan.files[path].0.clone()).unwrap();
    assert_ne!(new, old);
    assert_eq!(new.lines().count(), old.lines().count());
    let plan = settled(&found, "10.0.0.5", false);
    assert!(plan.warnings[0].contains(path) && plan.warnings[0].contains("expired"));
}

/// Keys as openssl and older installers write them: RSA in PKCS#1, and ECDSA in SEC1.
#[test]
fn r10_authorities_of_every_usual_kind_of_key_issue_anew() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let kinds: [(&str, &[&str]); 3] = [
        ("rsa", &["genrsa", "-traditional", "2048"]),
        ("rsa8", &["genrsa", "2048"]),
        (
            "ec",
            &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
        ),
    ];
    for (kind, make) in kinds {
        let (key, authority, leaf) = (
            at(kind),
            at(&format!("{kind}.crt")),
            at(&format!("{kind}.leaf")),
        );
        put(Path::new(&key), openssl(make).as_bytes());
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            &key,
            "-days",
            "9000",
            "-subj",
            "/CN=old-ca",
            "-out",
            &authority,
        ]);
        let request = at(&format!("{kind}.csr"));
        openssl(&[
            "req",
            "-new",
            "-key",
            &key,
            "-subj",
            "/O=a/CN=api",
            "-out",
            &request,
        ]);
        let leaf_key = at(&format!("{kind}.key"));
        put(Path::new(&leaf_key), openssl(make).as_bytes());
        openssl(&[
            "req",
            "-new",
            "-key",
            &leaf_key,
            "-subj",
            "/O=a/CN=api",
            "-out",
            &request,
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &authority,
            "-CAkey",
            &key,
            "-CAcreateserial",
            "-days",
            "1",
            "-out",
            &leaf,
        ]);
        let pki = Pki::new(NOW);
        let mut found = lab_with(&pki);
        let read = |path: &str| std::fs::read_to_string(path).unwrap();
        let entries = [
            ("apiserver.crt", read(&leaf)),
            ("ca.crt", read(&authority)),
            ("any.key", read(&key)),
        ];
        let entries = entries
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        found
            .secrets
            .insert("kube-apiserver".to_owned(), plain(&entries));
        let plan = settled(&found, "10.0.0.9", true);
        assert_eq!(plan.warnings, Vec::<String>::new(), "{kind}");
        let new = written(dir.path(), "new", &plan.files[API].0);
        openssl(&[
            "verify",
            "-attime",
            "1906502400",
            "-CAfile",
            &authority,
            &new,
        ]);
    }
}

#[test]
fn the_kernels_lists_of_addresses_are_read() {
    let fib = "Main:\n  |-- 10.0.0.0\n     /24 link UNICAST\n  |-- 10.0.0.5\n     /32 host LOCAL\n\
               |-- 10.0.0.255\n     /32 link BROADCAST\n  |-- 127.0.0.1\n     /32 host LOCAL\n";
    let four = rekindle::recover::host::ipv4(fib);
    assert_eq!(four, ["10.0.0.5".parse().unwrap()].into());
    let six = "fd000000000000000000000000000002 04 40 00 82 eth0\n\
               fe8000000000000000fc00fffe000001 04 40 20 80 eth0\n\
               00000000000000000000000000000001 01 80 10 80 lo\nrubbish\n";
    let six = rekindle::recover::host::ipv6(six);
    assert_eq!(six, ["fd00::2".parse().unwrap()].into());
    assert!(!Host::read().name.is_empty());
}
