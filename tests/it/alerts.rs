//! The alert rules: understood by Prometheus' own tool, firing when they must, and about metrics
//! that the daemon really exports. A missing tool fails: package `prometheus`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rekindle::metrics::rows;

fn promtool(args: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = match Command::new("promtool")
        .args(args)
        .current_dir(root)
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            panic!("promtool cannot be run ({error}): install the package `prometheus`")
        }
    };
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    assert!(output.status.success(), "{told}");
    told
}

fn rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/rekindle-alerts.yaml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_rules_are_what_prometheus_understands() {
    let told = promtool(&["check", "rules", "systemd/rekindle-alerts.yaml"]);
    assert!(told.contains("SUCCESS: 17 rules found"), "{told}");
}

#[test]
fn b01_backups_that_fail_silently_for_days_raise_an_alert() {
    let told = promtool(&["test", "rules", "tests/alerts/backups.yaml"]);
    assert!(told.contains("SUCCESS"), "{told}");
}

#[test]
fn an_operation_that_nobody_ends_raises_an_alert() {
    let told = promtool(&["test", "rules", "tests/alerts/operations.yaml"]);
    assert!(told.contains("SUCCESS"), "{told}");
}

#[test]
fn a_hold_that_is_long_raises_an_alert() {
    let told = promtool(&["test", "rules", "tests/alerts/hold.yaml"]);
    assert!(told.contains("SUCCESS"), "{told}");
}

#[test]
fn r16_a_control_plane_that_is_lost_or_not_recovered_raises_an_alert() {
    let told = promtool(&["test", "rules", "tests/alerts/recovery.yaml"]);
    assert!(told.contains("SUCCESS"), "{told}");
}

#[test]
fn each_metric_of_the_rules_is_exported() {
    let rules = rules();
    let expressions: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("expr: "))
        .collect();
    assert_eq!(expressions.len(), 17, "one line each: {expressions:?}");
    let named: BTreeSet<&str> = expressions
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with("rekindle_"))
        .collect();
    assert!(named.len() >= 8, "{named:?}");
    let exported: BTreeSet<&str> = rows().map(|row| row.0).collect();
    let unknown: Vec<_> = named.difference(&exported).collect();
    assert!(unknown.is_empty(), "not exported: {unknown:?}");
}

#[test]
fn each_alert_says_what_to_do() {
    let rules = rules();
    let count = |word: &str| rules.lines().filter(|l| l.trim().starts_with(word)).count();
    for word in ["summary: ", "description: ", "runbook: ", "severity: "] {
        assert_eq!(count(word), count("- alert: "), "{word}");
    }
}
