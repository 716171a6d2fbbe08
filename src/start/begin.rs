//! The beginning of a run: the tree is read, the node taken, and everything looked at that would
//! make a start fail or do harm, before anything is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::place::{PlaceError, Places};
use super::serving;
use super::tree::{self, Tree, TreeError};
use crate::apiserver::ask::Asker;
use crate::config::Settings;
use crate::core::operation::OperationKind;
use crate::core::reading::{Reading, chain};
use crate::core::start::journal::{Journal, Objects, Phase, State};
use crate::core::start::observed::Standing;
use crate::core::start::required::Required;
use crate::core::stored::{self, Engine};
use crate::daemon::clock;
use crate::manifests::dir::ManifestDir;
use crate::operation::{BeginError, Begun, Operation, RecordError};
use crate::store::state;

/// How an API server is asked whether one serves already.
const DEADLINE: Duration = Duration::from_secs(3);

/// What the operator asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The tree, absolute; needed unless one is given up.
    pub asset_dir: Option<PathBuf>,
    /// The kubelet's static pod directory; `None`: as configured.
    pub manifest_dir: Option<PathBuf>,
    /// The pods to wait for.
    pub required: Vec<Required>,
    /// Stop at the first object that cannot be created.
    pub strict: bool,
    /// Who runs the temporary pods; `None`: whoever is there.
    pub engine: Option<Engine>,
    /// End when nothing goes forward for so long.
    pub timeout: Option<Duration>,
    /// Give up the one that is under way.
    pub abort: bool,
    /// Nodes that are gone for good.
    pub forget: Vec<String>,
}

/// Why a start was not begun, or ended in the middle.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Another operation, or the disk.
    #[error(transparent)]
    Begin(#[from] BeginError),
    /// A step could not be written down.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The disk.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Which boot this is, is not known.
    #[error(transparent)]
    Boot(#[from] clock::NoBootId),
    /// Signals.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    /// Another tree is being started.
    #[error("a start of {} is unfinished", .0.display())]
    OtherTree(PathBuf),
    /// There is no tree to start.
    #[error("no asset tree was named")]
    NoTree,
    /// The tree's kubeconfig.
    #[error("auth/kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// Certificates without which nothing can be asked.
    #[error("the asset tree's certificates do not hold: {}", .0.join("; "))]
    Certificates(Vec<String>),
    /// A manifest of the same name stands in the static pod directory.
    #[error("{} exists and is not of this start", .0.display())]
    InTheWay(PathBuf),
    /// The places cannot be looked at.
    #[error("the static pod directory or the place of the secrets cannot be read: {0}")]
    Unseen(String),
    /// The daemon runs a checkpoint of what would be started.
    #[error(
        "the daemon runs the checkpoint {0}, which has the ports that the temporary control plane needs"
    )]
    Checkpoint(String),
    /// Whether the daemon runs one cannot be known.
    #[error("the daemon's state cannot be read: {0}")]
    DaemonState(String),
    /// The API server may not be asked for what is needed.
    #[error("containerd does not answer: {0}")]
    Containerd(String),
}

impl StartError {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Tree(_) => "`rekindle recover` makes such a tree; see --help".to_owned(),
            Self::Begin(error) => error.hint(),
            Self::Record(_) | Self::Place(PlaceError::Disk(_) | PlaceError::Read(_)) => {
                "run it as root; is the disk full or read-only? The next run goes on".to_owned()
            }
            Self::OtherTree(dir) => format!(
                "`rekindle start --asset-dir {0}` goes on with it, `rekindle start --abort` takes \
                 back what it placed",
                dir.display()
            ),
            Self::NoTree => "give --asset-dir DIR, as `rekindle recover` wrote it".to_owned(),
            Self::Kubeconfig(_) => {
                "put an administrator's kubeconfig there, with its keys in it".to_owned()
            }
            Self::Certificates(_) => "nothing was changed; `rekindle recover \
                 --reissue-certificates` has them issued anew where the key of their authority is \
                 found; or put new ones into the tree. Is this host's clock right?"
                .to_owned(),
            Self::InTheWay(path) | Self::Place(PlaceError::InTheWay { path }) => format!(
                "nothing was changed; if it is a leftover, move it away: mv {0} /root/",
                path.display()
            ),
            Self::Checkpoint(_) => "the daemon is bringing the control plane back itself: see \
                 `rekindle status`, and start only if that does not end"
                .to_owned(),
            Self::Unseen(_) | Self::Place(_) => {
                "is --pod-manifest-path the kubelet's staticPodPath? Run it as root".to_owned()
            }
            Self::DaemonState(_) | Self::Boot(_) | Self::Signals(_) => "run it as root".to_owned(),
            Self::Containerd(_) => "start containerd; another socket: containerd.socket".to_owned(),
        }
    }
}

/// A start that may go on.
pub(super) struct Ready {
    pub(super) operation: Operation<Journal>,
    pub(super) journal: Journal,
    pub(super) tree: Arc<Tree>,
    pub(super) places: Places,
    /// To be told.
    pub(super) notes: Vec<String>,
}

/// Takes the node. `None`: there is nothing to give up.
pub(super) async fn begin(
    settings: &Settings,
    options: &Options,
    boot_id: &str,
) -> Result<Option<Ready>, StartError> {
    let dir = options.asset_dir.clone();
    let tree = match (&dir, options.abort) {
        (Some(dir), _) => Some(tree::read(dir)),
        (None, true) => None,
        (None, false) => return Err(StartError::NoTree),
    };
    let tree = match (tree, options.abort) {
        (Some(Ok(tree)), _) => Some(tree),
        (Some(Err(error)), false) => return Err(error.into()),
        // What was placed can be taken away without it.
        (Some(Err(_)) | None, _) => None,
    };
    let first = first(settings, options, tree.as_ref(), boot_id);
    let at = Phase::Placing.words();
    let begun = Operation::begin(
        &settings.paths.state_dir,
        OperationKind::Start,
        clock::wall(),
        at,
        &first,
    )?;
    let Begun {
        operation,
        resumed,
        problems: mut notes,
        ..
    } = begun;
    let aside = settings.paths.state_dir.join("start-edited");
    if let Some(journal) = resumed {
        let under_way = PathBuf::from(&journal.asset_dir);
        if dir.as_ref().is_some_and(|dir| *dir != under_way) {
            return Err(StartError::OtherTree(under_way));
        }
        let tree = match tree {
            Some(tree) => tree,
            None => tree::read(&under_way).unwrap_or_else(|_| nothing(&under_way)),
        };
        notes.push(format!(
            "goes on where an earlier run ended: {}",
            journal.phase.words()
        ));
        let places = Places::of(&journal, aside);
        places.sweep()?;
        return Ok(Some(Ready {
            operation,
            journal,
            tree: Arc::new(tree),
            places,
            notes,
        }));
    }
    let places = Places::of(&first, aside);
    let Some(tree) = tree.filter(|_| !options.abort) else {
        operation.finish()?;
        return Ok(None);
    };
    match check(settings, first, &tree, &places).await {
        Ok((journal, said)) => {
            notes.extend(said);
            places.sweep()?;
            Ok(Some(Ready {
                operation,
                journal,
                tree: Arc::new(tree),
                places,
                notes,
            }))
        }
        Err(error) => {
            // Nothing was touched.
            operation.finish()?;
            Err(error)
        }
    }
}

fn first(settings: &Settings, options: &Options, tree: Option<&Tree>, boot_id: &str) -> Journal {
    let now = clock::now();
    let manifest_dir = options.manifest_dir.as_ref();
    let manifest_dir = manifest_dir.unwrap_or(&settings.paths.manifest_dir);
    Journal {
        id: clock::wall().strftime("%Y%m%dt%H%M%Sz").to_string(),
        boot_id: boot_id.to_owned(),
        asset_dir: tree.map_or(String::new(), |tree| tree.dir.display().to_string()),
        manifest_dir: manifest_dir.display().to_string(),
        secrets_dir: settings.paths.bootstrap_secrets_dir.display().to_string(),
        engine: None,
        phase: Phase::Placing,
        since: now,
        progress_at: now,
        gone_since: None,
        components: tree
            .into_iter()
            .flat_map(|tree| &tree.pods)
            .map(|pod| pod.component(&options.required))
            .collect(),
        required: options.required.clone(),
        strict: options.strict,
        has_objects: tree.is_some_and(|tree| tree.has_objects),
        objects: Objects::default(),
        forgotten: std::collections::BTreeSet::new(),
    }
}

/// A tree that is gone, of a start that is given up.
fn nothing(dir: &Path) -> Tree {
    Tree {
        dir: dir.to_owned(),
        kubeconfig: Vec::new(),
        pods: Vec::new(),
        tls_dirs: Vec::new(),
        tls: Vec::new(),
        has_objects: false,
    }
}

/// Everything that can be known before the first step.
async fn check(
    settings: &Settings,
    mut journal: Journal,
    tree: &Tree,
    places: &Places,
) -> Result<(Journal, Vec<String>), StartError> {
    match places.look(&journal.components) {
        Reading::Known(placed) => {
            let mut files = placed.files.iter();
            if let Some((file, _)) = files.find(|(_, standing)| **standing != Standing::Absent) {
                let dir = PathBuf::from(&journal.manifest_dir);
                return Err(StartError::InTheWay(dir.join(file)));
            }
        }
        Reading::Unknown(unseen) => return Err(StartError::Unseen(unseen.detail)),
    }
    no_checkpoint_runs(settings, &journal.boot_id)?;
    let asker = Asker::new(tree.dir.join("auth/kubeconfig"), DEADLINE);
    if let Err(unseen) = asker.usable().await {
        return Err(StartError::Kubeconfig(unseen.detail));
    }
    let mut notes = Vec::new();
    let answer = serving::ask(&asker).await;
    let (needed, others) = tree.out_of_date(clock::wall());
    if answer.is_ok_and(|answer| answer.is_ok()) {
        notes.extend(needed);
        for component in journal.components.iter_mut().filter(|it| it.api) {
            component.state = State::HandedOver { lost: None };
            notes.push(format!(
                "an API server serves already: {} is not started",
                component.name
            ));
        }
    } else if !needed.is_empty() {
        return Err(StartError::Certificates(needed));
    }
    notes.extend(others);
    for component in &journal.components {
        if component.counterpart.is_none() {
            notes.push(format!(
                "no required pod takes the place of {}: it will be left running",
                component.name
            ));
        }
    }
    if !journal.has_objects {
        notes.push(format!(
            "{} has no directory manifests: no self-hosted objects are created",
            tree.dir.display()
        ));
    }
    Ok((journal, notes))
}

/// The daemon's own copies of the API server have its port; it is bringing it back itself.
fn no_checkpoint_runs(settings: &Settings, boot_id: &str) -> Result<(), StartError> {
    let unread = |error: &dyn std::error::Error| StartError::DaemonState(chain(error));
    let paths = &settings.paths;
    let (stored, _) = state::peek(&paths.state_dir).map_err(|error| unread(&error))?;
    let asked = ManifestDir::new(&paths.manifest_dir, &paths.manifest_staging_dir).list();
    let asked = asked.map_err(|error| unread(&error))?.ours;
    for id in &settings.policy.handover_first {
        let checkpoint = stored.checkpoints.get(id);
        // What ran in another boot runs only where a manifest still asks for it.
        let runs = stored.boot_id == boot_id
            && checkpoint.is_some_and(|it| !matches!(it.phase, stored::Phase::Inactive));
        if runs || asked.contains_key(id) {
            return Err(StartError::Checkpoint(id.to_string()));
        }
    }
    Ok(())
}
