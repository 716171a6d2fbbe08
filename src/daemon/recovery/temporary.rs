//! The temporary control plane: an asset tree from the best source there is, and `start` of it.
//! The same code as the commands `recover` and `start`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::acts::Order;
use super::jobs::{Done, Ended};
use crate::backup::signing::Trust;
use crate::core::start::required::{DEFAULT, Required};
use crate::daemon::backups::look::look;
use crate::daemon::execute::blocking;
use crate::recover::prepare::{self, Prepared, prepare};
use crate::recover::tree::{Place, TreeError};
use crate::recover::{Source, Want};
use crate::recovery::current::PLACE;
use crate::start::{self, Outcome};
use crate::store::chain;

/// Nothing goes forward for so long: given up.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs it to its end.
pub(super) async fn run(order: &Order) -> Ended {
    let settings = &order.settings;
    let tree = settings
        .paths
        .state_dir
        .join(PLACE)
        .join(&order.id)
        .join("assets");
    if let Some(place) = unwritten(&tree)? {
        let words = Box::pin(write(order, &place)).await?;
        order.say(&format!(
            "the control plane's objects are read from {words}"
        ));
    }
    let required = DEFAULT.iter().filter_map(|text| Required::parse(text).ok());
    let options = start::Options {
        asset_dir: Some(tree),
        manifest_dir: None,
        required: required.filter(|pod| !pod.is_the_predecessor()).collect(),
        strict: false,
        engine: None,
        timeout: Some(TIMEOUT),
        abort: false,
        forget: Vec::new(),
    };
    let mut say = |line: &str| order.say(line);
    let report = start::run(settings, &options, &mut say)
        .await
        .map_err(|error| chain(&error))?;
    match report.outcome {
        Outcome::Done | Outcome::Temporary => Ok(Done {
            what: "the temporary control plane has done its work".to_owned(),
            ..Done::default()
        }),
        Outcome::Interrupted => Err("interrupted".to_owned()),
        Outcome::Aborted | Outcome::Nothing | Outcome::Failed => {
            let mut why: Vec<String> = report.why.iter().cloned().collect();
            why.extend(report.waits.iter().map(|wait| format!("waited for {wait}")));
            Err(format!("start did not finish: {}", why.join("; ")))
        }
    }
}

/// The place to write the tree to; `None`: a run that was cut off has left it there, whole, for it
/// comes there by one rename.
fn unwritten(tree: &Path) -> Result<Option<Place>, String> {
    match Place::of(tree) {
        Ok(place) => Ok(Some(place)),
        Err(TreeError::NotEmpty { .. }) => Ok(None),
        Err(error) => Err(chain(&error)),
    }
}

/// Writes the tree from the first source that has all of it, else from the one that lacks least: an
/// API server that runs does not have what was deleted from it. Gives the source in words.
async fn write(order: &Order, place: &Place) -> Result<String, String> {
    let mut failures = Vec::new();
    let mut best: Option<(Vec<&str>, Prepared, String)> = None;
    for (source, words) in sources(order).await {
        let prepared = match Box::pin(prepared(order, source, &words)).await {
            Ok(prepared) => prepared,
            Err(why) => {
                order.say(&format!("not from {words}: {why}"));
                failures.push(format!("{words}: {why}"));
                continue;
            }
        };
        let lacks = prepared.plan.lacks();
        let whole = lacks.is_empty();
        if !whole {
            order.say(&format!("{words} lacks {}", lacks.join(", ")));
        }
        if best
            .as_ref()
            .is_none_or(|(least, ..)| lacks.len() < least.len())
        {
            best = Some((lacks, prepared, words));
        }
        if whole {
            break;
        }
    }
    let Some((_, prepared, words)) = best else {
        return Err(format!(
            "no source has what a temporary control plane needs: {}",
            failures.join("; ")
        ));
    };
    for warning in &prepared.plan.warnings {
        order.say(&format!("warning: {warning}"));
    }
    place
        .write(&prepared.assets, &prepared.plan.empty_dirs)
        .map_err(|error| chain(&error))?;
    Ok(words)
}

async fn prepared(order: &Order, source: Source, words: &str) -> Result<Prepared, String> {
    let settings = &order.settings;
    let trust = Trust::of(
        &settings.paths.state_dir,
        &settings.backup.trusted_key_files,
    );
    let order = prepare::Order {
        source,
        want: Want {
            prefix: settings.backup.key_prefix.clone(),
            trust: Some(trust.map_err(|error| chain(&error))?),
            ..Want::default()
        },
        words: words.to_owned(),
        kubeconfig: Some(settings.recovery.kubeconfig.clone()),
        etcd_endpoints: Vec::new(),
        node_address: settings.node.address,
        reissue: false,
    };
    prepare(&order).await.map_err(|error| chain(&error))
}

/// The freshest first: a running API server, a running etcd, the newest verified backup.
async fn sources(order: &Order) -> Vec<(Source, String)> {
    let settings = &order.settings;
    let etcd = &settings.etcd;
    let mut all = vec![
        (
            Source::ApiServer {
                kubeconfig: settings.recovery.kubeconfig.clone(),
                server: None,
            },
            "the running API server".to_owned(),
        ),
        (
            Source::Etcd {
                endpoints: etcd.endpoints.clone(),
                ca: Some(etcd.ca_file.clone()),
                certificate: etcd.cert_file.clone(),
                key: etcd.key_file.clone(),
            },
            "the running etcd".to_owned(),
        ),
    ];
    let settings = Arc::clone(settings);
    let found = blocking(move || look(&settings)).await;
    if let Ok(found) = found
        && let Some((kept, _)) = found.newest(|kept| kept.verified)
    {
        let dir: PathBuf = order.settings.backup.dir.join(kept.id.to_string());
        all.push((Source::File(dir), format!("backup {}", kept.id)));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// R08: a run that was cut off once it had written the tree goes on with it.
    #[test]
    fn r08_a_tree_that_was_written_is_gone_on_with_and_not_written_again() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("recovery/assets");
        let place = unwritten(&tree).unwrap().expect("nothing is there yet");
        let dirs = BTreeSet::from(["auth".to_owned()]);
        place.write(&[], &dirs).unwrap();
        assert!(unwritten(&tree).unwrap().is_none());
        assert!(
            Place::of(&tree).is_err(),
            "a place that is taken is refused"
        );
    }
}
