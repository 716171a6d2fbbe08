//! The API server adapter's kubeconfig: trust, credentials, mistakes, and files that change.

use std::time::Duration;

use hyper::body::Bytes;
use rekindle::core::reading::UnseenKind;
use serde_json::{Value, json};

use crate::apiserver::{is_watch, kubeconfig, list, silent, start_with, write};
use crate::peer::{Keys, PATIENCE, Peer, Reply, reaches};

#[tokio::test]
async fn a_server_that_the_kubeconfig_does_not_vouch_for_is_not_believed() {
    let (keys, strangers) = (Keys::new(), Keys::new());
    let peer = Peer::start_tls(keys.server(false), |asked| {
        if is_watch(asked) { silent() } else { list(&[]) }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    write(&ca, &strangers.authority);
    let mut text: Value =
        serde_json::from_str(&kubeconfig(&peer.url().to_string(), &json!({}))).unwrap();
    text["clusters"][0]["cluster"]["certificate-authority"] = json!(ca);
    let mut started = start_with(&text.to_string(), PATIENCE, Duration::from_secs(3600));
    started.unseen(UnseenKind::Unreadable).await;
    assert_eq!(peer.asked().len(), 0);
    // The file that the kubeconfig names is replaced: no restart is needed.
    write(&ca, &keys.authority);
    started
        .known("a list", |snapshot| snapshot.view.pods.is_empty())
        .await;
}

#[tokio::test]
async fn a_broken_kubeconfig_is_unreadable_and_tells_no_secret() {
    let peer = Peer::start(|asked| if is_watch(asked) { silent() } else { list(&[]) }).await;
    let good = kubeconfig(&peer.url().to_string(), &json!({}));
    let hush = r#"{"users": [{"name": "u", "user": {"token": ["hush"], "client-key-data": 5}}], "#;
    let mut started = start_with(hush, PATIENCE, Duration::from_secs(3600));
    let detail = started.unseen(UnseenKind::Unreadable).await;
    let path = started.kubeconfig().display().to_string();
    assert!(
        detail.contains(&path) && !detail.contains("hush"),
        "{detail}"
    );

    let users = [
        (
            json!({"exec": {"apiVersion": "v1", "command": "true"}}),
            "exec",
        ),
        (json!({"username": "u", "password": "hush"}), "password"),
        (
            json!({"client-key-data": "aHVzaA==", "client-certificate-data": "aHVzaA=="}),
            "client",
        ),
    ];
    for (user, word) in users {
        write(
            &started.kubeconfig(),
            &kubeconfig("https://127.0.0.1:1", &user),
        );
        reaches(&mut started.source.pods, word, |reading| {
            reading.unseen().is_some_and(|unseen| {
                assert!(!unseen.detail.contains("hush"), "{}", unseen.detail);
                unseen.kind == UnseenKind::Unreadable && unseen.detail.contains(word)
            })
        })
        .await;
    }
    write(&started.kubeconfig(), &good);
    started.known("a list", |_| true).await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_read_again_from_its_file() {
    let peer = Peer::start(|asked| {
        match asked
            .headers
            .get("authorization")
            .map(http::HeaderValue::as_bytes)
        {
            Some(b"Bearer new") if is_watch(asked) => silent(),
            Some(b"Bearer new") => list(&[]),
            _ => Reply::Whole(401, Bytes::from_static(b"{\"message\": \"Unauthorized\"}")),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    write(&token, "old");
    let text = kubeconfig(&peer.url().to_string(), &json!({"tokenFile": token}));
    let mut started = start_with(&text, PATIENCE, Duration::from_secs(3600));
    started.unseen(UnseenKind::Denied).await;
    write(&token, "new");
    started.known("a list", |_| true).await;
}
