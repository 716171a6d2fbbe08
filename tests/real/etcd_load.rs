//! Data for a real etcd: many keys like those of Kubernetes, put fast.

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions, Txn, TxnOp};
use futures_util::StreamExt;

use crate::etcd_cluster::Cluster;

/// Puts in one transaction: etcd takes 128 operations and 1.5 MiB.
const BATCH: usize = 64;

/// A client of one member.
pub async fn client(cluster: &Cluster, member: usize) -> Client {
    let read = |name: &str| std::fs::read(cluster.path(name)).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read("ca.crt")))
        .identity(Identity::from_pem(read("client.crt"), read("client.key")));
    let options = ConnectOptions::new().with_tls(tls);
    let endpoint = cluster.endpoint(member);
    Client::connect([endpoint], Some(options)).await.unwrap()
}

/// Puts `count` keys `/registry/pods/default/p<n>` with values of `size` bytes that do not
/// compress.
pub async fn fill(client: &Client, count: usize, size: usize) {
    let puts = (0..count).map(|n| (format!("/registry/pods/default/p{n:08}"), noise(n, size)));
    put_all(client, puts).await;
}

/// Puts them, many in a transaction, eight transactions at a time.
pub async fn put_all(client: &Client, mut puts: impl Iterator<Item = (String, Vec<u8>)>) {
    let batches = std::iter::from_fn(|| {
        let ops: Vec<_> = puts.by_ref().take(BATCH).collect();
        (!ops.is_empty()).then_some(ops)
    });
    let sent = batches.map(|ops| {
        let mut client = client.clone();
        let ops: Vec<_> = ops
            .into_iter()
            .map(|(k, v)| TxnOp::put(k, v, None))
            .collect();
        async move { client.txn(Txn::new().and_then(ops)).await.map(drop) }
    });
    let mut running = futures_util::stream::iter(sent).buffer_unordered(8);
    while let Some(done) = running.next().await {
        done.unwrap();
    }
}

/// Bytes that look random and differ from number to number (xorshift).
pub fn noise(number: usize, size: usize) -> Vec<u8> {
    let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(size).collect()
}
