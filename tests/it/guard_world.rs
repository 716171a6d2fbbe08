//! A simulated node with kubeadm's static pods, for decisions on them, in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rekindle::core::id::PodRef;
use rekindle::core::observed::{ContainerSeen, Probe, RuntimeView, Sandbox, TaskState};
use rekindle::core::reading::Reading;
use rekindle::core::recovery::guard::learn::{FileReport, GuardPolicy, GuardStep, GuardTurn, turn};
use rekindle::core::recovery::guard::memory::{CopyFacts, GuardMemory};
use rekindle::core::recovery::guard::restore::{Asker, Restores, Situation, restores};
use rekindle::core::recovery::guard::seen::{FileSeen, GuardSeen};
use rekindle::core::recovery::loss::{Assessment, Condition, Loss, LossSeen};
use rekindle::core::time::Moment;

pub(crate) const API: &str = "kube-apiserver.yaml";
pub(crate) const ETCD: &str = "etcd.yaml";
pub(crate) const KCM: &str = "kube-controller-manager.yaml";
pub(crate) const SCHEDULER: &str = "kube-scheduler.yaml";
pub(crate) const ALL: [&str; 4] = [ETCD, API, KCM, SCHEDULER];

/// How a pod in the world does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Serve,
    Crash,
}

pub(crate) struct Node {
    pub(crate) seen: GuardSeen,
    pub(crate) memory: GuardMemory,
    pub(crate) policy: GuardPolicy,
    pub(crate) now: Moment,
    pub(crate) asker: Asker,
    pub(crate) assessment: Assessment,
    pub(crate) held: Option<&'static str>,
    pub(crate) kubelet: Reading<()>,
    pub(crate) kubeadm: Reading<bool>,
    pub(crate) lacks: BTreeMap<&'static str, Vec<String>>,
    /// Commits of the memory.
    pub(crate) commits: usize,
    made: u64,
}

/// A manifest as kubeadm writes it; `flag` is what an operator changes.
pub(crate) fn manifest(file: &str, flag: &str) -> String {
    let component = file.trim_end_matches(".yaml");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {component}\n  namespace: kube-system\n  \
         labels: {{component: {component}, tier: control-plane}}\nspec:\n  hostNetwork: true\n  \
         containers:\n  - name: {component}\n    image: registry.k8s.io/{component}:v1\n    \
         command: [{component}, --flag={flag}]\n"
    )
}

pub(crate) fn wall() -> Timestamp {
    "2026-11-25T18:00:00Z".parse().unwrap()
}

/// The content as the adapter sees it.
pub(crate) fn content(file: &str, text: &str) -> FileSeen {
    let document = serde_saphyr::from_str::<serde_json::Value>(text).ok();
    FileSeen::of(file, text.as_bytes(), document, "Node1")
}

impl Node {
    /// A node of kubeadm's whose files are all proven.
    pub(crate) fn proven(files: &[&str]) -> Self {
        let mut node = Self::new();
        for file in files {
            node.write(file, &manifest(file, "a"));
            node.run(file, Does::Serve);
        }
        node.turns(15);
        for file in files {
            assert!(node.good(file).is_some(), "{file} is proven");
            assert_eq!(node.file(file).wrong, None);
        }
        node
    }

    pub(crate) fn new() -> Self {
        Self {
            seen: GuardSeen {
                boot_id: "boot-1".to_owned(),
                files: Reading::Known(BTreeMap::new()),
                runtime: Reading::Known(RuntimeView::default()),
                probes: Arc::default(),
                copies: Reading::Known(BTreeMap::new()),
            },
            memory: GuardMemory::default(),
            policy: GuardPolicy {
                ready: Duration::from_secs(10),
                wedged_after: Duration::from_secs(120),
            },
            now: Moment(1_000_000),
            asker: Asker::Automatic,
            assessment: Assessment::default(),
            held: None,
            kubelet: Reading::Known(()),
            kubeadm: Reading::Known(false),
            lacks: BTreeMap::new(),
            commits: 0,
            made: 0,
        }
    }

    pub(crate) fn files(&mut self) -> &mut BTreeMap<String, FileSeen> {
        let Reading::Known(files) = &mut self.seen.files else {
            panic!("the directory is silent")
        };
        files
    }

    pub(crate) fn runtime(&mut self) -> &mut RuntimeView {
        let Reading::Known(runtime) = &mut self.seen.runtime else {
            panic!("containerd is silent")
        };
        runtime
    }

    /// Puts a content there; the kubelet has not noticed yet.
    pub(crate) fn write(&mut self, file: &str, text: &str) {
        let content = content(file, text);
        self.files().insert(file.to_owned(), content);
    }

    pub(crate) fn remove(&mut self, file: &str) {
        self.files().insert(file.to_owned(), FileSeen::Absent);
    }

    /// The kubelet stops the pod of this file.
    pub(crate) fn stop(&mut self, file: &str) {
        let name = format!("{}-node1", file.trim_end_matches(".yaml"));
        self.runtime().sandboxes.retain(|one| one.pod.name != name);
    }

    /// The kubelet has stopped what ran of this file, and runs what it is now.
    pub(crate) fn run(&mut self, file: &str, does: Does) {
        self.stop(file);
        self.made += 1;
        let component = file.trim_end_matches(".yaml");
        let pod = PodRef {
            namespace: "kube-system".to_owned(),
            name: format!("{component}-node1"),
            uid: format!("uid-{}", self.made),
        };
        let task = match does {
            Does::Serve => TaskState::Running,
            Does::Crash => TaskState::Exited(1),
        };
        let sandbox = Sandbox {
            id: format!("sandbox-{}", self.made),
            pod: pod.clone(),
            running: true,
            checkpoint: None,
            containers: vec![ContainerSeen {
                id: format!("container-{}", self.made),
                name: component.to_owned(),
                task,
                pid: 1,
            }],
        };
        self.runtime().sandboxes.push(sandbox);
        let probes = Arc::make_mut(&mut self.seen.probes);
        if does == Does::Serve {
            probes.insert(pod, Probe::Passing);
        }
    }

    /// One look; carries out what it asks for.
    pub(crate) fn turn(&mut self) -> GuardTurn {
        let done = turn(&self.seen, &self.memory, &self.policy, self.now, wall());
        self.commits += usize::from(done.next != self.memory);
        self.memory = done.next.clone();
        for step in &done.steps {
            self.carry_out(step);
        }
        done
    }

    fn carry_out(&mut self, step: &GuardStep) {
        let files = self.seen.files.known().cloned().unwrap_or_default();
        let Reading::Known(copies) = &mut self.seen.copies else {
            panic!("{step:?} while the copies are not known")
        };
        match step {
            GuardStep::Keep { file, digest } => {
                let Some(FileSeen::Pod(pod)) = files.get(file) else {
                    panic!("{step:?} of what is no pod")
                };
                assert_eq!(pod.digest, *digest);
                let facts = CopyFacts {
                    meaning: pod.meaning.clone(),
                    kept_at: wall(),
                    part: pod.part,
                    mode: 0o600,
                    uid: 0,
                    gid: 0,
                    needs: Vec::new(),
                };
                let of = copies.entry(file.clone()).or_default();
                of.insert(digest.clone(), facts);
            }
            GuardStep::Drop { file, digest } => {
                let kept = &self.memory.files[file];
                assert!(kept.all_good().all(|good| good.digest != *digest));
                copies.get_mut(file).unwrap().remove(digest);
            }
        }
    }

    /// `count` looks, one each second.
    pub(crate) fn turns(&mut self, count: u64) {
        for _ in 0..count {
            self.turn();
            self.now = self.now.after(Duration::from_secs(1));
        }
    }

    pub(crate) fn good(&self, file: &str) -> Option<String> {
        let good = self.memory.files.get(file)?.good.as_ref()?;
        Some(good.digest.clone())
    }

    pub(crate) fn digest(text: &str) -> String {
        let FileSeen::Pod(pod) = content(API, text) else {
            panic!("no pod: {text}")
        };
        pod.digest
    }

    /// How this file stands.
    pub(crate) fn file(&mut self, file: &str) -> FileReport {
        let mut all = self.reports().into_iter();
        all.find(|report| report.file == file)
            .unwrap_or_else(|| panic!("{file} is reported"))
    }

    pub(crate) fn reports(&mut self) -> Vec<FileReport> {
        let mut files = self.turn().files;
        for file in &mut files {
            if let Some(lacks) = self.lacks.get(file.file.as_str()) {
                file.lacks.clone_from(lacks);
            }
        }
        files
    }

    /// The control plane is lost in these ways, confirmed.
    pub(crate) fn lost(&mut self, losses: &[Loss]) {
        let since = self.now;
        let seen = losses.iter().map(|loss| LossSeen {
            loss: *loss,
            since,
            due: since,
            confirmed: true,
            evidence: Vec::new(),
        });
        self.assessment = Assessment {
            condition: Condition::Lost,
            losses: seen.collect(),
            ..Assessment::default()
        };
    }

    pub(crate) fn restores(&mut self) -> Restores {
        let files = self.reports();
        restores(
            &files,
            &Situation {
                asker: self.asker,
                assessment: &self.assessment,
                held: self.held,
                kubelet: &self.kubelet,
                kubeadm: &self.kubeadm,
            },
        )
    }

    /// Names of the files that would be put back.
    pub(crate) fn restored(&mut self) -> BTreeSet<String> {
        let files = self.restores().files.into_iter();
        files.map(|restore| restore.file).collect()
    }

    pub(crate) fn power_cut(&mut self) {
        self.seen.boot_id.push('+');
        self.now = Moment(20_000);
        self.seen.runtime = Reading::Known(RuntimeView::default());
        self.seen.probes = Arc::default();
    }
}
