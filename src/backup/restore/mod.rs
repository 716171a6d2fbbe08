//! Making an etcd data directory of a backup, for one member or for each of a named set.
//!
//! First everything is looked at ([`plan`]), nothing is written; then etcd's own program makes the
//! data directory in a staging directory, which takes its name when it is whole ([`carry_out`]).
//! It starts no etcd and stops none. All of it blocks.

mod bump;
mod error;
mod members;
mod place;
mod source;
mod tool;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

pub use self::bump::{Bump, MARGIN, bump};
pub use self::error::RestoreError;
pub use self::members::{Member, Members};
use self::place::Place;
pub use self::source::Source;
pub use self::tool::Tool;
use crate::backup::Progress;
use crate::backup::bundle::{self, PlainSnapshot};
use crate::backup::signing::{PublicKey, Trust};
use crate::store::sealed::hex;

/// etcd's program is ended when it has written nothing for so many milliseconds.
const PATIENCE: u64 = 900_000; // 15 min
/// What a data directory takes beside the database: two preallocated WAL files of 64 MB.
const WAL_BYTES: u64 = 160 << 20; // 160 MiB

/// What is asked for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// What to restore.
    pub source: Source,
    /// The data directory to be: absolute, absent or empty.
    pub data_dir: &'a Path,
    /// Whose signatures count; `None`: none is asked for.
    pub trust: Option<&'a Trust>,
    /// The member that the data directory is for.
    pub members: Members,
    /// How the revision is raised.
    pub raise: Raise,
    /// etcd's program, where it is not to be looked for.
    pub tool: Option<&'a Path>,
    /// Where it is looked for, as `$PATH`.
    pub path: &'a str,
}

/// How the revision is raised above the backup's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raise {
    /// Above the backup's high water and this one, where it is known.
    Above(Option<i64>),
    /// By exactly so much: what another member of the set was restored with.
    By(u64),
    /// Not at all.
    No,
}

/// A restore that can be carried out.
#[derive(Debug)]
pub struct Plan {
    /// What is restored, in words.
    pub source: String,
    /// The data directory.
    pub data_dir: PathBuf,
    /// etcd's program.
    pub tool: Tool,
    /// Revision of the snapshot.
    pub revision: i64,
    /// Live keys of the snapshot, an upper bound where a remark says so.
    pub live_keys: u64,
    /// How the revision is raised; `None`: not at all.
    pub bump: Option<Bump>,
    /// The member, every default filled in.
    pub member: Member,
    /// The bundle's signer, where one was checked.
    pub signed_by: Option<PublicKey>,
    /// What was checked, in words.
    pub checked: Vec<String>,
    /// What is less than perfect about it: a bundle's marks, what a bare file does not prove.
    pub remarks: Vec<String>,
    snapshot: PlainSnapshot,
    raw: bool,
    bytes: u64,
    place: Place,
}

/// Looks at everything: that the place is free, whose the backup is and that it is whole, and what
/// etcd's program can. A compressed snapshot is unpacked beside the data directory, into a file
/// without a name.
///
/// # Errors
/// The first reason not to.
pub fn plan(wanted: Wanted<'_>, progress: &Progress) -> Result<Plan, RestoreError> {
    let place = Place::of(wanted.data_dir)?;
    let tool = Tool::find(wanted.tool, wanted.path)?;
    if !tool.bumps && wanted.raise != Raise::No {
        let Tool { path, version, .. } = tool;
        return Err(RestoreError::CannotBump { path, version });
    }
    let member = wanted.members.resolve(wanted.source.manifest(), || {
        Ok(format!("rekindle-{}", random()?))
    })?;
    let scratch = place.around().path();
    let looked = source::look(&wanted.source, wanted.trust, scratch, progress)?;
    let bump = match wanted.raise {
        Raise::No => None,
        Raise::By(by) => Some(Bump {
            by,
            reason: "as asked for".to_owned(),
        }),
        Raise::Above(known) => {
            let high_water = looked.high_water.max(known.unwrap_or(0));
            let revision = looked.revision;
            Some(bump(revision, high_water).ok_or(RestoreError::NoRevision {
                revision,
                high_water,
            })?)
        }
    };
    let needed = looked.bytes.saturating_add(WAL_BYTES);
    bundle::room(place.around(), needed)?;
    Ok(Plan {
        source: wanted.source.to_string(),
        data_dir: place.target().to_owned(),
        tool,
        revision: looked.revision,
        live_keys: looked.live_keys,
        bump,
        member,
        signed_by: looked.signed_by,
        checked: looked.checked,
        remarks: looked.remarks,
        snapshot: looked.plain,
        raw: looked.raw,
        bytes: looked.bytes,
        place,
    })
}

/// Makes the data directory.
///
/// # Errors
/// The step that failed; there is no data directory then.
pub fn carry_out(plan: &Plan, progress: &Progress) -> Result<(), RestoreError> {
    let staging = plan.place.stage(&random()?)?;
    progress.begin("restoring", plan.bytes);
    let data = staging.data();
    let database = data.join("member/snap/db");
    let mut shown = 0;
    plan.tool.run(&plan.arguments(&data), PATIENCE, || {
        let now = std::fs::metadata(&database).map_or(0, |file| file.len());
        progress.advance(now.saturating_sub(shown));
        shown = shown.max(now);
        now
    })?;
    progress.begin("bringing it to the disk", 0);
    staging.publish()
}

impl Plan {
    /// The arguments of etcd's program.
    pub fn arguments(&self, data_dir: &Path) -> Vec<OsString> {
        let flag = |name: &str, value: &str| OsString::from(format!("--{name}={value}"));
        let mut data = OsString::from("--data-dir=");
        data.push(data_dir);
        let mut args: Vec<OsString> = vec![
            "snapshot".into(),
            "restore".into(),
            self.snapshot.path().into(),
            data,
            flag("name", &self.member.name),
            flag("initial-cluster", &self.member.initial_cluster),
            flag("initial-cluster-token", &self.member.token),
            flag("initial-advertise-peer-urls", &self.member.peer_urls),
        ];
        if let Some(bump) = &self.bump {
            args.push(flag("bump-revision", &bump.by.to_string()));
            args.push("--mark-compacted".into());
        }
        if self.raw {
            args.push("--skip-hash-check".into());
        }
        args
    }
}

/// 32 hexadecimal digits that nobody had before.
fn random() -> Result<String, RestoreError> {
    let mut bytes = [0; 16];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(hex(&bytes)),
        Err(_) => Err(RestoreError::Members(
            "the kernel gives no random bytes for a token".to_owned(),
        )),
    }
}
