//! Keys and values, all at one revision, whichever member answers.
//!
//! Reads are linearizable: what a member without a quorum has may be old, and nobody could say how
//! old. The first answer says the revision; later ones are asked for the same.

use std::future::Future;

use etcd_client::{Client, GetOptions, GetResponse};

use super::{Etcd, EtcdError};

/// Keys in one answer.
const PAGE: i64 = 1000;
/// Largest answer: a value as large as etcd is ever set up for.
const LARGEST: usize = 64 << 20; // 64 MiB
/// Most keys of one range.
const MOST: usize = 128 << 10;

/// What a reader was told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// Id of the cluster.
    pub cluster_id: u64,
    /// The revision of everything that is read.
    pub revision: i64,
}

/// Reads at one revision.
#[derive(Debug)]
pub struct Reader<'e> {
    etcd: &'e Etcd,
    pinned: Option<Pinned>,
    /// The endpoint that answered last, by its place.
    preferred: usize,
}

/// What each endpoint said, where none answered.
pub type Silent = Vec<EtcdError>;

impl Etcd {
    /// A reader at the revision of its first answer.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            etcd: self,
            pinned: None,
            preferred: 0,
        }
    }

    /// The endpoints that answer for themselves alone and know no leader: the cluster has no
    /// quorum.
    pub async fn leaderless(&self) -> Vec<String> {
        let statuses = self.statuses().await.into_iter();
        statuses
            .filter_map(|(endpoint, status)| (status.ok()?.leader == 0).then_some(endpoint))
            .collect()
    }
}

impl Reader<'_> {
    /// What it reads at; `None`: nothing was read yet.
    pub fn pinned(&self) -> Option<Pinned> {
        self.pinned
    }

    /// The keys that begin with `prefix`, in order.
    ///
    /// # Errors
    /// What each endpoint says, where none answers; also where there are more than 131 072.
    pub async fn keys(&mut self, prefix: &str) -> Result<Vec<Vec<u8>>, Silent> {
        let mut from = prefix.as_bytes().to_vec();
        let end = end_of(prefix);
        let mut keys = Vec::new();
        loop {
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_keys_only()
                .with_limit(PAGE);
            let answer = self.ask("the keys", &from, options).await?;
            let found = answer.kvs().iter().map(|pair| pair.key().to_vec());
            let before = keys.len();
            keys.extend(found);
            let last = keys.last().filter(|_| keys.len() > before);
            match last {
                Some(last) if answer.more() && keys.len() < MOST => {
                    from.clone_from(last);
                    from.push(0);
                }
                _ if answer.more() => {
                    return Err(vec![EtcdError::Unreadable {
                        endpoint: self.endpoint(),
                        call: "the keys",
                        cause: format!("more than {MOST} keys begin with {prefix}"),
                    }]);
                }
                _ => return Ok(keys),
            }
        }
    }

    /// The value under `key`; `None`: there is no such key.
    ///
    /// # Errors
    /// What each endpoint says, where none answers.
    pub async fn value(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Silent> {
        let answer = self.ask("a value", key, GetOptions::new()).await?;
        Ok(answer.kvs().first().map(|pair| pair.value().to_vec()))
    }

    fn endpoint(&self) -> String {
        let endpoints = &self.etcd.settings.endpoints;
        endpoints.get(self.preferred).cloned().unwrap_or_default()
    }

    /// Asks the endpoint that answered last, then the others.
    async fn ask(
        &mut self,
        call: &'static str,
        key: &[u8],
        options: GetOptions,
    ) -> Result<GetResponse, Silent> {
        let count = self.etcd.settings.endpoints.len();
        let mut failed = Vec::new();
        for try_ in 0..count {
            match self.ask_one(call, key, options.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failed.push(error),
            }
            if try_ + 1 < count {
                self.preferred = (self.preferred + 1) % count;
            }
        }
        Err(failed)
    }

    async fn ask_one(
        &mut self,
        call: &'static str,
        key: &[u8],
        options: GetOptions,
    ) -> Result<GetResponse, EtcdError> {
        let endpoint = self.endpoint();
        let client = self.etcd.client(&endpoint).await?;
        let revision = self.pinned.map_or(0, |pinned| pinned.revision);
        let answer = get(&client, key, options.with_revision(revision));
        let answer = self.etcd.call(&endpoint, call, answer).await?;
        let unreadable = |cause: &str| EtcdError::Unreadable {
            endpoint: endpoint.clone(),
            call,
            cause: cause.to_owned(),
        };
        let header = answer
            .header()
            .ok_or_else(|| unreadable("it has no header"))?;
        let told = Pinned {
            cluster_id: header.cluster_id(),
            revision: header.revision(),
        };
        let pinned = *self.pinned.get_or_insert(told);
        if pinned.cluster_id != told.cluster_id {
            return Err(unreadable(
                "it is a member of another cluster than the endpoint before",
            ));
        }
        Ok(answer)
    }
}

fn get(
    client: &Client,
    key: &[u8],
    options: GetOptions,
) -> impl Future<Output = Result<GetResponse, etcd_client::Error>> + use<> {
    let mut client = client.kv_client().max_decoding_message_size(LARGEST);
    let key = key.to_vec();
    async move { client.get(key, Some(options)).await }
}

/// The first key behind those that begin with `prefix`.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return end;
        }
    }
    // All keys.
    vec![0]
}
