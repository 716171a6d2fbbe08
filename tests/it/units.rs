//! The files of `systemd/`: parsed by systemd's own tools, the sandbox measured, the default
//! configuration compared with the code. A missing tool fails: package `systemd`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::config::{self, Files, keys, show};

fn unit_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

#[track_caller]
fn tool(name: &str, args: &[&str]) -> Output {
    match Command::new(name).args(args).output() {
        Ok(output) => output,
        Err(error) => panic!("{name} cannot be run ({error}): install the package `systemd`"),
    }
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn units_are_what_systemd_understands() {
    // `verify` wants the programs to be there: the copy names one that is.
    let dir = tempfile::tempdir().unwrap();
    let service = std::fs::read_to_string(unit_dir().join("rekindle.service")).unwrap();
    assert!(service.contains("ExecStart=/usr/bin/rekindle run\n"));
    let service = service.replace("/usr/bin/rekindle run", "/bin/true");
    for (name, text) in [
        ("rekindle.service", service),
        (
            "rekindle.socket",
            std::fs::read_to_string(unit_dir().join("rekindle.socket")).unwrap(),
        ),
        (
            "rekindle-recovery.target",
            std::fs::read_to_string(unit_dir().join("rekindle-recovery.target")).unwrap(),
        ),
    ] {
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let units = [
        "rekindle.service",
        "rekindle.socket",
        "rekindle-recovery.target",
    ]
    .map(path);
    let mut args = vec!["verify", "--man=no"];
    args.extend(units.iter().map(String::as_str));
    let output = tool("systemd-analyze", &args);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output), "", "nothing to complain about");
}

#[test]
fn exposure_is_at_most_2_5() {
    let service = unit_dir().join("rekindle.service");
    let args = [
        "security",
        "--offline=true",
        "--threshold=25",
        service.to_str().unwrap(),
    ];
    let output = tool("systemd-analyze", &args);
    let told = text(&output);
    assert!(told.contains("Overall exposure level"), "{told}");
    assert!(output.status.success(), "{told}");
}

#[test]
fn the_service_lives_as_the_design_says() {
    let service = std::fs::read_to_string(unit_dir().join("rekindle.service")).unwrap();
    let has = |line: &str| service.lines().any(|l| l == line);
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=60s",
        "Restart=always",
        "RestartPreventExitStatus=2",
        "After=containerd.service local-fs.target",
        "StartLimitIntervalSec=0",
        "StateDirectoryMode=0700",
        "UMask=0077",
    ] {
        assert!(has(line), "{line}");
    }
    let code: Vec<&str> = service
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(
        !code.iter().any(|line| line.starts_with("Requires=")),
        "it outlives what it rescues"
    );
    assert!(
        !code.iter().any(|line| line.contains("kubelet")),
        "it orders nothing of the kubelet"
    );
    // A kubelet or an etcd without a quorum is "activating" for as long as it needs to be rescued.
    for line in code.iter().filter(|line| line.starts_with("After=")) {
        assert!(
            !line.contains("etcd") && !line.contains("network"),
            "{line}"
        );
    }
    assert!(!code.iter().any(|line| line.starts_with("Before=")));
}

#[test]
fn nothing_but_the_daemon_starts_the_target_of_recovery() {
    let target = std::fs::read_to_string(unit_dir().join("rekindle-recovery.target")).unwrap();
    assert!(!target.contains("\n[Install]"), "{target}");
    for name in ["rekindle.service", "rekindle.socket"] {
        let text = std::fs::read_to_string(unit_dir().join(name)).unwrap();
        let mut code = text.lines().filter(|line| !line.starts_with('#'));
        assert!(!code.any(|line| line.contains("rekindle-recovery")));
    }
}

#[test]
fn sysusers_and_tmpfiles_are_understood() {
    let path = |name: &str| unit_dir().join(name).to_str().unwrap().to_owned();
    let output = tool(
        "systemd-sysusers",
        &["--dry-run", &path("rekindle.sysusers.conf")],
    );
    let told = text(&output);
    assert!(
        output.status.success() && !told.contains("ignoring"),
        "{told}"
    );
    let root = tempfile::tempdir().unwrap();
    let at = format!("--root={}", root.path().display());
    let output = tool(
        "systemd-tmpfiles",
        &["--create", &at, &path("rekindle.tmpfiles.conf")],
    );
    let told = text(&output);
    assert!(
        output.status.success() && !told.contains("gnoring"),
        "{told}"
    );
    assert!(root.path().join("etc/rekindle/config.d").is_dir(), "{told}");
}

#[test]
fn the_preset_enables_the_units_that_there_are() {
    let preset = std::fs::read_to_string(unit_dir().join("80-rekindle.preset")).unwrap();
    for line in preset.lines() {
        let unit = line.strip_prefix("enable ").unwrap();
        assert!(unit_dir().join(unit).is_file(), "{unit}");
    }
    assert_eq!(preset.lines().count(), 2);
}

#[test]
fn the_default_configuration_is_the_code_s() {
    let file = unit_dir().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let expected = show::default_file(&keys::table(""));
    assert_eq!(
        text, expected,
        "rekindle check-config -o default > systemd/config.toml"
    );
    // As it is, and with every key uncommented: the same settings.
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &str| {
        let path = dir.path().join("config.toml");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, text).unwrap();
        config::load_files(&Files::one(path), "master-0").unwrap()
    };
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (plain, every) = (load(&text), load(&uncommented));
    assert_eq!(plain.settings, every.settings);
    assert!(plain.in_force.iter().all(|key| key.origin.is_none()));
    assert!(every.in_force.iter().all(|key| key.origin.is_some()));
}
