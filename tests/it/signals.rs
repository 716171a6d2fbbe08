//! Signals and systemd's notifications, with real signals and a real socket.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rekindle::signals::{self, Signal};
use rekindle::systemd::{Notifier, watchdog_interval};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::raise;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn each_signal_becomes_its_event() {
    let mut events = signals::listen().unwrap();
    for (number, expected) in [
        (SIGHUP, Signal::Reload),
        (SIGTERM, Signal::Shutdown),
        (SIGINT, Signal::Shutdown),
        (SIGHUP, Signal::Reload),
    ] {
        raise(number).unwrap();
        let event = tokio::time::timeout(LONG, events.recv()).await.unwrap();
        assert_eq!(event, Some(expected));
    }
}

/// The notifier reads its environment, so it speaks in a process of its own: this test again.
#[test]
fn the_notifier_speaks_systemd_s_protocol() {
    const CHILD: &str = "REKINDLE_TEST_NOTIFIER";
    if std::env::var_os(CHILD).is_some() {
        let mut notifier = Notifier::new();
        notifier.status("starting");
        notifier.ready();
        notifier.status("1 checkpoint\nREADY=1");
        notifier.status("1 checkpoint\nREADY=1");
        notifier.turn_completed();
        notifier.reloading();
        notifier.stopping();
        notifier.status(&format!("{:?}", watchdog_interval()));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "signals::the_notifier_speaks_systemd_s_protocol"])
        .env(CHILD, "1")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "60000000")
        .env_remove("WATCHDOG_PID")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut told = Vec::new();
    for _ in 0..7 {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        told.push(
            String::from_utf8_lossy(&bytes[..length])
                .trim_end()
                .to_owned(),
        );
    }
    let reloading = told.remove(4);
    let (word, since) = reloading.split_once('\n').unwrap();
    assert_eq!(word, "RELOADING=1");
    assert!(
        since
            .strip_prefix("MONOTONIC_USEC=")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
    assert_eq!(
        told,
        [
            "STATUS=starting",
            "READY=1",
            "STATUS=1 checkpoint READY=1",
            "WATCHDOG=1",
            "STOPPING=1",
            "STATUS=Some(20s)"
        ]
    );
}
