//! A member that was started is asked what it has.

use tokio::time::{Instant, sleep};

use super::{ANSWERS, Error, LOOK};
use crate::config::Settings;
use crate::core::recovery::etcd::Home;
use crate::etcd::{Etcd, EtcdError, Status};
use crate::store::chain;

/// A way to ask this node's member alone.
pub(super) async fn own(settings: &Settings, home: &Home) -> Result<(Etcd, String), Error> {
    let endpoint = home.endpoint(&settings.etcd.endpoints);
    let endpoint = endpoint.ok_or(EtcdError::NoEndpoint)?;
    let settings = crate::etcd::Settings {
        endpoints: vec![endpoint.clone()],
        ..settings.etcd.clone()
    };
    Ok((Etcd::connect(&settings).await?, endpoint))
}

/// Waits until `fits` is content with how the member says it is.
///
/// # Errors
/// [`Error::Silent`] with its last words.
pub(super) async fn until(
    settings: &Settings,
    home: &Home,
    fits: impl Fn(&Status) -> Result<(), String>,
) -> Result<Status, Error> {
    let end = Instant::now() + ANSWERS;
    let (etcd, endpoint) = own(settings, home).await?;
    loop {
        let why = match etcd.status(&endpoint).await {
            Ok(status) => match fits(&status) {
                Ok(()) => return Ok(status),
                Err(why) => why,
            },
            Err(error) => chain(&error),
        };
        if Instant::now() >= end {
            let seconds = ANSWERS.as_secs();
            return Err(Error::Silent { seconds, why });
        }
        sleep(LOOK).await;
    }
}

/// It has a leader, and is at `least` at least.
///
/// # Errors
/// [`Error::Silent`].
pub(super) async fn serves(settings: &Settings, home: &Home, least: i64) -> Result<Status, Error> {
    let fits = |status: &Status| {
        if status.leader == 0 {
            return Err("it has no leader yet".to_owned());
        }
        if status.revision < least {
            let revision = status.revision;
            return Err(format!(
                "it is at revision {revision}, and {least} was restored"
            ));
        }
        Ok(())
    };
    until(settings, home, fits).await
}

/// How many keys it has: at `revision`, or now where that is compacted. `true`: at the revision.
pub(super) async fn keys(
    settings: &Settings,
    home: &Home,
    revision: i64,
) -> Result<(u64, bool), Error> {
    let (etcd, endpoint) = own(settings, home).await?;
    match etcd.live_keys(&endpoint, revision).await {
        Ok(keys) => Ok((keys, true)),
        Err(EtcdError::Refused { .. }) => Ok((etcd.live_keys(&endpoint, 0).await?, false)),
        Err(error) => Err(error.into()),
    }
}
