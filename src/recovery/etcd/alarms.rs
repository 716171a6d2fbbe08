//! Alarms that came with a restored database (R12): a full one is defragmented, and the alarm
//! taken back; one about a member that is gone is taken back.

use super::Error;
use super::verify::own;
use crate::config::Settings;
use crate::core::recovery::etcd::Home;
use crate::etcd::AlarmKind;

/// Clears them at this node's member, which has to be the cluster's only one or a member of its
/// quorum. Gives what was done, one sentence each; nothing where there is no alarm.
///
/// An alarm of corrupt data is taken back only where its member is not in the cluster any more.
///
/// # Errors
/// What etcd says.
pub async fn alarms_cleared(settings: &Settings, home: &Home) -> Result<Vec<String>, Error> {
    let (etcd, endpoint) = own(settings, home).await?;
    let alarms = etcd.alarms().await?;
    if alarms.is_empty() {
        return Ok(Vec::new());
    }
    let mut done = Vec::new();
    let members = etcd.members().await?;
    if alarms.iter().any(|alarm| alarm.kind == AlarmKind::NoSpace) {
        let before = etcd.status(&endpoint).await?.db_bytes;
        etcd.defragment(&endpoint).await?;
        let after = etcd.status(&endpoint).await?.db_bytes;
        done.push(format!(
            "etcd's database was defragmented: {before} bytes before, {after} after"
        ));
    }
    for alarm in alarms {
        let known = members.iter().any(|member| member.id == alarm.member_id);
        match alarm.kind {
            AlarmKind::NoSpace => {
                etcd.disarm(&endpoint, alarm).await?;
                done.push("etcd's alarm NOSPACE was taken back".to_owned());
            }
            AlarmKind::Corrupt if !known => {
                etcd.disarm(&endpoint, alarm).await?;
                done.push(format!(
                    "etcd's alarm CORRUPT was taken back: its member {:x} is gone",
                    alarm.member_id
                ));
            }
            AlarmKind::Corrupt => {}
        }
    }
    Ok(done)
}
