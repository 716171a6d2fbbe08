//! Copies at a real S3 server: what goes there, what comes back, and B05 and B06.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rekindle::backup::Progress;
use rekindle::backup::bundle::Bundle;
use rekindle::backup::signing::Trust;
use rekindle::backup::targets::{CopyError, Target, TargetSettings, fetch, list};
use rekindle::core::reading::chain;
use rekindle::objectstore::StoreError;
use rustix::process::Signal;

use crate::s3_server::{Request, S3Server, SECRET, Trap};
use crate::target_stage::{PARTS, Stage, id, put, s3, take};

fn store_error(result: Result<impl std::fmt::Debug, CopyError>) -> StoreError {
    match result.unwrap_err() {
        CopyError::Store(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Fetches the copy to another machine and compares it with the local backup.
async fn comes_back(stage: &Stage, settings: &TargetSettings, identity: Option<&std::path::Path>) {
    let target = Target::open(settings).unwrap();
    let into = stage.path("elsewhere");
    let progress = Progress::default();
    let fetched = fetch(&target, &stage.id, &into, identity, &progress)
        .await
        .unwrap();
    for (path, digest) in stage.local() {
        let there = fetched.path.join(path.file_name().unwrap());
        let there = std::fs::read(there).unwrap();
        assert_eq!(
            rekindle::store::sealed::hex_digest(&there),
            digest,
            "{}",
            path.display()
        );
    }
    let trust = Trust::of(&stage.state(), &[]).unwrap();
    Bundle::open(&fetched.path)
        .unwrap()
        .check_signature(&trust)
        .unwrap();
}

#[tokio::test]
async fn a_copy_is_whole_listed_and_comes_back() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let settings = s3(server.settings());
    let copied = stage.copy(&settings).await.unwrap();
    let parts: Vec<_> = server
        .requests()
        .into_iter()
        .filter(Request::is_part)
        .collect();
    assert_eq!(parts.len(), PARTS);
    let bytes = Bundle::open(&stage.bundle).unwrap().bytes();
    assert!(copied.sent >= bytes && copied.sent < bytes + 1000);

    let copies = list(&Target::open(&settings).unwrap()).await.unwrap();
    assert_eq!(copies.len(), 1);
    assert!(copies[0].complete && !copies[0].encrypted && copies[0].id == stage.id);
    comes_back(&stage, &settings, None).await;

    // Again: nothing is sent.
    server.requests();
    assert_eq!(stage.copy(&settings).await.unwrap().sent, 0);
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.method != "PUT")
    );
    assert!(std::fs::read_dir(stage.uploads()).unwrap().next().is_none());
}

#[tokio::test]
async fn b05_a_server_that_is_down_is_said_and_copies_go_on_when_it_is_back() {
    let (stage, mut server) = (Stage::new(), S3Server::start());
    let before = stage.local();
    server.kill();
    let error = store_error(stage.copy(&s3(server.settings())).await);
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.hint().contains("endpoint"));
    server.run();
    stage.copy(&s3(server.settings())).await.unwrap();
    assert_eq!(stage.local(), before);
}

#[tokio::test]
async fn b05_wrong_credentials_are_refused_by_name_and_read_again_when_they_change() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let target = Target::open(&s3(server.settings())).unwrap();
    server.credentials("lab", "not-the-secret");
    let error = store_error(list(&target).await);
    let StoreError::Refused { code, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(code, "SignatureDoesNotMatch");
    server.credentials("nobody", SECRET);
    let error = store_error(list(&target).await);
    assert!(matches!(&error, StoreError::Refused { .. }), "{error:?}");
    server.credentials("lab", SECRET);
    assert_eq!(list(&target).await.unwrap(), vec![]);
    stage.copy(&s3(server.settings())).await.unwrap();
}

#[tokio::test]
async fn b05_a_wrong_clock_is_named_with_the_difference() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(
        std::path::Path::new(library).exists(),
        "no faketime: run tests/lab/packages"
    );
    let stage = Stage::new();
    for (offset, side) in [("-2h", "ahead"), ("+2h", "behind")] {
        let server = S3Server::start_with(&[("LD_PRELOAD", library), ("FAKETIME", offset)]);
        let error = store_error(stage.copy(&s3(server.settings())).await);
        let StoreError::Clock { by, .. } = &error else {
            panic!("{error:?}");
        };
        let about_two_hours = by.starts_with("2h 0m") || by.starts_with("1h 59m");
        assert!(about_two_hours && by.contains(side), "{error}");
        assert!(error.to_string().contains("the clocks differ by"));
        assert!(error.hint().contains("timedatectl"));
    }
}

#[tokio::test]
async fn b05_a_server_of_a_foreign_authority_gets_nothing() {
    let (stage, server, other) = (Stage::new(), S3Server::start(), S3Server::start());
    let mut settings = server.settings();
    settings.ca_file = other.settings().ca_file;
    let error = store_error(stage.copy(&s3(settings)).await);
    let StoreError::Unreachable { why, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(why.contains("certificate"), "{why}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn b05_a_server_that_stops_in_the_middle_of_a_part_costs_that_part() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let before = stage.local();
    let mut settings = server.settings();
    settings.deadline = Duration::from_millis(300);
    server.trap(Trap {
        part: 3,
        pid: server.pid(),
        signal: Signal::STOP,
    });
    let error = store_error(stage.copy(&s3(settings.clone())).await);
    assert!(matches!(error, StoreError::Late { .. }), "{error:?}");
    server.signal(Signal::CONT);
    settings.deadline = Duration::from_secs(5);
    server.requests();
    let copied = stage.copy(&s3(settings.clone())).await.unwrap();
    let parts = server.requests().iter().filter(|r| r.is_part()).count();
    assert!(parts <= PARTS - 2 + 1, "{parts} parts were sent again");
    assert!(copied.sent < 3 * crate::target_stage::PART);
    assert_eq!(stage.local(), before);
    comes_back(&stage, &s3(settings), None).await;
}

#[tokio::test]
async fn b05_a_server_killed_in_the_middle_gets_only_what_it_lacks() {
    let (stage, mut server) = (Stage::new(), S3Server::start());
    let settings = s3(server.settings());
    server.trap(Trap {
        part: 4,
        pid: server.pid(),
        signal: Signal::KILL,
    });
    let error = store_error(stage.copy(&settings).await);
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    server.kill();
    server.run();
    server.requests();
    stage.copy(&settings).await.unwrap();
    let parts = server.requests().into_iter().filter(Request::is_part);
    let numbers: Vec<String> = parts.map(|r| r.target).collect();
    assert_eq!(numbers.len(), 2, "{numbers:?}");
    comes_back(&stage, &settings, None).await;
}

#[tokio::test]
async fn an_upload_that_the_store_forgot_is_begun_anew() {
    let (stage, mut server) = (Stage::new(), S3Server::start());
    let settings = s3(server.settings());
    server.trap(Trap {
        part: 3,
        pid: server.pid(),
        signal: Signal::KILL,
    });
    stage.copy(&settings).await.unwrap_err();
    server.kill();
    // What a life cycle rule of a store does to old uploads.
    for entry in std::fs::read_dir(server.path("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    server.run();
    stage.copy(&settings).await.unwrap();
    comes_back(&stage, &settings, None).await;
}

#[tokio::test]
async fn b05_a_second_writer_of_another_backup_of_this_name_is_refused() {
    let (stage, other, server) = (Stage::new(), Stage::new(), S3Server::start());
    let settings = s3(server.settings());
    std::fs::remove_dir_all(&other.bundle).unwrap();
    take(other.dir.path(), &other.id, 2);
    stage.copy(&settings).await.unwrap();
    server.requests();
    let error = other.copy(&settings).await.unwrap_err();
    assert!(matches!(error, CopyError::Different { .. }), "{error:?}");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );
    // Also before the first is whole.
    std::fs::remove_file(server.object(&format!("clusters/lab/{}/upload.json", stage.id))).unwrap();
    let error = other.copy(&settings).await.unwrap_err();
    assert!(
        matches!(&error, CopyError::Different { object, .. } if object.ends_with("claim.json"))
    );
    stage.copy(&settings).await.unwrap();
    comes_back(&stage, &settings, None).await;
}

#[tokio::test]
async fn a_copy_that_lost_an_object_is_not_taken_for_one() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let settings = s3(server.settings());
    stage.copy(&settings).await.unwrap();
    let lost = server.object(&format!("clusters/lab/{}/snapshot.db", stage.id));
    std::fs::remove_file(&lost).unwrap();
    let error = stage.copy(&settings).await.unwrap_err();
    assert!(matches!(error, CopyError::Incomplete { .. }), "{error:?}");
    // One byte that the store lost is found when it comes back.
    std::fs::copy(stage.bundle.join("snapshot.db"), &lost).unwrap();
    let mut bytes = std::fs::read(&lost).unwrap();
    bytes[7_000_000] ^= 1;
    put(&lost, &bytes);
    let target = Target::open(&settings).unwrap();
    let into = stage.path("elsewhere");
    let error = fetch(&target, &stage.id, &into, None, &Progress::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CopyError::Damaged { .. }), "{error:?}");
    assert!(!into.join(stage.id.as_str()).exists());
    let absent = fetch(&target, &id(9), &into, None, &Progress::default())
        .await
        .unwrap_err();
    assert!(matches!(absent, CopyError::Absent { .. }), "{absent:?}");
}

#[tokio::test]
async fn b06_credentials_on_the_host() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let settings = s3(server.settings());
    let file = server.path("credentials");
    let mut said = Vec::new();
    let mut refused = |error: StoreError, words: &str| {
        assert!(matches!(error, StoreError::Credentials { .. }), "{error:?}");
        let text = format!("{} | {} | {error:?}", chain(&error), error.hint());
        assert!(text.contains(words), "{text}");
        said.push(text);
    };
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        refused(store_error(stage.copy(&settings).await), "chmod 0600");
    }
    put(&file, b"[default]\naws_access_key_id = lab\n");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    refused(
        store_error(stage.copy(&settings).await),
        "has no aws_secret_access_key",
    );
    std::fs::remove_file(&file).unwrap();
    refused(store_error(stage.copy(&settings).await), "No such file");
    std::os::unix::fs::symlink("/etc/shadow", &file).unwrap();
    refused(store_error(stage.copy(&settings).await), "cannot be read");
    assert!(
        server.requests().is_empty(),
        "nothing was asked without credentials"
    );

    server.credentials("lab", SECRET);
    std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
    refused(store_error(stage.copy(&settings).await), "chown root:");
    server.credentials("lab", SECRET);
    let target = Target::open(&settings).unwrap();
    stage.copy(&settings).await.unwrap();
    said.push(format!("{target:?} {settings:?}"));
    server.credentials("lab", "not-the-secret-either");
    said.push(format!("{:?}", stage.copy(&settings).await.unwrap_err()));
    for text in &said {
        assert!(
            !text.contains(SECRET) && !text.contains("not-the-secret"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_leaves_the_node_encrypted_is_opened_by_age_itself() {
    let (stage, server) = (Stage::new(), S3Server::start());
    let mut settings = s3(server.settings());
    let key = stage.path("identity.txt");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    assert!(
        made.unwrap().status.success(),
        "age is missing: run tests/lab/packages"
    );
    let public = Command::new("age-keygen")
        .arg("-y")
        .arg(&key)
        .output()
        .unwrap();
    settings.recipients = vec![String::from_utf8(public.stdout).unwrap().trim().to_owned()];
    server.trap(Trap {
        part: 3,
        pid: server.pid(),
        signal: Signal::STOP,
    });
    let mut hasty = server.settings();
    hasty.deadline = Duration::from_millis(300);
    let mut interrupted = s3(hasty);
    interrupted.recipients.clone_from(&settings.recipients);
    store_error(stage.copy(&interrupted).await);
    server.signal(Signal::CONT);
    server.requests();
    stage.copy(&settings).await.unwrap();
    let parts = server.requests().iter().filter(|r| r.is_part()).count();
    assert!(parts <= PARTS - 2 + 1, "{parts} parts were sent again");

    for (path, digest) in stage.local() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let object = server.object(&format!("clusters/lab/{}/{name}.age", stage.id));
        let output = Command::new("age")
            .arg("-d")
            .arg("-i")
            .arg(&key)
            .arg(&object)
            .output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            rekindle::store::sealed::hex_digest(&output.stdout),
            digest,
            "{name}"
        );
    }
    // Without the key, it can still be seen whether the copy is whole.
    let text = std::fs::read(server.object(&format!("clusters/lab/{}/upload.json", stage.id)));
    let catalog: serde_json::Value = serde_json::from_slice(&text.unwrap()).unwrap();
    for entry in catalog["objects"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        assert_eq!(name.rsplit('.').next(), Some("age"));
        let object = server.object(&format!("clusters/lab/{}/{name}", stage.id));
        let digest = rekindle::store::sealed::hex_digest(&std::fs::read(object).unwrap());
        assert_eq!(entry["sha256"], digest);
    }
    comes_back(&stage, &settings, Some(&key)).await;
    let target = Target::open(&settings).unwrap();
    let into = stage.path("nowhere");
    let error = fetch(&target, &stage.id, &into, None, &Progress::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CopyError::NoIdentity), "{error:?}");
    let other = stage.path("other.txt");
    assert!(
        Command::new("age-keygen")
            .arg("-o")
            .arg(&other)
            .output()
            .unwrap()
            .status
            .success()
    );
    let error = fetch(
        &target,
        &stage.id,
        &into,
        Some(&other),
        &Progress::default(),
    )
    .await;
    let error = error.unwrap_err();
    assert!(matches!(error, CopyError::Open { .. }), "{error:?}");
}
