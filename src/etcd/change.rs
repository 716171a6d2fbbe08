//! What recovery changes in a cluster: its members, alarms, the room in a member's database. Every
//! call is to one endpoint, and says so where it fails.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, GetOptions, MemberAddOptions};

use super::{Alarm, AlarmKind, Etcd, EtcdError};

/// A member answers nothing else while it is defragmented: some seconds for each GiB.
const DEFRAGMENT: Duration = Duration::from_secs(900);

impl Etcd {
    /// Adds a member at `peer_urls` that does not vote. Gives its id.
    ///
    /// # Errors
    /// Why the cluster does not take it, as where it has a learner already.
    pub async fn add_learner(
        &self,
        endpoint: &str,
        peer_urls: &[String],
    ) -> Result<u64, EtcdError> {
        let call = "the addition of a learner";
        let mut client = self.client(endpoint).await?;
        let options = MemberAddOptions::new().with_is_learner();
        let asked = client.member_add(peer_urls, Some(options));
        let answer = self.call(endpoint, call, asked).await?;
        let member = answer.member().map(etcd_client::Member::id);
        member.ok_or_else(|| EtcdError::Unreadable {
            endpoint: endpoint.to_owned(),
            call,
            cause: "it names no member".to_owned(),
        })
    }

    /// Takes a member out of the cluster for good.
    ///
    /// # Errors
    /// Why not.
    pub async fn remove_member(&self, endpoint: &str, member_id: u64) -> Result<(), EtcdError> {
        let mut client = self.client(endpoint).await?;
        let asked = client.member_remove(member_id);
        let answer = self.call(endpoint, "the removal of a member", asked).await;
        answer.map(drop)
    }

    /// Gives a learner its vote.
    ///
    /// # Errors
    /// Why not, as where it has not caught up.
    pub async fn promote(&self, endpoint: &str, member_id: u64) -> Result<(), EtcdError> {
        let mut client = self.client(endpoint).await?;
        let asked = client.member_promote(member_id);
        let answer = self
            .call(endpoint, "the promotion of a learner", asked)
            .await;
        answer.map(drop)
    }

    /// Gives the room that a member's database does not use back to the file system. It serves
    /// nobody meanwhile.
    ///
    /// # Errors
    /// Why not.
    pub async fn defragment(&self, endpoint: &str) -> Result<(), EtcdError> {
        let mut client = self.client(endpoint).await?;
        let asked = client.defragment();
        let answer = self.call_within(DEFRAGMENT, endpoint, "defragmentation", asked);
        answer.await.map(drop)
    }

    /// Takes an alarm back.
    ///
    /// # Errors
    /// Why not.
    pub async fn disarm(&self, endpoint: &str, alarm: Alarm) -> Result<(), EtcdError> {
        let mut client = self.client(endpoint).await?;
        let mut options = AlarmOptions::new();
        options.with_member(alarm.member_id);
        let kind = match alarm.kind {
            AlarmKind::NoSpace => AlarmType::Nospace,
            AlarmKind::Corrupt => AlarmType::Corrupt,
        };
        let asked = client.alarm(AlarmAction::Deactivate, kind, Some(options));
        let answer = self.call(endpoint, "the end of an alarm", asked).await;
        answer.map(drop)
    }

    /// How many keys there are at `revision`; 0: now.
    ///
    /// # Errors
    /// Why it does not say, as where the revision is compacted.
    pub async fn live_keys(&self, endpoint: &str, revision: i64) -> Result<u64, EtcdError> {
        let mut client = self.client(endpoint).await?;
        let options = GetOptions::new()
            .with_from_key()
            .with_count_only()
            .with_revision(revision);
        let asked = client.get("\0", Some(options));
        let answer = self.call(endpoint, "the number of keys", asked).await?;
        Ok(u64::try_from(answer.count()).unwrap_or(0))
    }
}
