//! Images in the kubelet's namespace: proof that one could be started with no registry, pinning
//! against the kubelet's garbage collection, and what our own engine needs of one.

use std::collections::{BTreeSet, HashMap};

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::snapshots::StatSnapshotRequest;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::{
    GetImageRequest, Image, ListImagesRequest, ReadContentRequest, UpdateImageRequest,
};
use containerd_client::tonic::Code;
use prost_types::FieldMask;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::view::KIND;
use super::{Containerd, Error, found, normalised};
use crate::core::manifest::names::hex;
use crate::core::observed::{ImagePresence, TaskState};

/// Source: containerd 1.6 `pkg/cri/labels`, and kubelet 1.29 `images/image_gc_manager.go`.
const PINNED: &str = "io.cri-containerd.pinned";
/// The snapshotter whose unpacked images count.
pub(crate) const SNAPSHOTTER: &str = "overlayfs";
/// Largest index, manifest or configuration that is read, bytes.
const BLOB_LIMIT: i64 = 4 << 20;

/// What our own engine needs to know of an image.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// Key of the snapshot that holds its whole file system.
    pub(crate) chain: String,
    /// What it says of the process.
    pub(crate) process: ImageProcess,
}

/// The `config` of an image's configuration.
///
/// Source: OCI image specification 1.0, `config.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ImageProcess {
    /// User, as text.
    #[serde(rename = "User")]
    pub user: String,
    /// Environment, `NAME=value`.
    #[serde(rename = "Env", deserialize_with = "none_is_empty")]
    pub env: Vec<String>,
    /// Entry point.
    #[serde(rename = "Entrypoint", deserialize_with = "none_is_empty")]
    pub entrypoint: Vec<String>,
    /// Default arguments.
    #[serde(rename = "Cmd", deserialize_with = "none_is_empty")]
    pub cmd: Vec<String>,
    /// Working directory.
    #[serde(rename = "WorkingDir")]
    pub working_dir: String,
}

fn none_is_empty<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: i64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Option<ImageProcess>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// An image as far as it is there.
enum Walked {
    Whole(Box<(Manifest, Configuration)>),
    Missing(String),
}

impl Containerd {
    /// The digest that `reference` stands for here; `None`: no such image.
    pub async fn image_digest(&self, reference: &str) -> Result<Option<String>, Error> {
        let image = self.image(reference).await?;
        Ok(image
            .and_then(|image| image.target)
            .map(|target| target.digest))
    }

    /// Whether `reference` could be started here without a registry.
    pub async fn image_presence(&self, reference: &str) -> Result<ImagePresence, Error> {
        let Some(image) = self.image(reference).await? else {
            let name = normalised(reference);
            return Ok(ImagePresence::Missing(format!(
                "{name} is not in containerd"
            )));
        };
        let (manifest, configuration) = match self.walk(&image).await? {
            Walked::Whole(parts) => *parts,
            Walked::Missing(what) => return Ok(ImagePresence::Missing(what)),
        };
        if !self
            .is_unpacked(&chain_id(&configuration.rootfs.diff_ids))
            .await?
        {
            for layer in &manifest.layers {
                if !self.has_blob(layer).await? {
                    let what = format!("layer {} of {} is gone", layer.digest, image.name);
                    return Ok(ImagePresence::Missing(what));
                }
            }
        }
        let pinned = image.labels.get(PINNED).is_some_and(|v| v == "pinned");
        Ok(if pinned {
            ImagePresence::Proven
        } else {
            ImagePresence::Unpinned
        })
    }

    /// Pins an image under every name that containerd has for it. Other labels stay: the update is
    /// of this one label.
    pub async fn pin_image(&self, reference: &str) -> Result<(), Error> {
        let missing = Error::NotFound { call: "Images.Get" };
        let image = self.image(reference).await?.ok_or(missing)?;
        let digest = image.target.as_ref().map_or("", |t| t.digest.as_str());
        let mut names = BTreeSet::from([image.name.clone()]);
        let message = ListImagesRequest {
            filters: vec![format!("target.digest==\"{digest}\"")],
        };
        let namespace = self.config().cri_namespace.as_str();
        let list = self.call(
            "Images.List",
            namespace,
            message,
            async |channel, request| ImagesClient::new(channel).list(request).await,
        );
        names.extend(list.await?.images.into_iter().map(|image| image.name));
        for name in names {
            let message = UpdateImageRequest {
                image: Some(Image {
                    name,
                    labels: HashMap::from([(PINNED.to_owned(), "pinned".to_owned())]),
                    target: image.target.clone(),
                    ..Image::default()
                }),
                update_mask: Some(FieldMask {
                    paths: vec![format!("labels.{PINNED}")],
                }),
                source_date_epoch: None,
            };
            let update = self.call(
                "Images.Update",
                namespace,
                message,
                async |channel, request| ImagesClient::new(channel).update(request).await,
            );
            found(update.await)?;
        }
        Ok(())
    }

    /// The image of the sandboxes that run here, if any does: the pause image that must stay.
    pub async fn sandbox_image(&self) -> Result<Option<String>, Error> {
        let namespace = &self.config().cri_namespace;
        let listing = self.list(namespace).await?;
        let sandboxes = listing.values().filter(|r| r.label(KIND) == "sandbox");
        let newest = sandboxes.max_by_key(|record| record.task == TaskState::Running);
        Ok(newest.map(|record| record.image.clone()))
    }

    /// What our own engine needs of an image; the sentence says what is missing.
    pub(crate) async fn resolve(&self, reference: &str) -> Result<Result<Resolved, String>, Error> {
        let Some(image) = self.image(reference).await? else {
            return Ok(Err(format!("image {} is not here", normalised(reference))));
        };
        let configuration = match self.walk(&image).await? {
            Walked::Whole(parts) => parts.1,
            Walked::Missing(what) => return Ok(Err(what)),
        };
        let chain = chain_id(&configuration.rootfs.diff_ids);
        if !self.is_unpacked(&chain).await? {
            return Ok(Err(format!(
                "image {} is here, but not unpacked",
                image.name
            )));
        }
        Ok(Ok(Resolved {
            chain,
            process: configuration.config.unwrap_or_default(),
        }))
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, Error> {
        let message = GetImageRequest {
            name: normalised(reference),
        };
        let namespace = &self.config().cri_namespace;
        let image = self.call(
            "Images.Get",
            namespace,
            message,
            async |channel, request| ImagesClient::new(channel).get(request).await,
        );
        Ok(found(image.await)?.and_then(|answer| answer.image))
    }

    /// Index, manifest of this machine's platform, configuration: each really read.
    async fn walk(&self, image: &Image) -> Result<Walked, Error> {
        let target = image.target.clone().unwrap_or_default();
        let mut at = Descriptor {
            media_type: target.media_type,
            digest: target.digest,
            size: target.size,
            platform: None,
        };
        if is_index(&at.media_type) {
            let Some(index) = self.document::<Index>(&at).await? else {
                return Ok(gone("index", &at, image));
            };
            let Some(here) = index.manifests.into_iter().find(is_ours) else {
                let what = format!("{} has no manifest for this platform", image.name);
                return Ok(Walked::Missing(what));
            };
            at = here;
        }
        let Some(manifest) = self.document::<Manifest>(&at).await? else {
            return Ok(gone("manifest", &at, image));
        };
        match self.document(&manifest.config).await? {
            Some(configuration) => Ok(Walked::Whole(Box::new((manifest, configuration)))),
            None => Ok(gone("configuration", &manifest.config, image)),
        }
    }

    async fn document<T: DeserializeOwned>(&self, at: &Descriptor) -> Result<Option<T>, Error> {
        if at.size > BLOB_LIMIT {
            return Err(Error::unreadable("Content.Read", "the blob is too large"));
        }
        let Some(bytes) = self.blob(&at.digest, 0, 0).await? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes);
        value
            .map(Some)
            .map_err(|e| Error::unreadable("Content.Read", e))
    }

    /// The blob is on disk with its full length: its last byte is read.
    async fn has_blob(&self, at: &Descriptor) -> Result<bool, Error> {
        let last = self.blob(&at.digest, (at.size - 1).max(0), 1).await?;
        Ok(last.is_some_and(|bytes| bytes.len() == 1 || at.size == 0))
    }

    /// Part of a blob (`size` 0: all of it), `None` where it is gone.
    async fn blob(&self, digest: &str, offset: i64, size: i64) -> Result<Option<Vec<u8>>, Error> {
        let message = ReadContentRequest {
            digest: digest.to_owned(),
            offset,
            size,
        };
        let namespace = &self.config().cri_namespace;
        let stream = self.call(
            "Content.Read",
            namespace,
            message,
            async |channel, request| ContentClient::new(channel).read(request).await,
        );
        let Some(mut stream) = found(stream.await)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        loop {
            let part = tokio::time::timeout(self.config().call_deadline, stream.message()).await;
            let part = part.map_err(|_| Error::TimedOut {
                call: "Content.Read",
                after: self.config().call_deadline,
            })?;
            match part.map_err(|status| Error::status("Content.Read", &status)) {
                Ok(Some(part)) => bytes.extend(part.data),
                Ok(None) => return Ok(Some(bytes)),
                // Out of range: a blob that is shorter than its descriptor says.
                Err(
                    Error::NotFound { .. }
                    | Error::Refused {
                        code: Code::OutOfRange,
                        ..
                    },
                ) => return Ok(None),
                Err(error) => return Err(error),
            }
            if i64::try_from(bytes.len()).unwrap_or(i64::MAX) > BLOB_LIMIT {
                return Err(Error::unreadable("Content.Read", "the blob is too large"));
            }
        }
    }

    async fn is_unpacked(&self, chain: &str) -> Result<bool, Error> {
        let message = StatSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: chain.to_owned(),
        };
        let namespace = &self.config().cri_namespace;
        let stat = self.call(
            "Snapshots.Stat",
            namespace,
            message,
            async |channel, request| SnapshotsClient::new(channel).stat(request).await,
        );
        Ok(found(stat.await)?.is_some())
    }
}

fn gone(what: &str, at: &Descriptor, image: &Image) -> Walked {
    Walked::Missing(format!("{what} {} of {} is gone", at.digest, image.name))
}

fn is_index(media_type: &str) -> bool {
    media_type.contains("image.index") || media_type.contains("manifest.list")
}

/// Made for this machine, as far as the manifest says.
fn is_ours(manifest: &Descriptor) -> bool {
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let platform = manifest.platform.as_ref();
    platform.is_none_or(|p| p.os == "linux" && p.architecture == here)
}

/// The key under which a chain of layers is unpacked.
///
/// Source: OCI image specification 1.0, `config.md`, section on layer chains.
#[must_use]
pub(crate) fn chain_id(diff_ids: &[String]) -> String {
    let mut ids = diff_ids.iter();
    let mut chain = ids.next().cloned().unwrap_or_default();
    for id in ids {
        let digest = Sha256::digest(format!("{chain} {id}").as_bytes());
        chain = format!("sha256:{}", hex(&digest));
    }
    chain
}
