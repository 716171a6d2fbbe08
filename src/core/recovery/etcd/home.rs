//! Where etcd's member of this node runs, read from what starts it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::{Deserialize, Serialize};

use crate::core::recover::command;

/// etcd's own default of `--name`. Source: etcd `embed/config.go`.
const NAME: &str = "default";
/// The program.
const ETCD: &str = "etcd";

/// etcd's member of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// How it is started and stopped.
    pub runs: Runs,
    /// `--name`.
    pub name: String,
    /// Its data directory, on the host.
    pub data_dir: PathBuf,
    /// `--initial-advertise-peer-urls`.
    pub peer_urls: Vec<String>,
    /// `--listen-client-urls`.
    pub client_urls: Vec<String>,
    /// `--initial-cluster`: `NAME=URL,NAME=URL`; empty: not said.
    pub initial_cluster: String,
    /// Its image, where it is a pod.
    pub image: Option<String>,
}

/// How it is started and stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// By the kubelet, from a manifest in its static pod directory.
    StaticPod {
        /// The manifest's name there.
        file: String,
        /// Namespace of the pod.
        namespace: String,
        /// Name of the pod in the manifest, without the node's name behind it.
        pod: String,
    },
    /// By systemd.
    Unit {
        /// Its unit.
        unit: String,
    },
    /// As a checkpoint of ours: a self-hosted etcd.
    SelfHosted {
        /// The checkpoint's manifest.
        file: String,
    },
}

impl Runs {
    /// In words.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::StaticPod { file, .. } => format!("the static pod {file}"),
            Self::Unit { unit } => format!("the unit {unit}"),
            Self::SelfHosted { file } => format!("the checkpoint {file}"),
        }
    }
}

/// What etcd's flags and environment say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags(BTreeMap<String, String>);

impl Flags {
    /// Of `--name=value` words; `environment` of `ETCD_NAME=value` pairs, over which flags win.
    /// Source: etcd `pkg/flags/flag.go`, `SetFlagsFromEnv`.
    pub fn of(
        flags: impl IntoIterator<Item = (String, String)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let named = environment.into_iter().filter_map(|(name, value)| {
            let flag = name.strip_prefix("ETCD_")?;
            Some((flag.to_ascii_lowercase().replace('_', "-"), value))
        });
        let mut all: BTreeMap<String, String> = named.collect();
        all.extend(flags);
        Self(all)
    }

    /// The flags in the words of a command line.
    pub fn of_words(
        words: &[String],
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let container = Container {
            command: Some(words.to_vec()),
            ..Container::default()
        };
        Self::of(command::flags(&container), environment)
    }

    /// The value of a flag, where it has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    fn list(&self, name: &str) -> Vec<String> {
        let value = self.get(name).unwrap_or_default();
        let urls = value.split(',').map(str::trim);
        urls.filter(|url| !url.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The member. `data_dir`: on the host, where the flags do not say it or say it of a
    /// container.
    ///
    /// # Errors
    /// What makes it none that can be restored, in words.
    pub fn home(
        &self,
        runs: Runs,
        data_dir: Option<PathBuf>,
        image: Option<String>,
    ) -> Result<Home, String> {
        if self.get("config-file").is_some() {
            return Err("it is told everything in a file (--config-file)".to_owned());
        }
        if self.get("wal-dir").is_some() {
            return Err("its write-ahead log is kept elsewhere (--wal-dir)".to_owned());
        }
        let data_dir = data_dir.or_else(|| self.get("data-dir").map(PathBuf::from));
        let data_dir = data_dir.filter(|dir| dir.is_absolute());
        let data_dir = data_dir.ok_or("its data directory is not said (--data-dir)")?;
        let peer_urls = self.list("initial-advertise-peer-urls");
        if peer_urls.is_empty() {
            return Err("its peer URLs are not said (--initial-advertise-peer-urls)".to_owned());
        }
        Ok(Home {
            runs,
            name: self.get("name").unwrap_or(NAME).to_owned(),
            data_dir,
            peer_urls,
            client_urls: self.list("listen-client-urls"),
            initial_cluster: self.get("initial-cluster").unwrap_or_default().to_owned(),
            image,
        })
    }
}

/// The container of `pod` that runs etcd.
#[must_use]
pub fn container_of(pod: &Pod) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.iter().find(|container| {
        let first = command::words(container).next();
        match first {
            Some(word) if !word.starts_with('-') => {
                word.rsplit('/').next() == Some(ETCD)
                    // A shell: etcd is one of the words of its script.
                    || command::words(container).any(|word| word == ETCD || word.ends_with("/etcd"))
            }
            // The image's own entry point.
            _ => {
                let image = container.image.as_deref().unwrap_or_default();
                let name = image.split('@').next().and_then(|it| it.rsplit('/').next());
                name.and_then(|name| name.split(':').next()) == Some(ETCD)
            }
        }
    })
}

/// etcd's member that the static pod `pod` of the manifest `file` runs; `None`: it runs none.
///
/// # Errors
/// What makes it none that can be restored, in words.
#[must_use]
pub fn of_pod(file: &str, ours: bool, pod: &Pod) -> Option<Result<Home, String>> {
    let container = container_of(pod)?;
    let environment = container.env.iter().flatten();
    let environment = environment.filter_map(|env| Some((env.name.clone(), env.value.clone()?)));
    let flags = Flags::of(command::flags(container), environment);
    let file = file.to_owned();
    let namespace = pod.metadata.namespace.clone();
    let runs = if ours {
        Runs::SelfHosted { file }
    } else {
        Runs::StaticPod {
            file,
            // Source: kubelet `pkg/kubelet/config/common.go`, `applyDefaults`.
            namespace: namespace.unwrap_or_else(|| "default".to_owned()),
            pod: pod.metadata.name.clone().unwrap_or_default(),
        }
    };
    let data_dir = match flags.get("data-dir") {
        None => return Some(Err("its data directory is not said (--data-dir)".to_owned())),
        Some(inside) => host_path(pod, container, Path::new(inside)),
    };
    let Some(data_dir) = data_dir else {
        let why = "its data directory is in no directory of the host (hostPath)";
        return Some(Err(why.to_owned()));
    };
    Some(flags.home(runs, Some(data_dir), container.image.clone()))
}

/// Where the host has the path `inside` of a container.
fn host_path(pod: &Pod, container: &Container, inside: &Path) -> Option<PathBuf> {
    let mounts = container.volume_mounts.iter().flatten();
    // The deepest mount above it is what is seen there.
    let mount = mounts
        .filter(|mount| inside.starts_with(&mount.mount_path))
        .max_by_key(|mount| Path::new(&mount.mount_path).components().count())?;
    let volumes = pod.spec.as_ref()?.volumes.iter().flatten();
    let mut named = volumes.filter(|volume| volume.name == mount.name);
    let host = named.next()?.host_path.as_ref()?;
    let mut path = PathBuf::from(&host.path);
    path.extend(mount.sub_path.as_ref().map(Path::new));
    let below = inside.strip_prefix(&mount.mount_path).ok()?;
    if below.as_os_str().is_empty() {
        return Some(path);
    }
    Some(path.join(below))
}

impl Home {
    /// The address under which this node's member is asked: the first of `configured` that it
    /// listens on, else one of its own.
    #[must_use]
    pub fn endpoint(&self, configured: &[String]) -> Option<String> {
        let mine = |url: &&String| self.listens_on(url);
        let own = || {
            let loopback = self.client_urls.iter().find(|url| {
                host_port(url).is_some_and(|(host, _)| matches!(host, "127.0.0.1" | "localhost"))
            });
            let own = loopback.or(self.client_urls.first())?;
            Some(own.replace("://0.0.0.0", "://127.0.0.1"))
        };
        configured.iter().find(mine).cloned().or_else(own)
    }

    /// The client address `url` is one of this member.
    #[must_use]
    pub fn listens_on(&self, url: &str) -> bool {
        let Some((host, port)) = host_port(url) else {
            return false;
        };
        let local = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
        // Where it does not say, what is asked on loopback is this node's.
        (self.client_urls.is_empty() && local)
            || self
                .client_urls
                .iter()
                .filter_map(|own| host_port(own))
                .any(|(own_host, own_port)| {
                    own_port == port
                        && (own_host == host
                            || (local
                                && matches!(
                                    own_host,
                                    "0.0.0.0" | "[::]" | "127.0.0.1" | "localhost"
                                )))
                })
    }

    /// Names and peer URLs of `--initial-cluster`, this member's own left out.
    #[must_use]
    pub fn others(&self) -> Vec<(String, String)> {
        let entries = self.initial_cluster.split(',');
        let pairs = entries.filter_map(|entry| entry.split_once('='));
        pairs
            .filter(|(name, url)| {
                *name != self.name && !self.peer_urls.iter().any(|own| own == url)
            })
            .map(|(name, url)| (name.to_owned(), url.to_owned()))
            .collect()
    }

    /// Client addresses that the other members may have: their peers' hosts with this member's
    /// client port, as everybody sets etcd up. Only to be asked, never to be believed.
    #[must_use]
    pub fn guessed_clients(&self) -> Vec<String> {
        let own = self.client_urls.iter().find_map(|url| {
            let (scheme, _) = url.split_once("://")?;
            Some((scheme, host_port(url)?.1))
        });
        let Some((scheme, port)) = own else {
            return Vec::new();
        };
        let others = self.others().into_iter();
        others
            .filter_map(|(_, url)| {
                let (host, _) = host_port(&url)?;
                Some(format!("{scheme}://{host}:{port}"))
            })
            .filter(|url| !self.listens_on(url))
            .collect()
    }
}

/// Host and port of a URL; brackets of an address stay.
#[must_use]
pub fn host_port(url: &str) -> Option<(&str, u16)> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split('/').next()?;
    let (host, port) = rest.rsplit_once(':')?;
    Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}
