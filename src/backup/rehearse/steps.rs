//! The steps of a rehearsal, in order.

use std::path::Path;
use std::time::Duration;

use super::Request;
use super::census::{self, Census, Reading};
use super::child::{Child, Watch};
use super::confine::Confinement;
use super::encrypted::Keys;
use super::error::{RehearseError, Stop, failed};
use super::restore::{LOOK, restore};
use super::scratch::Scratch;
use super::server::Server;
use super::tools::{Tools, minor, version};
use crate::backup::Progress;
use crate::backup::bundle::{Bundle, BundleError, PlainSnapshot};
use crate::core::backup::manifest::Content;
use crate::core::backup::outcome::Outcome;
use crate::core::reading::chain;
use crate::daemon::clock;
use crate::failpoints::hit;
use crate::store::dir::Dir;

/// etcd's log files of fixed size, made at the restore and at the start.
const LOGS: u64 = 3 * (64 << 20);

/// What was done so far.
#[derive(Debug, Default)]
struct Done {
    checked: Vec<String>,
    content: Option<Content>,
}

/// Rehearses a backup. The outcome says whether it passed; it is not recorded here.
///
/// # Errors
/// Where it could not be made, which says nothing about the backup.
pub async fn rehearse(request: Request, progress: Progress) -> Result<Outcome, RehearseError> {
    let begun = clock::now();
    let wanted = request.clone();
    let begin = tokio::task::spawn_blocking(move || begin(&wanted));
    let begin = begin.await.map_err(|_| RehearseError::CutOff)?;
    let (bundle, tools, scratch) = begin?;
    let mut done = Done::default();
    let ended = steps(&request, bundle, &tools, &scratch, &mut done, &progress).await;
    progress.begin("removing", 0);
    let removed = scratch.finish().await;
    let failure = match ended {
        Ok(()) => None,
        Err(Stop::Failed(why)) => Some(why),
        Err(Stop::Error(error)) => return Err(error),
    };
    removed?;
    Ok(Outcome {
        at: clock::wall(),
        took_ms: clock::now().0.saturating_sub(begun.0),
        checked: done.checked,
        failure,
        content: done.content,
    })
}

/// What is there to rehearse, what with and where. Blocks.
fn begin(request: &Request) -> Result<(Bundle, Tools, Scratch), RehearseError> {
    let bundle = Bundle::open(&request.bundle).map_err(RehearseError::Bundle)?;
    let tools = Tools::find(request.tools.as_deref())?;
    let scratch = Scratch::make(&request.scratch)?;
    match room(request, &bundle, &scratch) {
        Ok(()) => Ok((bundle, tools, scratch)),
        Err(error) => {
            scratch.abandon();
            Err(error)
        }
    }
}

async fn steps(
    request: &Request,
    bundle: Bundle,
    tools: &Tools,
    scratch: &Scratch,
    done: &mut Done,
    progress: &Progress,
) -> Result<(), Stop> {
    let limits = &request.limits;
    let expected = bundle.manifest().content.clone();
    // Verifying says so while a compaction is under way in the snapshot.
    let mut marks = bundle.manifest().marks.iter();
    let bounds = marks.any(|mark| mark.contains("upper bounds"));
    let taken_by = bundle.manifest().etcd.version.clone();
    let confinement = Confinement::probe(limits).await;
    let restorer = about(&tools.restore, &["version"], scratch, limits.stall).await?;
    let server = about(&tools.etcd, &["--version"], scratch, limits.stall).await?;
    for (name, here) in [("the tool that restores", &restorer), ("etcd", &server)] {
        if minor(here) < minor(&taken_by) {
            return failed(format!(
                "{name} on this host is {here}, older than the etcd {taken_by} that the backup \
                 comes from"
            ));
        }
    }

    let (snapshot, mut keys, bytes) = unpack(bundle, scratch, limits.stall, progress).await?;
    let confined = (scratch, &confinement);
    let token = format!("rehearsal-{}", clock::wall().as_nanosecond());
    let size = (bytes, limits.stall);
    let path = snapshot.path().to_owned();
    restore(&tools.restore, &path, confined, &token, size, progress).await?;
    // An unpacked snapshot takes no room any more.
    drop(snapshot);
    let tool = tools.restore.file_name().unwrap_or_default();
    done.checked.push(format!(
        "restored by {} {restorer}, its hash included",
        tool.display()
    ));

    let mut etcd = Server::start(&tools.etcd, confined, &token, &[])?;
    let read = read(request, &mut etcd, scratch, &expected, &mut keys, progress).await;
    etcd.stop().await;
    let (census, database_bytes) = read?;
    done.content = Some(census.content(database_bytes));
    done.checked.push(format!("etcd {server} serves it"));
    done.checked.push(format!("revision {}", census.revision));
    if let Some(difference) = census.differs(&expected, bounds) {
        return failed(difference);
    }
    report(&census, &keys, &confinement, done);
    Ok(())
}

/// Asks the etcd, and says of a failure whether it is one of its process.
async fn read(
    request: &Request,
    etcd: &mut Server,
    scratch: &Scratch,
    expected: &Content,
    keys: &mut Keys,
    progress: &Progress,
) -> Result<(Census, u64), Stop> {
    let stall = request.limits.stall;
    let size = (expected.database_bytes, stall);
    let mut client = etcd.ready(scratch, size, progress).await?;
    let reading = Reading {
        prefix: &request.prefix,
        revision: expected.revision,
        deadline: stall,
        progress,
    };
    match census::take(&client, reading, keys).await {
        Ok(census) => {
            let status = tokio::time::timeout(stall, client.status()).await;
            let bytes = status
                .ok()
                .and_then(Result::ok)
                .map_or(0, |it| it.db_size());
            Ok((census, u64::try_from(bytes).unwrap_or(0)))
        }
        Err(Stop::Failed(why)) => Err(Stop::Failed(etcd.blame(why).await)),
        Err(error) => Err(error),
    }
}

fn report(census: &Census, keys: &Keys, confinement: &Confinement, done: &mut Done) {
    done.checked.push(format!(
        "{} live keys of {} resources, as the manifest says",
        census.live_keys,
        census.resources.len()
    ));
    done.checked
        .push(format!("{} objects decode", census.decoded));
    if census.undecoded > 0 {
        done.checked.push(format!(
            "{} objects are CBOR and were not decoded",
            census.undecoded
        ));
    }
    if census.outside > 0 {
        done.checked.push(format!(
            "{} keys are no objects of an API server",
            census.outside
        ));
    }
    done.checked.push(keys.told());
    if !confinement.without.is_empty() {
        done.checked.push(format!(
            "this host did not allow for the rehearsal: {}",
            confinement.without.join(", ")
        ));
    }
}

/// Refuses where there is not enough room: the snapshot once more where it is compressed, the
/// database that is restored from it, and etcd's logs.
fn room(request: &Request, bundle: &Bundle, scratch: &Scratch) -> Result<(), RehearseError> {
    let snapshot = bundle.snapshot();
    let copies: u64 = if snapshot.compressed { 2 } else { 1 };
    let needed = snapshot
        .plain_bytes
        .saturating_add(snapshot.plain_bytes / 20)
        .saturating_mul(copies)
        .saturating_add(LOGS)
        .saturating_add(request.limits.min_free_bytes);
    let path = scratch.path().to_owned();
    match rustix::fs::fstatvfs(scratch.dir().fd()) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < needed {
                return Err(RehearseError::Space { path, needed, free });
            }
            Ok(())
        }
        Err(errno) => Err(RehearseError::Place {
            doing: "measure the room of",
            path,
            source: errno.into(),
        }),
    }
}

/// The version that a program says it has.
async fn about(
    program: &Path,
    arguments: &[&str],
    scratch: &Scratch,
    deadline: Duration,
) -> Result<String, Stop> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut command = Confinement::default().command(program);
    command.args(arguments).env_remove("GOMEMLIMIT");
    let mut child = Child::start(command, &name, scratch.path(), 0)?;
    let ended = tokio::time::timeout(deadline, child.wait()).await;
    if ended.is_err() {
        child.kill().await;
        return failed(format!("{name} does not even say its version"));
    }
    match version(&child.output().await) {
        Some(version) => Ok(version),
        None => failed(format!(
            "{name} does not say its version{}",
            child.last_words()
        )),
    }
}

/// The snapshot without compression, what the bundle has to open encrypted values with, and the
/// snapshot's size.
async fn unpack(
    bundle: Bundle,
    scratch: &Scratch,
    stall: Duration,
    progress: &Progress,
) -> Result<(PlainSnapshot, Keys, u64), Stop> {
    let into: Dir = scratch.dir().walk("")?;
    let shared = progress.clone();
    let work = tokio::task::spawn_blocking(move || {
        let keys = Keys::in_bundle(&bundle)?;
        let snapshot = bundle.plain_snapshot(&into, &shared)?;
        if !snapshot.is_unpacked() {
            shared.begin("checking digests", bundle.snapshot().bytes);
            bundle.check_digest(bundle.snapshot(), &shared)?;
        }
        Ok::<_, BundleError>((snapshot, keys, bundle.snapshot().plain_bytes))
    });
    let mut watch = Watch::begin(stall);
    let mut look = tokio::time::interval(LOOK);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            unpacked = &mut work => {
                hit("rehearse.unpacked");
                return match unpacked {
                    Ok(Ok(unpacked)) => Ok(unpacked),
                    // No room, no rights: ours. Else the backup's.
                    Ok(Err(error @ (BundleError::Space { .. } | BundleError::Write(_)))) => {
                        Err(Stop::Error(RehearseError::Bundle(error)))
                    }
                    Ok(Err(error)) => failed(chain(&error)),
                    Err(_) => Err(Stop::Error(RehearseError::CutOff)),
                };
            }
            _ = look.tick() => {
                if let Some(hang) = watch.look(progress.position().done) {
                    return failed(format!("the backup cannot be read: {hang}"));
                }
            }
        }
    }
}
