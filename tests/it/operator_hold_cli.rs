//! `rekindle hold` on the disk, with and without a daemon.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rekindle::core::operator_hold::OperatorHold;
use rekindle::core::reading::{Reading, UnseenKind};
use rekindle::core::time::Moment;
use rekindle::hold::{self, look, place, release};

use crate::daemon::{Daemon, nothing_there};
use crate::store_samples::overwrite;

fn rekindle(dir: &Path, args: &[&str]) -> Output {
    let config = dir.join("hold.toml");
    let text = format!("[paths]\nstate_dir = '{}/state'\n", dir.display());
    overwrite(&config, text.as_bytes());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.arg("hold").args(args).arg("--config").arg(config);
    command.env("SUDO_USER", "alice").output().unwrap()
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn sample(reason: &str) -> OperatorHold {
    let wall = "2026-11-25T18:00:00Z".parse().unwrap();
    let length = Duration::from_secs(3600);
    OperatorHold::new(length, (reason, "alice"), "boot-1", Moment(5), wall)
}

#[test]
fn it_is_placed_shown_replaced_and_released_with_no_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = told(&rekindle(dir.path(), &[]));
    assert_eq!((code, out.as_str()), (Some(0), "not held\n"), "{err}");
    let args = ["--for", "1h30m", "--reason", "kernel upgrade"];
    let (code, out, err) = told(&rekindle(dir.path(), &args));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("HELD by alice until 20"), "{out}");
    assert!(out.contains("kernel upgrade"), "{out}");
    let (_, out, _) = told(&rekindle(dir.path(), &["-o", "json"]));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&json["held"], &json["hold"]["by"]),
        (&true.into(), &"alice".into())
    );
    let left = json["hold"]["seconds_left"].as_u64().unwrap();
    assert!((5000..=5400).contains(&left), "{left}");
    let args = ["--for", "2d", "--reason", "another one"];
    let (code, out, err) = told(&rekindle(dir.path(), &args));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("instead of: HELD by alice"), "{err}");
    assert!(
        out.contains("another one") && !out.contains("kernel"),
        "{out}"
    );
    let (code, out, err) = told(&rekindle(dir.path(), &["--release"]));
    assert_eq!((code, out.as_str()), (Some(0), "not held\n"));
    assert!(err.starts_with("released"), "{err}");
    let (code, _, err) = told(&rekindle(dir.path(), &["--release"]));
    assert_eq!(code, Some(0));
    assert!(err.contains("nothing to release"), "{err}");
}

#[test]
fn what_is_no_hold_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["--for", "1h"][..],
        &["--reason", "upgrade"],
        &["--for", "8d", "--reason", "upgrade"],
        &["--for", "0s", "--reason", "upgrade"],
        &["--for", "soon", "--reason", "upgrade"],
        &["--for", "1h", "--reason", "x"],
        &["--for", "1h", "--reason", "two\nlines"],
        &["--for", "1h", "--reason", "upgrade", "--release"],
    ] {
        let (code, out, err) = told(&rekindle(dir.path(), args));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
    }
    assert!(!dir.path().join("state").exists(), "nothing was written");
}

#[test]
fn one_that_ended_is_none_and_one_of_another_boot_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    // Placed in another boot, long ago by the wall clock.
    place(&state, &sample("long ago")).unwrap();
    let (_, out, err) = told(&rekindle(dir.path(), &[]));
    assert_eq!(out, "not held\n", "{err}");
    // And one that still lasts.
    let mut later = sample("still");
    later.until = "2100-01-01T00:00:00Z".parse().unwrap();
    place(&state, &later).unwrap();
    let (_, out, err) = told(&rekindle(dir.path(), &[]));
    assert!(out.starts_with("HELD"), "{out}{err}");
}

#[test]
fn a_damaged_one_is_unknown_and_kept_aside_when_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let file = state.join("hold/hold.json");
    for (number, damage) in [&b""[..], b"{", b"{\"kind\":\"rekindle hold\"}"]
        .iter()
        .enumerate()
    {
        place(&state, &sample("upgrade")).unwrap();
        overwrite(&file, damage);
        let Reading::Unknown(unseen) = look(&state) else {
            panic!("taken for {:?}", look(&state));
        };
        assert_eq!(unseen.kind, UnseenKind::Unreadable);
        let (code, out, err) = told(&rekindle(dir.path(), &[]));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("hint: ") && err.contains("--release"), "{err}");
        assert_eq!(release(&state).unwrap(), Some(None));
        assert_eq!(look(&state), Reading::Known(None));
        let aside = state.join(format!("hold/damaged-{}", number + 1));
        assert_eq!(std::fs::read(aside).unwrap(), *damage);
    }
    // A new one takes the place of a damaged one too.
    place(&state, &sample("upgrade")).unwrap();
    overwrite(&file, b"}");
    assert_eq!(place(&state, &sample("again")).unwrap(), None);
    assert_eq!(look(&state), Reading::Known(Some(sample("again"))));
}

#[test]
fn only_the_hold_that_has_ended_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    place(dir.path(), &sample("one")).unwrap();
    let before = place(dir.path(), &sample("two")).unwrap();
    assert_eq!(before, Some(sample("one")));
    hold::clear(dir.path(), &sample("one")).unwrap();
    assert_eq!(look(dir.path()), Reading::Known(Some(sample("two"))));
    hold::clear(dir.path(), &sample("two")).unwrap();
    assert_eq!(look(dir.path()), Reading::Known(None));
}

#[test]
fn the_daemon_says_it_first_through_a_restart_and_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir, nothing_there());
    let _told = daemon.told("READY=1");
    let state = daemon.dir.path().join("state");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mut lasts = sample("upgrade of the cluster");
    lasts.until = "2100-01-01T00:00:00Z".parse().unwrap();
    lasts.boot_id = boot.trim().to_owned();
    lasts.ends = Moment(u64::MAX);
    place(&state, &lasts).unwrap();
    let told = daemon.told("STATUS=HELD by alice");
    assert!(told.contains("upgrade of the cluster"), "{told}");
    assert_eq!(daemon.status().hold.unwrap().reason, lasts.reason);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let daemon = daemon.again(nothing_there());
    let _told = daemon.told("STATUS=HELD by alice");
    release(&state).unwrap();
    while daemon.told("STATUS=").contains("HELD") {}
    assert_eq!(daemon.status().hold, None);
}
