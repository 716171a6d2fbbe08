//! Keeps the good copies of guarded static manifests up to date, and tells how each file stands.
//! Puts nothing back: whoever decides on recovery does, by [`crate::recovery::guard::Guard`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Settings;
use crate::core::id::PodRef;
use crate::core::observed::{Probe, RuntimeView, TaskState};
use crate::core::reading::Reading;
use crate::core::recovery::guard::learn::{FileReport, GuardPolicy, GuardStep, GuardTurn, turn};
use crate::core::recovery::guard::memory::GuardMemory;
use crate::core::recovery::guard::seen::{FileSeen, GuardSeen};
use crate::daemon::clock;
use crate::daemon::execute::blocking;
use crate::probe::{self, ExecRequest, Target};
use crate::recovery::guard::{Copies, Guard, kubeadm};
use crate::store::chain;

/// A look at least this often: what inotify cannot see, and what a host lacks.
const PERIOD: Duration = Duration::from_secs(60);
/// After a disk that refused.
const RETRY: Duration = Duration::from_secs(5);
/// A pod without probes serves once it has been up this long.
const SETTLE: Duration = Duration::from_secs(3);
const PROC: &str = "/proc";

/// How the guarded files stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardView {
    /// They were looked at. Before that, that there are no files means nothing.
    pub looked: bool,
    /// Each file.
    pub files: Vec<FileReport>,
    /// Whether `kubeadm` is at work; asked only while a file is wrong.
    pub kubeadm: Reading<bool>,
    /// What an operator should know of, one sentence each.
    pub problems: Vec<String>,
}

/// The guard of the configuration.
#[must_use]
pub fn of(settings: &Settings) -> Guard {
    let files = settings.recovery.guarded.iter();
    Guard::new(
        &settings.paths.state_dir,
        &settings.paths.manifest_dir,
        &settings.paths.manifest_staging_dir,
        files.map(|file| file.to_string_lossy().into_owned()),
        &settings.node.name,
    )
}

/// Starts the task; it ends with `shutdown`. `runtime` is what containerd shows, `exec` carries out
/// probes that are commands. To be called within a tokio runtime.
#[must_use]
pub fn spawn(
    settings: &Settings,
    runtime: watch::Receiver<Reading<RuntimeView>>,
    exec: mpsc::Sender<ExecRequest>,
    shutdown: &CancellationToken,
) -> watch::Receiver<GuardView> {
    let guard = of(settings);
    let look = guard.clone();
    let (files, _) = crate::store::watch::spawn(
        &settings.paths.manifest_dir,
        move || look.seen(),
        shutdown.clone(),
        PERIOD,
    );
    let (targets, wanted) = watch::channel(Arc::new(Vec::new()));
    let period = settings.probe.period;
    let probes = probe::spawn(period, SETTLE, wanted, exec, shutdown.clone());
    let (publish, view) = watch::channel(GuardView {
        looked: false,
        files: Vec::new(),
        kubeadm: Reading::not_asked(),
        problems: Vec::new(),
    });
    let address = settings.node.address.map(|address| address.to_string());
    let task = Task {
        guard,
        policy: GuardPolicy {
            ready: settings.policy.ready,
            wedged_after: settings.recovery.policy.wedged_after,
        },
        boot_id_file: settings.paths.boot_id_file.clone(),
        address: address.unwrap_or_else(|| "127.0.0.1".to_owned()),
        files,
        runtime,
        probes,
        targets,
        publish,
        memory: GuardMemory::default(),
        generation: 0,
        copies: Reading::not_asked(),
        problems: Vec::new(),
        failure: None,
    };
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(task.run()));
    view
}

struct Task {
    guard: Guard,
    policy: GuardPolicy,
    boot_id_file: std::path::PathBuf,
    address: String,
    files: watch::Receiver<Reading<BTreeMap<String, FileSeen>>>,
    runtime: watch::Receiver<Reading<RuntimeView>>,
    probes: watch::Receiver<Arc<BTreeMap<PodRef, Probe>>>,
    targets: watch::Sender<Arc<Vec<Target>>>,
    publish: watch::Sender<GuardView>,
    memory: GuardMemory,
    generation: u64,
    copies: Reading<Copies>,
    problems: Vec<String>,
    failure: Option<String>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let pause = match self.look().await {
                Ok(pause) => {
                    self.failure = None;
                    pause
                }
                Err(failure) => {
                    if self.failure.as_ref() != Some(&failure) {
                        warn!(failure, "static manifests are not guarded");
                    }
                    self.failure = Some(failure);
                    self.copies = Reading::not_asked();
                    RETRY
                }
            };
            // A sender that has ended says nothing any more; the pause goes on.
            tokio::select! {
                Ok(()) = self.files.changed() => {}
                Ok(()) = self.runtime.changed() => {}
                Ok(()) = self.probes.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look; how long the next one may take its time.
    async fn look(&mut self) -> Result<Duration, String> {
        if self.copies.known().is_none() {
            self.load().await?;
        }
        let boot_id = clock::boot_id(&self.boot_id_file).map_err(|error| chain(&error))?;
        let seen = GuardSeen {
            boot_id,
            files: self.files.borrow_and_update().clone(),
            runtime: self.runtime.borrow_and_update().clone(),
            probes: Arc::clone(&self.probes.borrow_and_update()),
            copies: self.copies.clone(),
        };
        let now = clock::now();
        let done = turn(&seen, &self.memory, &self.policy, now, clock::wall());
        self.aim(&done, &seen);
        if done.next != self.memory {
            self.generation += 1;
            let (guard, next, generation) =
                (self.guard.clone(), done.next.clone(), self.generation);
            blocking(move || guard.commit(&next, generation).map_err(|e| chain(&e))).await?;
            self.memory = done.next.clone();
        }
        let stepped = self.carry_out(&done.steps).await?;
        self.tell(done.files).await?;
        if stepped {
            return Ok(Duration::ZERO);
        }
        let wake = done.wake_at.map_or(PERIOD, |at| at.since(now));
        Ok(wake.min(PERIOD))
    }

    async fn load(&mut self) -> Result<(), String> {
        let guard = self.guard.clone();
        let loaded = blocking(move || guard.load().map_err(|error| chain(&error))).await?;
        for problem in &loaded.problems {
            warn!(problem, "a copy of a static manifest");
        }
        self.memory = loaded.memory;
        self.generation = loaded.generation;
        self.copies = Reading::Known(loaded.copies);
        self.problems = loaded.problems;
        Ok(())
    }

    /// Keeps and drops copies; whether there was anything to do.
    async fn carry_out(&mut self, steps: &[GuardStep]) -> Result<bool, String> {
        if steps.is_empty() {
            return Ok(false);
        }
        let (guard, steps) = (self.guard.clone(), steps.to_vec());
        let (copies, problems) = blocking(move || {
            for step in &steps {
                let done = match step {
                    GuardStep::Keep { file, digest } => guard.keep(file, digest, clock::wall()),
                    GuardStep::Drop { file, digest } => guard.drop_copy(file, digest),
                };
                done.map_err(|error| chain(&error))?;
                if let GuardStep::Keep { file, .. } = step {
                    info!(file, "a good copy of a static manifest is kept");
                }
            }
            guard.copies().map_err(|error| chain(&error))
        })
        .await?;
        self.copies = Reading::Known(copies);
        self.problems = problems;
        Ok(true)
    }

    /// Has the pods probed on which something depends.
    fn aim(&self, done: &GuardTurn, seen: &GuardSeen) {
        let targets = targets(done, seen, &self.address);
        self.targets.send_if_modified(|current| {
            let changed = **current != targets;
            if changed {
                *current = Arc::new(targets);
            }
            changed
        });
    }

    async fn tell(&mut self, mut files: Vec<FileReport>) -> Result<(), String> {
        let mut kubeadm = Reading::not_asked();
        if files.iter().any(|file| file.wrong.is_some()) {
            let guard = self.guard.clone();
            (files, kubeadm) = blocking(move || {
                for file in &mut files {
                    if let (Some(_), Some(copy)) = (file.wrong, &file.copy) {
                        let lacks = guard.lacks(&file.file, copy);
                        file.lacks = lacks.map_err(|error| chain(&error))?;
                    }
                }
                Ok((files, kubeadm::at_work(Path::new(PROC))))
            })
            .await?;
        }
        let view = GuardView {
            looked: true,
            files,
            kubeadm,
            problems: self.problems.clone(),
        };
        self.publish.send_if_modified(|current| {
            let changed = *current != view;
            *current = view;
            changed
        });
        Ok(())
    }
}

fn targets(done: &GuardTurn, seen: &GuardSeen, address: &str) -> Vec<Target> {
    let (Reading::Known(runtime), Reading::Known(files)) = (&seen.runtime, &seen.files) else {
        return Vec::new();
    };
    let spec = |file: &String| -> Option<Arc<Pod>> {
        match files.get(file)? {
            FileSeen::Pod(pod) if pod.host_network => Some(Arc::clone(&pod.spec)),
            _ => None,
        }
    };
    let target = |(pod, file): (&PodRef, &String)| {
        let sandboxes = runtime.sandboxes.iter();
        let sandbox = sandboxes
            .filter(|sandbox| sandbox.pod == *pod)
            .find(|sandbox| sandbox.running)?;
        let running = sandbox.containers.iter();
        let running = running.filter(|container| container.task == TaskState::Running);
        Some(Target {
            pod: pod.clone(),
            spec: spec(file)?,
            host: address.to_owned(),
            ours: false,
            shared: None,
            running: running
                .map(|container| (container.name.clone(), container.id.clone()))
                .collect(),
            eager: true,
            door: None,
        })
    };
    done.probe.iter().filter_map(target).collect()
}
