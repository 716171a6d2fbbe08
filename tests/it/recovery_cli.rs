//! `rekindle recovery-mode report` as a user runs it, with no daemon.

use std::path::Path;
use std::process::{Command, Output};

use rekindle::recovery::report::Reports;
use rekindle::recovery::report::chain::Kind;

use crate::recovery_reports::told;
use crate::recovery_samples::{after, restored, running};
use crate::store_samples::overwrite;

fn rekindle(dir: &Path, args: &[&str]) -> Output {
    let config = dir.join("config.toml");
    let state = format!("[paths]\nstate_dir = \"{}\"\n", dir.join("state").display());
    overwrite(&config, state.as_bytes());
    Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["recovery-mode", "report"])
        .args(args)
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap()
}

fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = rekindle(dir, args);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let reports = Reports::new(&dir.path().join("state"));
    reports.save(&restored(), after(57_200)).unwrap();
    reports.save(&running(), after(57_200)).unwrap();
    reports
        .log()
        .append(&told(Kind::Begun, "etcd-quorum"))
        .unwrap();
    reports
        .log()
        .append(&told(Kind::Ended, "recovered"))
        .unwrap();
    dir
}

#[test]
fn a_recovery_is_shown_with_no_daemon() {
    let dir = prepared();
    let id = restored().id;
    let (code, out, err) = run(dir.path(), &[&id]);
    assert_eq!((code, err.as_str()), (0, ""));
    let out = out.replace(dir.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!("report", out);
    let (code, out, _) = run(dir.path(), &[&id, "-o", "json"]);
    let record: rekindle::core::recovery::record::Record = serde_json::from_str(&out).unwrap();
    assert_eq!((code, record), (0, restored()));
    let (code, out, _) = run(dir.path(), &[&id, "-o", "html"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("<!DOCTYPE html>") && out.ends_with("</html>\n"));
    // Without an id the newest, which is under way.
    let (code, out, _) = run(dir.path(), &[]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with(&format!("{}: under way for ", running().id)),
        "{out}"
    );
    let (code, out, _) = run(dir.path(), &["--list"]);
    assert_eq!(code, 0);
    let heads: Vec<&str> = out
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(heads, ["ID", &running().id, &id]);
    assert!(
        out.contains("recovered  etcd-quorum  backup  45 s"),
        "{out}"
    );
    let (_, out, _) = run(dir.path(), &["--list", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["recoveries"][1]["id"], id.as_str());
}

#[test]
fn the_log_is_verified_from_the_command_line() {
    let dir = prepared();
    let (code, out, err) = run(dir.path(), &["--verify-log"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("the log is whole: 2 lines, the last one "),
        "{out}"
    );
    let path = dir.path().join("state/recovery/log");
    let text = std::fs::read_to_string(&path).unwrap();
    overwrite(&path, text.replace("etcd-quorum", "etcd-member").as_bytes());
    let (code, out, err) = run(dir.path(), &["--verify-log"]);
    assert_eq!(code, 1, "{err}");
    assert!(
        out.starts_with("the log is not whole: line 1 of 2: "),
        "{out}"
    );
    assert!(err.contains("hint: "), "{err}");
    let (code, out, _) = run(dir.path(), &["--verify-log", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["broken"]["line"]), (1, &1.into()));
}

#[test]
fn what_is_not_there_is_said() {
    let empty = tempfile::tempdir().unwrap();
    let (code, out, err) = run(empty.path(), &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.starts_with("error: there was no recovery on this node"),
        "{err}"
    );
    let (code, out, _) = run(empty.path(), &["--list"]);
    assert_eq!((code, out.as_str()), (0, "none\n"));
    let (code, out, _) = run(empty.path(), &["--verify-log"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("the log is whole: 0 lines"), "{out}");
    assert!(!empty.path().join("state").exists(), "nothing was made");
    let dir = prepared();
    for id in ["20200101T000000Z-master1", "../../state"] {
        let (code, out, err) = run(dir.path(), &[id]);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.starts_with("error: "), "{err}");
    }
    let (code, _, err) = run(dir.path(), &["--list", "-o", "html"]);
    assert_eq!(code, 2, "{err}");
    let (code, _, _) = run(dir.path(), &["--list", "--verify-log"]);
    assert_eq!(code, 2);
}

#[test]
fn help_of_report_is_what_it_was() {
    let output = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .args(["recovery-mode", "report", "--help"])
        .output()
        .unwrap();
    insta::assert_snapshot!("report_help", String::from_utf8(output.stdout).unwrap());
}
