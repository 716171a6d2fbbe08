//! Why something does not serve yet, for people: no decision is made on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::port;
use super::tree::Tree;
use crate::containerd::Containerd;
use crate::core::observed::{ImagePresence, RuntimeView, Sandbox, TaskState};
use crate::core::reading::Reading;
use crate::core::start::component::static_name;
use crate::core::start::journal::Component;
use crate::core::start::required::Required;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// For etcd to accept a connection.
const ETCD: Duration = Duration::from_secs(1);
/// As much of the end of a log as is read for its last line.
const TAIL: u64 = 16 * 1024;
/// As much of a line as is shown.
const LINE: usize = 300;
/// kube-apiserver's default. Source: Kubernetes, `--secure-port`.
const SECURE_PORT: u16 = 6443;

/// What is looked at.
pub(super) struct Looker {
    pub(super) containerd: Containerd,
    pub(super) tree: Arc<Tree>,
    pub(super) components: Vec<Component>,
    pub(super) required: Vec<Required>,
    pub(super) node: String,
    pub(super) log_dir: PathBuf,
}

/// Reasons by name of a temporary or required pod.
pub(super) type Reasons = BTreeMap<String, String>;

impl Looker {
    /// Starts looking; ends with `shutdown`.
    pub(super) fn spawn(
        self,
        runtime: watch::Receiver<Reading<RuntimeView>>,
        shutdown: &CancellationToken,
    ) -> watch::Receiver<Reasons> {
        let (sender, receiver) = watch::channel(Reasons::new());
        let rounds = async move {
            loop {
                let view = runtime.borrow().known().cloned();
                let reasons = self.look(view.as_ref()).await;
                let changed = |old: &mut Reasons| {
                    let new = *old != reasons;
                    *old = reasons;
                    new
                };
                sender.send_if_modified(changed);
                tokio::time::sleep(PERIOD).await;
            }
        };
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(rounds));
        receiver
    }

    async fn look(&self, runtime: Option<&RuntimeView>) -> Reasons {
        let mut reasons = Reasons::new();
        let Some(runtime) = runtime else {
            return reasons;
        };
        for component in &self.components {
            let name = static_name(component, &self.node);
            let found: Vec<&Sandbox> = runtime
                .sandboxes
                .iter()
                .filter(|it| it.pod.namespace == component.namespace && it.pod.name == name)
                .collect();
            let mut texts = self.requirements(component, &found).await;
            if found.is_empty() {
                texts.extend(self.other_name(component, runtime));
            } else {
                texts.extend(self.crashes(&found).await);
            }
            if !texts.is_empty() {
                reasons.insert(component.name.clone(), texts.join("; "));
            }
        }
        for required in &self.required {
            let temporary = |sandbox: &Sandbox| {
                let mut all = self.components.iter();
                all.any(|component| static_name(component, &self.node) == sandbox.pod.name)
            };
            let found: Vec<&Sandbox> = runtime
                .sandboxes
                .iter()
                .filter(|it| required.names(&it.pod.namespace, &it.pod.name) && !temporary(it))
                .collect();
            if let Some(text) = self.crashes(&found).await {
                reasons.insert(required.name.clone(), text);
            }
        }
        reasons
    }

    /// Images, and what an API server needs: its port and its etcd.
    async fn requirements(&self, component: &Component, found: &[&Sandbox]) -> Vec<String> {
        let mut texts = Vec::new();
        let pod = self.tree.pods.iter().find(|pod| pod.file == component.file);
        let Some(pod) = pod else {
            return texts;
        };
        for image in pod.images() {
            if let Ok(ImagePresence::Missing(what)) = self.containerd.image_presence(image).await {
                texts.push(format!("image {image}: {what}"));
            }
        }
        if !component.api {
            return texts;
        }
        let number = pod.flag("--secure-port").and_then(|text| text.parse().ok());
        let number = number.unwrap_or(SECURE_PORT);
        let own: Vec<u32> = found
            .iter()
            .flat_map(|sandbox| sandbox.containers.iter().map(|container| container.pid))
            .collect();
        let holder = tokio::task::spawn_blocking(move || port::holder(number)).await;
        if let Ok(Some(holder)) = holder
            && !own.contains(&holder.pid)
        {
            let (pid, program) = (holder.pid, holder.program);
            texts.push(format!(
                "port {number} is held by process {pid} ({program})"
            ));
        }
        let mut silent = Vec::new();
        let servers = pod.flag("--etcd-servers").unwrap_or_default();
        for server in servers.split(',').filter(|server| !server.is_empty()) {
            let address = server.split_once("://").map_or(server, |(_, rest)| rest);
            let address = address.trim_end_matches('/');
            let connect = tokio::time::timeout(ETCD, TcpStream::connect(address)).await;
            if !matches!(connect, Ok(Ok(_))) {
                silent.push(server);
            }
        }
        if !silent.is_empty() {
            texts.push(format!("etcd does not answer at {}", silent.join(", ")));
        }
        texts
    }

    /// The kubelet runs it under another node's name than ours.
    fn other_name(&self, component: &Component, runtime: &RuntimeView) -> Option<String> {
        let begin = format!("{}-", component.name);
        let mut all = runtime.sandboxes.iter().filter(|sandbox| sandbox.running);
        let other = all.find(|it| {
            it.pod.namespace == component.namespace && it.pod.name.starts_with(&begin)
        })?;
        Some(format!(
            "the kubelet runs it as {}: is node.name {:?} the kubelet's name for this node?",
            other.pod.name, self.node
        ))
    }

    /// The last line of a container that ended, where none of the pod's runs.
    async fn crashes(&self, found: &[&Sandbox]) -> Option<String> {
        let mut newest = None;
        let mut code = None;
        for sandbox in found {
            for container in &sandbox.containers {
                match container.task {
                    TaskState::Running => return None,
                    TaskState::Exited(number) => code = Some(number),
                    _ => {}
                }
                newest = Some((*sandbox, container));
            }
        }
        let (sandbox, container) = newest?;
        let code = code.map_or("has ended".to_owned(), |code| format!("ended with {code}"));
        let pod = &sandbox.pod;
        let dir = self
            .log_dir
            .join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
            .join(&container.name);
        let line = tokio::task::spawn_blocking(move || last_line(&dir)).await;
        let line = line.ok().flatten();
        let line = line.map_or(String::new(), |line| format!(", its last words: {line}"));
        Some(format!("container {} {code}{line}", container.name))
    }
}

/// The last line of the newest log in a container's directory.
///
/// Source: kubelet 1.20 `pkg/kubelet/kuberuntime/logs`: `TIME STREAM TAG TEXT`.
fn last_line(dir: &Path) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    let newest = std::fs::read_dir(dir).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_suffix(".log")?.parse::<u32>().ok()
    });
    let mut file = std::fs::File::open(dir.join(format!("{}.log", newest.max()?))).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let words = line.splitn(4, ' ').nth(3).unwrap_or(line);
    let words = words.chars().map(|c| if c.is_control() { '?' } else { c });
    Some(words.take(LINE).collect())
}
