//! Single keys, deleted where they are as they were seen, and the history of all, compacted.

use std::collections::BTreeMap;

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};

use super::{Etcd, EtcdError};

/// Most keys that are looked at.
const MOST: i64 = 10_000;

impl Etcd {
    /// The keys that begin with `prefix` with the revisions of their last changes, by the first
    /// endpoint that answers. Linearizable: it needs a quorum.
    ///
    /// # Errors
    /// The first endpoint's, where none answers; also where there are more than 10 000.
    pub async fn revisions(&self, prefix: &str) -> Result<BTreeMap<String, i64>, EtcdError> {
        let call = "the revisions of keys";
        self.first(async |endpoint| {
            let mut client = self.client(endpoint).await?;
            let options = GetOptions::new()
                .with_prefix()
                .with_keys_only()
                .with_limit(MOST);
            let answer = client.get(prefix, Some(options));
            let answer = self.call(endpoint, call, answer).await?;
            let unreadable = |cause: &str| EtcdError::Unreadable {
                endpoint: endpoint.to_owned(),
                call,
                cause: cause.to_owned(),
            };
            if answer.more() {
                return Err(unreadable("there are too many of them"));
            }
            let pairs = answer.kvs().iter().map(|pair| {
                let key = pair.key_str();
                let key = key.map_err(|_| unreadable("a key is no text"))?;
                Ok((key.to_owned(), pair.mod_revision()))
            });
            pairs.collect()
        })
        .await
    }

    /// Deletes `key` where its last change is `mod_revision`. False: it has changed or is gone.
    ///
    /// # Errors
    /// The first endpoint's, where none answers. Whether it was deleted is not known then.
    pub async fn delete_unchanged(&self, key: &str, mod_revision: i64) -> Result<bool, EtcdError> {
        self.first(async |endpoint| {
            let mut client = self.client(endpoint).await?;
            let same = Compare::mod_revision(key, CompareOp::Equal, mod_revision);
            let delete = TxnOp::delete(key, None);
            let transaction = Txn::new().when([same]).and_then([delete]);
            let answer = client.txn(transaction);
            let answer = self.call(endpoint, "deleting a key", answer).await?;
            Ok(answer.succeeded())
        })
        .await
    }

    /// Drops the history before `revision`; that it was dropped already is fine.
    ///
    /// # Errors
    /// The first endpoint's, where none answers.
    pub async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        self.first(async |endpoint| {
            let mut client = self.client(endpoint).await?;
            let answer = client.compact(revision, None);
            match self.call(endpoint, "compacting", answer).await {
                // Source: etcd 3.5 `api/v3rpc/rpctypes/error.go`, `ErrGRPCCompacted`.
                Err(EtcdError::Refused { message, .. }) if message.contains("compacted") => Ok(()),
                answer => answer.map(drop),
            }
        })
        .await
    }
}
