//! Hostile clients on the local socket: every one ends within its bounds.

use std::time::Duration;

use rekindle::api::{client, wire};
use tokio::net::UnixStream;

use crate::api::{LONG, Served, own_ids, read_to_end};

#[tokio::test]
async fn d04_hostile_requests_end_in_bounds() {
    let served = Served::start(Duration::from_millis(300));
    // Garbage.
    let answer = served.raw(b"\x16\x03\x01\x00\xff\x00\r\n\r\n").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    // A request line and headers without end.
    let mut huge = b"GET /v1/status HTTP/1.1\r\nx: ".to_vec();
    huge.resize(1 << 20, b'a');
    let answer = served.raw(&huge).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    let answer = served
        .raw(&[b"GET /".to_vec(), vec![b'a'; 1 << 20]].concat())
        .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    // A body beyond the bound, told and untold.
    let head = "POST /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let told = format!("{head}content-length: 104857600\r\n\r\n");
    let answer = served
        .raw(&[told.into_bytes(), vec![b'a'; 1 << 20]].concat())
        .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer}"
    );
    let untold = format!("{head}transfer-encoding: chunked\r\n\r\n100000\r\n");
    let answer = served
        .raw(&[untold.into_bytes(), vec![b'a'; 1 << 20]].concat())
        .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer}"
    );
    // Half a request, half a body, nothing at all: closed by the deadline, whatever drips in.
    for half in ["", "GET /v1/st", "GET /v1/status HTTP/1.1\r\nhost:"] {
        let answer = served.raw(half.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{half}: {answer}");
    }
    let slow = format!("{head}content-length: 10\r\n\r\nabc");
    let answer = served.raw(slow.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
    // It still serves.
    let status: Result<wire::Status, _> =
        client::get(&served.path, "/v1/status", Duration::ZERO).await;
    assert!(status.is_ok(), "{status:?}");
    served.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_get_503_and_come_back() {
    let served = Served::start(LONG);
    let mut held = Vec::new();
    // Accepted in order: when the next one is answered, these are open. The last 8 are root's.
    let places = if own_ids().0 == 0 { 32 } else { 24 };
    for _ in 0..places {
        held.push(UnixStream::connect(&served.path).await.unwrap());
    }
    let answer = read_to_end(UnixStream::connect(&served.path).await.unwrap()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with("\"hint\":\"try again in a moment\"}"),
        "{answer}"
    );
    drop(held);
    let again = async {
        loop {
            let asked = client::get::<wire::Status>(&served.path, "/v1/status", Duration::ZERO);
            if asked.await.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, again)
        .await
        .expect("places are free again");
    served.stop().await;
}
