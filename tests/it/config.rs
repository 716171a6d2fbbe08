//! Configuration: every mistake at once with its place, and the order of drop-ins.

#![expect(
    clippy::too_many_lines,
    reason = "a table of mistakes is as long as it is"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rekindle::config::{self, Files, Loaded, Mistakes};

fn load_text(text: &str) -> Result<Loaded, Mistakes> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    write(&file, text);
    config::load_files(&Files::one(file), "master-0")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fs::write(path, text).unwrap();
}

#[track_caller]
fn mistakes(text: &str) -> Vec<String> {
    match load_text(text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes
            .0
            .iter()
            .map(|mistake| {
                let told = mistake.to_string();
                told.rsplit_once("c.toml:")
                    .map_or(told.clone(), |(_, rest)| rest.to_owned())
            })
            .collect(),
    }
}

#[test]
fn each_mistake_names_line_key_cause_and_hint() {
    for (text, expected) in [
        (
            "[checkpoint]\ngrace_period_second = 3",
            "2: checkpoint.grace_period_second: unknown key\n  hint: did you mean `grace_period_seconds`?",
        ),
        (
            "[checkpont]\ngrace_period_seconds = 3",
            "1: [checkpont]: unknown section\n  hint: did you mean `checkpoint`?",
        ),
        (
            "grace_period_seconds = 3",
            "1: grace_period_seconds: a key outside of every section\n  hint: put it below `[checkpoint]`",
        ),
        (
            "[engine]\nstate_dir = '/x'",
            "2: engine.state_dir: unknown key\n  hint: did you mean `paths.state_dir`?",
        ),
        (
            "[engine]\nzzzz = 1",
            "2: engine.zzzz: unknown key\n  hint: the keys here are enabled, cgroup_parent",
        ),
        (
            "\n[checkpoint]\nready_seconds = '3'",
            "3: checkpoint.ready_seconds: a number is expected, not a string\n  hint: it takes seconds from 0 to 3600, fractions allowed",
        ),
        (
            "[checkpoint]\nready_seconds = -1",
            "2: checkpoint.ready_seconds: -1 is out of range\n  hint: it takes seconds from 0 to 3600, fractions allowed",
        ),
        (
            "[checkpoint]\nready_seconds = 3600.5",
            "2: checkpoint.ready_seconds: 3600.5 is out of range\n  hint: it takes seconds from 0 to 3600, fractions allowed",
        ),
        (
            "[checkpoint]\nready_seconds = nan",
            "2: checkpoint.ready_seconds: NaN is out of range\n  hint: it takes seconds from 0 to 3600, fractions allowed",
        ),
        (
            "[checkpoint]\nready_seconds = 99999999999999999999",
            "2: checkpoint.ready_seconds: a number is expected, not an integer beyond 64 bits\n  hint: it takes seconds from 0 to 3600, fractions allowed",
        ),
        (
            "[engine]\nenabled = 1",
            "2: engine.enabled: true or false is expected, not an integer\n  hint: it takes true or false",
        ),
        (
            "[paths]\nstate_dir = 'var/lib'",
            "2: paths.state_dir: \"var/lib\" is not absolute\n  hint: it takes an absolute path without `..`",
        ),
        (
            "[paths]\nstate_dir = '/var/../etc'",
            "2: paths.state_dir: \"/var/../etc\" contains `..`\n  hint: it takes an absolute path without `..`",
        ),
        (
            "[kubelet]\nsecure_url = 'http://127.0.0.1:10250'",
            "2: kubelet.secure_url: the scheme is `http`\n  hint: it takes a URL `https://HOST:PORT`, or \"\" for off",
        ),
        (
            "[kubelet]\nsecure_url = 'https://a:b@h'",
            "2: kubelet.secure_url: a URL with credentials is not accepted\n  hint: it takes a URL `https://HOST:PORT`, or \"\" for off",
        ),
        (
            "[kubelet]\nread_only_url = 'http://h/pods'",
            "2: kubelet.read_only_url: \"http://h/pods\" has a path\n  hint: it takes a URL `http://HOST:PORT`, or \"\" for off",
        ),
        (
            "[kubelet]\nanswer_limit_bytes = 5",
            "2: kubelet.answer_limit_bytes: 5 is out of range\n  hint: it takes bytes from 1048576 to 1073741824",
        ),
        (
            "[metrics]\nlisten_address = 'localhost'",
            "2: metrics.listen_address: \"localhost\" is no address with a port\n  hint: it takes `ADDRESS:PORT`, for IPv6 `[ADDRESS]:PORT`, or \"\" for off",
        ),
        (
            "[node]\naddress = '1.2.3'",
            "2: node.address: \"1.2.3\" is no IP address\n  hint: it takes an IP address, or \"\" for none",
        ),
        (
            "[node]\nname = 'Master_0'",
            "2: node.name: \"Master_0\" is no DNS name\n  hint: it takes a DNS name (lower-case letters, digits, `-` and `.`), or \"\" for the host name",
        ),
        (
            "[containerd]\nengine_namespace = '../x'",
            "2: containerd.engine_namespace: \"../x\" is no containerd namespace\n  hint: it takes a containerd namespace: letters, digits, `-`, `_` and `.`, at most 76 characters",
        ),
        (
            "[engine]\ncgroup_parent = '/a/../b'",
            "2: engine.cgroup_parent: \"/a/../b\" is no cgroup path\n  hint: it takes an absolute cgroup path, at most 200 characters",
        ),
        (
            "[checkpoint]\nrescue_controllers = ['kube-scheduler']",
            "2: checkpoint.rescue_controllers: \"kube-scheduler\" is no checkpoint id: it is not of the form kind.namespace.name\n  hint: it takes a list of at most 64 checkpoint ids `kind.namespace.name`",
        ),
        (
            "[checkpoint]\nrescue_controllers = [1]",
            "2: checkpoint.rescue_controllers: a list of strings is expected, not of an integer\n  hint: it takes a list of at most 64 checkpoint ids `kind.namespace.name`",
        ),
        (
            "[socket]\ngroup = 'a b'",
            "2: socket.group: \"a b\" is no group name\n  hint: it takes a group name, at most 32 characters",
        ),
        // Combinations.
        (
            "[kubelet]\ntoken_file = '/t'",
            "2: kubelet.token_file: the token would be sent to a server whose certificate is not verified\n  hint: set kubelet.ca_file, or use a client certificate",
        ),
        (
            "[kubelet]\nclient_key_file = '/k'",
            "2: kubelet.client_key_file: there is a key and no certificate\n  hint: set kubelet.client_certificate_file; both may name the same file",
        ),
        (
            "[kubelet]\nclient_certificate_file = '/c'",
            "2: kubelet.client_certificate_file: there is a certificate and no key\n  hint: set kubelet.client_key_file; both may name the same file",
        ),
        (
            "[containerd]\nengine_namespace = 'k8s.io'",
            "2: containerd.engine_namespace: it is the kubelet's namespace: the kubelet would remove our containers\n  hint: give our own engine a namespace of its own",
        ),
        (
            "[paths]\nmanifest_staging_dir = '/etc/kubernetes/manifests/tmp'",
            "2: paths.manifest_staging_dir: it is inside paths.manifest_dir, where the kubelet runs what it finds\n  hint: choose a directory outside of it",
        ),
        (
            "[checkpoint]\nhandover_backoff_seconds = 900",
            "2: checkpoint.handover_backoff_seconds: it is larger than checkpoint.handover_backoff_limit_seconds\n  hint: lower it, or raise the limit",
        ),
    ] {
        assert_eq!(mistakes(text), [expected], "{text}");
    }
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    write(
        &at("etc/rekindle/config.toml"),
        "[engine]\nenabled = 1\nbroken =\n[log]\nlevle = 'info'\n",
    );
    write(
        &at("etc/rekindle/config.d/10.toml"),
        "[checkpoint]\nready_seconds = 99999\n",
    );
    write(
        &at("run/rekindle/config.d/20.toml"),
        "[paths]\nmanifest_dir = \"/x\n\nstate_dir = 5\n",
    );
    let told = config::load_files(&Files::installed(root.path()), "master-0")
        .unwrap_err()
        .to_string()
        .replace(root.path().to_str().unwrap(), "");
    let places: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("  "))
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "/etc/rekindle/config.toml:2",
            "/etc/rekindle/config.toml:3",
            "/etc/rekindle/config.toml:5",
            "/etc/rekindle/config.d/10.toml:2",
            "/run/rekindle/config.d/20.toml:2",
            "/run/rekindle/config.d/20.toml:4",
        ],
        "{told}"
    );
}

#[test]
fn a_wrong_value_is_told_although_a_later_file_overrides_it() {
    let root = tempfile::tempdir().unwrap();
    write(
        &root.path().join("etc/rekindle/config.toml"),
        "[log]\nlevel = 5",
    );
    write(
        &root.path().join("etc/rekindle/config.d/1.toml"),
        "[log]\nlevel = 'debug'",
    );
    let mistakes = config::load_files(&Files::installed(root.path()), "master-0").unwrap_err();
    assert_eq!(mistakes.0.len(), 1, "{mistakes}");
}

#[test]
fn later_name_wins_same_name_replaces_and_dev_null_masks() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    let ready = |seconds: u32| format!("[checkpoint]\nready_seconds = {seconds}\n");
    let load = || config::load_files(&Files::installed(root.path()), "master-0").unwrap();
    assert_eq!(
        load().settings.policy.ready,
        Duration::from_secs(10),
        "no file at all"
    );
    write(&at("etc/rekindle/config.toml"), &ready(1));
    assert_eq!(load().settings.policy.ready, Duration::from_secs(1));
    write(&at("usr/lib/rekindle/config.d/50.toml"), &ready(2));
    assert_eq!(
        load().settings.policy.ready,
        Duration::from_secs(2),
        "a drop-in beats the main file"
    );
    write(&at("etc/rekindle/config.d/40.toml"), &ready(3));
    assert_eq!(
        load().settings.policy.ready,
        Duration::from_secs(2),
        "the later name wins"
    );
    write(
        &at("run/rekindle/config.d/50.toml"),
        "[log]\nlevel = 'warn'\n",
    );
    assert_eq!(
        load().settings.policy.ready,
        Duration::from_secs(3),
        "/run replaces /usr/lib's 50"
    );
    std::os::unix::fs::symlink("/dev/null", at("etc/rekindle/config.d/50.toml")).unwrap();
    let loaded = load();
    assert_eq!(loaded.settings.log.level, "info", "masked");
    let key = loaded
        .in_force
        .iter()
        .find(|key| key.name == "ready_seconds")
        .unwrap();
    assert_eq!(key.origin, Some((at("etc/rekindle/config.d/40.toml"), 2)));
    write(&at("etc/rekindle/config.d/.hidden.toml"), "nonsense");
    write(&at("etc/rekindle/config.d/README"), "nonsense");
    load();
}

#[test]
fn explicit_file_is_read_alone_and_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.toml");
    let told = config::load_files(&Files::one(missing), "m")
        .unwrap_err()
        .to_string();
    assert!(told.contains("cannot be read: No such file"), "{told}");
    write(&dir.path().join("c.toml.d/1.toml"), "nonsense");
    write(&dir.path().join("c.toml"), "");
    assert!(config::load_files(&Files::one(dir.path().join("c.toml")), "m").is_ok());
}

#[test]
fn d04_hostile_files_are_refused_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: std::path::PathBuf| {
        config::load_files(&Files::one(path), "m")
            .unwrap_err()
            .to_string()
    };
    let big = dir.path().join("big.toml");
    fs::File::create(&big)
        .unwrap()
        .set_len(100 * 1024 * 1024)
        .unwrap();
    assert!(load(big).contains("larger than 1 MiB"));
    assert!(load(dir.path().to_owned()).contains("not a regular file"));
    assert!(load("/dev/zero".into()).contains("not a regular file"));
    let binary = dir.path().join("binary.toml");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    fs::write(&binary, [b'#', 0xff]).unwrap();
    assert!(load(binary).contains("not UTF-8 at byte 1"));
    let deep = dir.path().join("deep.toml");
    write(&deep, &format!("a = {}", "[".repeat(500_000)));
    assert!(load(deep).contains("not TOML"));
}

#[test]
fn defaults_are_valid_whole_and_stable() {
    let loaded = load_text("").unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.node.name, "master-0");
    assert_eq!(settings.policy.node_name, "master-0");
    assert_eq!(settings.policy.rescue.len(), 2);
    assert_eq!(
        settings.kubelet.read_only_url.as_ref().unwrap().port_u16(),
        Some(10255)
    );
    assert_eq!(
        settings.kubelet.secure_url.as_ref().unwrap().port_u16(),
        Some(10250)
    );
    assert_eq!(
        settings.paths.manifest_staging_dir,
        Path::new("/etc/kubernetes/.rekindle-staging")
    );
    assert!(
        loaded
            .in_force
            .iter()
            .all(|key| key.origin.is_none() && key.value == key.default)
    );
    let moved = load_text("[paths]\nmanifest_dir = '/srv/pods/'")
        .unwrap()
        .settings;
    assert_eq!(
        moved.paths.manifest_staging_dir,
        Path::new("/srv/.rekindle-staging")
    );
    let quick =
        load_text("[checkpoint]\nactivation_delay_seconds = 0\nready_seconds = 0.25").unwrap();
    assert_eq!(quick.settings.policy.activation_delay, Duration::ZERO);
    assert_eq!(quick.settings.policy.ready, Duration::from_millis(250));
}

#[test]
fn what_check_config_prints_reads_back_as_the_same() {
    let loaded = load_text(
        "[checkpoint]\nready_seconds = 0.5\n[kubelet]\ntoken_file = '/t'\nca_file = '/c\"x'",
    )
    .unwrap();
    let printed = config::show::toml(&loaded.in_force);
    assert!(printed.contains("ready_seconds = 0.5 # "), "{printed}");
    assert_eq!(
        load_text(&printed).unwrap().settings,
        loaded.settings,
        "{printed}"
    );
    let json = config::show::json(&loaded.in_force);
    assert_eq!(json["checkpoint"]["ready_seconds"]["line"], 2);
    assert_eq!(
        json["checkpoint"]["grace_period_seconds"]["file"],
        serde_json::Value::Null
    );
}
