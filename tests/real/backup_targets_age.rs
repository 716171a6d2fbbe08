//! Encrypted copies: `age` itself opens what leaves the node, and nobody else.

use std::process::Command;
use std::time::Duration;

use rekindle::backup::Progress;
use rekindle::backup::targets::{CopyError, Target, fetch};
use rustix::process::Signal;

use crate::backup_targets::{comes_back, store_error};
use crate::s3_server::{S3Server, Trap};
use crate::target_stage::{PARTS, Stage, s3};

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
