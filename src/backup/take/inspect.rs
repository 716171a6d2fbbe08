//! From the snapshot on the disk to the sealed backup: verified, compared with what the member said
//! of itself, the host's files beside it.

use super::{Request, Streamed, TakeError};
use crate::backup::Progress;
use crate::backup::bundle::{Bundle, HostFiles};
use crate::backup::high_water;
use crate::backup::signing::Signer;
use crate::backup::verify::{self, Kind, Options, Verified};
use crate::core::backup::manifest::{Content, EtcdFacts, FORMAT, Manifest};
use crate::core::backup::outcome::Outcome;
use crate::core::reading::chain;
use crate::daemon::clock;
use crate::etcd::Status;

/// Verifies, completes and seals the backup. Blocks.
pub(super) fn seal(
    streamed: Streamed,
    request: &Request,
    signer: &Signer,
    progress: &Progress,
) -> Result<(Bundle, Outcome), TakeError> {
    let (found, verified) = verify(&streamed, request, progress)?;
    let host = streamed.writer.host_tar(&request.host_paths, progress)?;
    let Streamed {
        writer,
        id,
        part,
        chosen,
        after,
        taken_at,
    } = streamed;
    let mut marks = chosen.marks;
    if after.is_none() {
        marks.push("the member did not answer any more after the snapshot".to_owned());
    }
    marks.extend(found.remarks);
    marks.extend(of_the_host(&host));
    let content = found.content;
    let status = chosen.status;
    let newest = after.as_ref().map_or(0, |after| after.revision);
    let newest = newest.max(status.revision).max(content.revision);
    let recorded = high_water::record(&request.state_dir, status.cluster_id, newest, clock::wall());
    let high_water_revision = match recorded {
        Ok(mark) => mark.revision.max(newest),
        Err(error) => {
            marks.push(format!(
                "the high-water revision is only this backup's own: {}",
                chain(&error)
            ));
            newest
        }
    };
    let mut versions = request.versions.clone();
    versions.insert("rekindle".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let manifest = Manifest {
        format: FORMAT,
        id,
        taken_at,
        node: request.node.clone(),
        trigger: request.trigger,
        etcd: EtcdFacts {
            version: status.version,
            cluster_id: status.cluster_id,
            member_id: status.member_id,
            endpoint: status.endpoint,
            revision: content.revision,
            high_water_revision,
            raft_term: status.raft_term,
            members: chosen.members,
        },
        content,
        versions,
        images: request.images.clone(),
        marks,
        parts: vec![part, host.part],
    };
    progress.begin("sealing", 0);
    Ok((writer.seal(&manifest, signer)?, verified))
}

/// Walks the whole snapshot as it reads back from the disk.
fn verify(
    streamed: &Streamed,
    request: &Request,
    progress: &Progress,
) -> Result<(Verified, Outcome), TakeError> {
    let begun = clock::now();
    let part = &streamed.part;
    let plain = streamed.writer.plain_snapshot(part, progress)?;
    let prefix = format!("{}/", request.prefix.trim_end_matches('/'));
    let named = request.backups.join(streamed.id.as_str());
    let options = Options {
        prefix: &prefix,
        unfinished: true,
        raw: false,
        named: Some(&named),
    };
    let mut found = verify::verify_with(plain.path(), &options, progress)?;
    drop(plain);
    let status = &streamed.chosen.status;
    if found.kind != Kind::Snapshot || found.sha256_of_file != part.plain_sha256 {
        return Err(TakeError::ReadBack { path: named });
    }
    plausible(&found.content, status, streamed.after.as_ref())?;
    let revision = found.content.revision;
    found.checked.push(format!(
        "revision {revision} between the member's own before and after"
    ));
    let outcome = Outcome {
        at: clock::wall(),
        took_ms: clock::now().0.saturating_sub(begun.0),
        checked: found.checked.clone(),
        failure: None,
        content: Some(found.content.clone()),
    };
    Ok((found, outcome))
}

/// The snapshot's revision lies between what the member said before and after.
fn plausible(content: &Content, before: &Status, after: Option<&Status>) -> Result<(), TakeError> {
    let revision = content.revision;
    let why = if revision < before.revision {
        let before = before.revision;
        format!("it ends at revision {revision}, and the member was at {before} before")
    } else if let Some(after) = after.filter(|after| after.revision < revision) {
        let after = after.revision;
        format!("it ends at revision {revision}, and the member was at {after} afterwards")
    } else if content.compacted_revision > revision {
        let compacted = content.compacted_revision;
        format!("it is compacted up to {compacted}, above its last revision {revision}")
    } else {
        return Ok(());
    };
    Err(TakeError::Implausible {
        endpoint: before.endpoint.clone(),
        why,
    })
}

/// What a restore would miss of the host.
fn of_the_host(host: &HostFiles) -> impl Iterator<Item = String> {
    host.outside.iter().map(|(link, target)| {
        format!(
            "{} leads to {}, which is not in the backup",
            link.display(),
            target.display()
        )
    })
}
