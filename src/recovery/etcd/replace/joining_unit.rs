//! The first start of a member that joins a cluster and is a unit of systemd: it is told so by a
//! drop-in below `/run`, which is gone after it, and after a boot at the latest.

use std::path::{Path, PathBuf};

use super::super::power::{blocking, place};
use crate::config::Settings;
use crate::core::recovery::etcd::unit::joining;
use crate::recovery::etcd::Error;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes};
use crate::systemd::units::{self, Job};

/// Drop-ins that a boot forgets. Source: `systemd.unit(5)`, unit file load path.
const RUNTIME: &str = "/run/systemd/system";
/// Behind what others have put there: the last one wins.
const DROP_IN: &str = "99-rekindle-joining.conf";
/// End of the name of the file of environment variables in the recovery's directory.
const ENVIRONMENT: &str = ".joining.env";

/// Starts `unit` so that its member joins `cluster`. Does not wait until it serves.
///
/// # Errors
/// Where it cannot be told, or systemd does not start it.
pub(super) async fn begin(
    settings: &Settings,
    id: &str,
    unit: &str,
    cluster: &str,
) -> Result<(), Error> {
    let unknown = || Error::Homeless(format!("systemd knows no {unit}"));
    let service = units::service(unit).await?.ok_or_else(unknown)?;
    if service.runs() && written(unit) {
        // Started by a run that was cut off before it could write that down.
        return Ok(());
    }
    // Started by a boot in the meantime, without being told.
    units::run(unit, Job::Stop).await?;
    let (owned, id, name) = (settings.clone(), id.to_owned(), unit.to_owned());
    let cluster = cluster.to_owned();
    blocking(move || {
        let kept = place(&owned, &id)?;
        let environment = format!("{name}{ENVIRONMENT}");
        let said = joining(&service.command, &kept.path().join(&environment), &cluster);
        let bytes = said.environment.as_bytes();
        durable::write_in(&kept, &environment, bytes, &plain(0o600), &kept)?;
        let dir = durable::ensure_root(&drop_ins(&name))?;
        let bytes = said.drop_in.as_bytes();
        Ok(durable::write_in(
            &dir,
            DROP_IN,
            bytes,
            &plain(0o644),
            &dir,
        )?)
    })
    .await?;
    units::reload().await?;
    let known = units::enqueue(unit, Job::Start).await?;
    known.then_some(()).ok_or_else(unknown)
}

/// Takes the drop-in away: the member's log is there, and its flags are not read any more.
pub(super) async fn end(unit: &str) -> Result<(), Error> {
    let name = unit.to_owned();
    let was = blocking(move || {
        if !written(&name) {
            return Ok(false);
        }
        durable::remove_in(&Dir::open(&drop_ins(&name))?, DROP_IN)?;
        Ok(true)
    })
    .await?;
    if was {
        units::reload().await?;
    }
    Ok(())
}

fn drop_ins(unit: &str) -> PathBuf {
    Path::new(RUNTIME).join(format!("{unit}.d"))
}

fn written(unit: &str) -> bool {
    drop_ins(unit).join(DROP_IN).exists()
}

fn plain(mode: u32) -> Attributes {
    Attributes {
        mode,
        uid: 0,
        gid: 0,
    }
}
