//! One attempt at one container: made, started, ended, removed.
//!
//! The file system of the image is shared with the kubelet's namespace, so that no image is
//! unpacked twice: the writable layer is a snapshot there, marked as ours and kept from garbage
//! collection, and its mounts are given to the task in our own namespace.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::{Container as ContainerdContainer, CreateTaskRequest};
use containerd_client::types::Mount;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use prost_types::Any;
use serde_json::Value;

use super::Config;
use super::record::{Record, chain, key};
use super::spec::{Places, Refusal, build};
use crate::containerd::{Containerd, Error, Resolved, normalised};
use crate::core::manifest::names::mirror_name;

pub(crate) const CHECKPOINT: &str = "rekindle.dev/checkpoint-id";
pub(super) const REVISION: &str = "rekindle.dev/revision";
pub(super) const BOOT: &str = "rekindle.dev/boot";
pub(super) const NAME: &str = "rekindle.dev/container";
pub(super) const ATTEMPT: &str = "rekindle.dev/attempt";
pub(super) const EXIT: &str = "rekindle.dev/exit";
/// Label of snapshots: the namespace of the engine that they belong to.
const OWNER: &str = "rekindle.dev/engine";
/// Extension of containers: the pod's whole record, should the file be lost.
pub(super) const RECORD: &str = "rekindle.dev/record";
/// Source: containerd 1.6 `typeurl` of the OCI runtime specification's `Spec`.
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
/// Making a task starts a shim and a logger, on a machine that may be busy with a disaster.
const CREATE_LIMIT: Duration = Duration::from_secs(20);

/// Why an attempt did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// It never will.
    #[error("cannot run here")]
    Refused(#[source] Refusal),
    /// Something is missing that may come.
    #[error("{0}")]
    Missing(String),
    /// containerd.
    #[error("not started")]
    Containerd(#[from] Error),
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        if refusal.passing {
            Self::Missing(refusal.to_string())
        } else {
            Self::Refused(refusal)
        }
    }
}

/// What every attempt needs.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) containerd: Containerd,
    pub(super) config: Arc<Config>,
    /// Containers are shielded from the kernel's killer of memory. Unset where containerd runs
    /// without the right to do so.
    lower_oom: Arc<AtomicBool>,
}

impl Workshop {
    pub(super) fn new(containerd: Containerd, config: Arc<Config>) -> Self {
        Self {
            containerd,
            config,
            lower_oom: Arc::new(AtomicBool::new(true)),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.containerd.config().engine_namespace
    }

    fn images(&self) -> &str {
        &self.containerd.config().cri_namespace
    }

    /// Starts attempt `number` of the container `name`. Whatever is left of a start that failed
    /// is removed.
    pub(super) async fn start(
        &self,
        record: &Record,
        name: &str,
        number: u32,
    ) -> Result<(), StartError> {
        let spec = record.pod.spec.as_ref();
        let found = spec.and_then(|spec| position(spec, name));
        let Some((index, container)) = found else {
            return Err(Refusal::new(format!("there is no container {name}")).into());
        };
        let id = format!(
            "{}-{}-{index}-{number}",
            key(&record.checkpoint),
            record.revision
        );
        let image = container.image.as_deref().unwrap_or_default();
        let image = self
            .containerd
            .resolve(image)
            .await?
            .map_err(StartError::Missing)?;
        let lower_oom = self.lower_oom.load(Ordering::Relaxed);
        let mut made = self
            .make(record, container, &id, number, &image, lower_oom)
            .await;
        // runc does not say that it was the OOM score that it may not lower: it says that its
        // child is gone. So every refusal is tried once more without.
        let refused = matches!(made, Err(StartError::Containerd(Error::Refused { .. })));
        if refused && lower_oom {
            self.discard(&id).await?;
            made = self
                .make(record, container, &id, number, &image, false)
                .await;
            if made.is_ok() {
                tracing::info!("containerd may not lower the OOM score: containers keep its own");
                self.lower_oom.store(false, Ordering::Relaxed);
            }
        }
        if made.is_err() {
            self.discard(&id).await.ok();
        }
        made
    }

    async fn make(
        &self,
        record: &Record,
        container: &Container,
        id: &str,
        number: u32,
        image: &Resolved,
        lower_oom: bool,
    ) -> Result<(), StartError> {
        let spec = self.spec(record, container, id, image, lower_oom).await?;
        let rootfs = self.root_file_system(id, &image.chain).await?;
        let labels = [
            (CHECKPOINT, record.checkpoint.to_string()),
            (REVISION, record.revision.to_string()),
            (BOOT, record.boot_id.clone()),
            (NAME, container.name.clone()),
            (ATTEMPT, number.to_string()),
        ];
        let any = |type_url: &str, value: Vec<u8>| Any {
            type_url: type_url.to_owned(),
            value,
        };
        let copy = serde_json::to_vec(record).unwrap_or_default();
        let made = ContainerdContainer {
            id: id.to_owned(),
            labels: HashMap::from(labels.map(|(key, value)| (key.to_owned(), value))),
            image: normalised(container.image.as_deref().unwrap_or_default()),
            runtime: Some(Runtime {
                name: "io.containerd.runc.v2".to_owned(),
                options: None,
            }),
            spec: Some(any(SPEC, spec.to_string().into_bytes())),
            extensions: HashMap::from([(RECORD.to_owned(), any(RECORD, copy))]),
            ..ContainerdContainer::default()
        };
        let c = &self.containerd;
        c.create_container(self.namespace(), made).await?;
        let log = self.log(record, &container.name, number);
        let task = CreateTaskRequest {
            container_id: id.to_owned(),
            rootfs,
            stdout: log.clone(),
            stderr: log,
            ..CreateTaskRequest::default()
        };
        c.create_task(self.namespace(), task, CREATE_LIMIT).await?;
        Ok(c.start_task(self.namespace(), id).await?)
    }

    async fn spec(
        &self,
        record: &Record,
        container: &Container,
        id: &str,
        image: &Resolved,
        lower_oom: bool,
    ) -> Result<Value, StartError> {
        let places = Places {
            dir: self.config.dir(&record.checkpoint),
            memory: self.config.memory(&record.checkpoint),
            id: id.to_owned(),
        };
        let (config, pod, container) = (self.config.clone(), record.pod.clone(), container.clone());
        let process = image.process.clone();
        let built = tokio::task::spawn_blocking(move || {
            build(&config, &pod, &container, &process, &places, lower_oom)
        });
        let built = built
            .await
            .map_err(|error| StartError::Missing(error.to_string()))?;
        Ok(built?)
    }

    async fn root_file_system(&self, id: &str, chain: &str) -> Result<Vec<Mount>, Error> {
        let snapshot = snapshot(id);
        let labels = || {
            let root = "containerd.io/gc.root".to_owned();
            HashMap::from([
                (root, "rekindle".to_owned()),
                (OWNER.to_owned(), self.namespace().to_owned()),
            ])
        };
        let c = &self.containerd;
        match c.prepare(self.images(), &snapshot, chain, labels()).await {
            Err(Error::Exists { .. }) => {
                c.remove_snapshot(self.images(), &snapshot).await?;
                c.prepare(self.images(), &snapshot, chain, labels()).await
            }
            other => other,
        }
    }

    /// Where the shim sends the output: to our own log writer, which it starts.
    ///
    /// Source: containerd 1.6 `runtime/v2/process/io_util.go`, `NewBinaryCmd`.
    fn log(&self, record: &Record, name: &str, number: u32) -> String {
        let meta = &record.pod.metadata;
        let pod = mirror_name(
            meta.name.as_deref().unwrap_or_default(),
            &self.config.node_name,
        );
        let namespace = meta.namespace.as_deref().unwrap_or("default");
        let own = format!("{}{}", key(&record.checkpoint), record.revision);
        let uid = meta.uid.as_deref().unwrap_or(&own);
        let dir = self
            .config
            .pod_log_dir
            .join(format!("{namespace}_{pod}_{uid}"));
        let path = dir.join(name).join(format!("{number}.log"));
        format!(
            "binary://{}?cri-log={}",
            escaped(&self.config.logger.to_string_lossy()),
            escaped(&path.to_string_lossy())
        )
    }

    /// Notes the exit code of an attempt that has ended and frees what it used. Its record stays,
    /// until the next attempt replaces it.
    pub(super) async fn finish(&self, id: &str, code: u32) -> Result<(), Error> {
        let (c, ns) = (&self.containerd, self.namespace());
        c.label_container(ns, id, EXIT, &code.to_string()).await?;
        c.delete_task(ns, id).await?;
        c.remove_snapshot(self.images(), &snapshot(id)).await
    }

    /// Ends an attempt with SIGTERM and, after `grace`, SIGKILL; then removes it.
    pub(super) async fn end(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let task = self.containerd.task(self.namespace(), id).await?;
        if task.is_some() {
            self.containerd
                .end_task(self.namespace(), id, grace)
                .await?;
        }
        self.discard(id).await
    }

    /// Removes an attempt and all that is its own, in whatever state it is.
    pub(super) async fn discard(&self, id: &str) -> Result<(), Error> {
        let (c, ns) = (&self.containerd, self.namespace());
        if c.task(ns, id).await?.is_some() {
            c.end_task(ns, id, Duration::ZERO).await?;
            c.delete_task(ns, id).await?;
        }
        c.remove_snapshot(self.images(), &snapshot(id)).await?;
        c.delete_container(ns, id).await
    }

    /// Removes snapshots of ours that belong to no container in `kept`.
    pub(super) async fn sweep(&self, kept: impl Fn(&str) -> bool) -> Result<(), Error> {
        let filter = format!("labels.\"{OWNER}\"==\"{}\"", self.namespace());
        for name in self.containerd.snapshots(self.images(), &filter).await? {
            let id = name.strip_prefix("rekindle-").unwrap_or(&name);
            if !kept(id) {
                self.containerd
                    .remove_snapshot(self.images(), &name)
                    .await?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.checkpoint, self.revision)
    }
}

/// Whole text of a start that failed.
pub(super) fn text(error: &StartError) -> String {
    chain(error)
}

fn snapshot(id: &str) -> String {
    format!("rekindle-{id}")
}

/// A container of the pod, and a short name for its place in it.
fn position<'a>(spec: &'a PodSpec, name: &str) -> Option<(String, &'a Container)> {
    let inits = spec.init_containers.iter().flatten().enumerate();
    let inits = inits.map(|(at, container)| (format!("i{at}"), container));
    let mains = spec.containers.iter().enumerate();
    let mains = mains.map(|(at, container)| (format!("c{at}"), container));
    inits
        .chain(mains)
        .find(|(_, container)| container.name == name)
}

/// Percent-encoding of everything that could end a part of a URL.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let pieces = text.bytes().map(|byte| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    pieces.collect::<Vec<_>>().concat()
}
