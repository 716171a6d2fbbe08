//! Records and the log of recoveries, killed at every step: what was acknowledged stays.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::failpoints;
use rekindle::recovery::report::chain::Kind;
use rekindle::recovery::report::{KEPT, Reports};

use crate::recovery_reports::told;
use crate::recovery_samples::{after, restored, running};

const JOURNEY: &str = "REKINDLE_TEST_REPORTS";

/// A recovery begins and ends; what was acknowledged is said on stdout.
#[expect(clippy::print_stdout, reason = "the test reads it")]
fn travel(dir: &Path) {
    let reports = Reports::new(dir);
    let mut record = running();
    reports.save(&record, after(0)).unwrap();
    println!("done saved");
    reports.log().append(&told(Kind::Begun, "begun")).unwrap();
    println!("done begun");
    record.outcome = restored().outcome;
    reports.save(&record, after(60_000)).unwrap();
    println!("done ended");
    reports.log().append(&told(Kind::Ended, "ended")).unwrap();
    println!("done logged");
}

/// So many earlier ones that the oldest has to go, and a last line that was cut off.
fn prepare(dir: &Path) {
    let reports = Reports::new(dir);
    for n in 0..KEPT {
        let mut record = restored();
        record.id = format!("20261124T0930{n:02}Z-master1");
        record.events.clear();
        reports.save(&record, after(0)).unwrap();
    }
    reports
        .log()
        .append(&told(Kind::Decision, "before"))
        .unwrap();
    let path = dir.join("recovery/log");
    let torn = [std::fs::read(&path).unwrap(), b"{\"before\":\"".to_vec()].concat();
    crate::store_samples::overwrite(&path, &torn);
}

#[test]
fn the_journey_that_is_killed() {
    if let Some(dir) = std::env::var_os(JOURNEY).map(PathBuf::from) {
        travel(&dir);
    }
}

#[test]
fn d01_killed_at_every_step_of_a_report() {
    let ours = ["report.", "append."];
    let mut kills = 0;
    let prepared = tempfile::tempdir().unwrap();
    prepare(prepared.path());
    let prepared = prepared.path().join("recovery");
    for point in failpoints::ALL {
        let own = ours.iter().any(|prefix| point.starts_with(prefix));
        if !own && !point.starts_with("durable.") {
            continue;
        }
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let mut copy = Command::new("cp");
            copy.arg("-a").args([prepared.as_path(), dir.path()]);
            assert!(copy.status().unwrap().success());
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "failpoints_reports::the_journey_that_is_killed",
                    "--nocapture",
                ])
                .env(JOURNEY, dir.path())
                .env("REKINDLE_KILL_AT", format!("{point}:{time}"))
                .output()
                .unwrap();
            if output.status.success() {
                assert!(time > 1 || !own, "{point} is never passed");
                break;
            }
            assert_eq!(output.status.signal(), Some(9), "{output:?}");
            kills += 1;
            let said = String::from_utf8(output.stdout).unwrap();
            let done = |step: &str| said.lines().any(|line| line == format!("done {step}"));
            let reports = Reports::new(dir.path());
            let verified = reports.log().verify().unwrap();
            assert_eq!(verified.broken, None, "{point}:{time}");
            let texts: Vec<String> = reports
                .log()
                .lines()
                .unwrap()
                .into_iter()
                .map(|it| it.text)
                .collect();
            assert!(!done("begun") || texts.contains(&"begun".to_owned()));
            assert!(!done("logged") || texts.contains(&"ended".to_owned()));
            let found = reports.all().unwrap();
            assert!(
                found.damaged.is_empty(),
                "{point}:{time}: {:?}",
                found.damaged
            );
            let kept = found.records.iter().find(|it| it.id == running().id);
            assert!(!done("saved") || kept.is_some(), "{point}:{time}");
            let ended = kept.is_some_and(|record| record.outcome.is_some());
            assert!(!done("ended") || ended, "{point}:{time}");
            // Taken again, it arrives.
            travel(dir.path());
            assert_eq!(reports.log().verify().unwrap().broken, None);
            let found = reports.all().unwrap();
            assert_eq!(found.records.len(), KEPT, "{point}:{time}");
            assert!(reports.page_of(&running().id).is_file());
        }
    }
    println!("{kills} kills");
    assert!(kills > 20, "only {kills} kills");
}
