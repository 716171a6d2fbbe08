//! An S3-compatible store. Every request has a deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hyper::body::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig,
};

use super::credentials::FileCredentials;
use super::http::{Connector, Skew};
use super::s3_error;
use super::settings::S3Settings;
use super::{LISTED, Object, Put, StoreError};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How much longer than a small request the sending of a part may take.
const PART: u32 = 10;

/// One bucket below one prefix.
#[derive(Debug)]
pub(super) struct S3 {
    store: AmazonS3,
    credentials: Arc<FileCredentials>,
    skew: Skew,
    prefix: Path,
    place: String,
    deadline: Duration,
}

impl S3 {
    /// Opens it without a request.
    pub(super) fn open(settings: &S3Settings) -> Result<Self, StoreError> {
        let endpoint = settings.endpoint.trim_end_matches('/');
        let place = format!("{endpoint}/{}", settings.bucket);
        let unusable = |why: String| StoreError::Settings {
            place: place.clone(),
            why,
        };
        let skew = Skew::unknown();
        let connect = CONNECT.min(settings.deadline);
        let connector = Connector::new(settings.ca_file.as_deref(), connect, skew.clone());
        let credentials = Arc::new(FileCredentials::new(&settings.credentials_file));
        let (scheme, host) = endpoint
            .split_once("://")
            .filter(|(scheme, _)| ["http", "https"].contains(scheme))
            .ok_or_else(|| unusable("the endpoint is no http or https URL".to_owned()))?;
        // With the bucket in the host name, the client wants it there.
        let endpoint = if settings.path_style {
            endpoint.to_owned()
        } else {
            format!("{scheme}://{}.{host}", settings.bucket)
        };
        let provider: object_store::aws::AwsCredentialProvider = Arc::clone(&credentials) as _;
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_region(&settings.region)
            .with_bucket_name(&settings.bucket)
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_allow_http(scheme == "http")
            .with_credentials(provider)
            .with_client_options(ClientOptions::new())
            .with_http_connector(connector.map_err(&unusable)?)
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: 2,
                retry_timeout: settings.deadline,
            })
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            store,
            credentials,
            skew,
            prefix: Path::from(settings.prefix.as_str()),
            place,
            deadline: settings.deadline,
        })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn at(&self, name: &str) -> Path {
        let mut path = self.prefix.clone();
        for part in name.split('/') {
            path = path.join(part);
        }
        path
    }

    /// Waits for `answer`, at most so many deadlines.
    async fn within<T>(
        &self,
        doing: &'static str,
        deadlines: u32,
        answer: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        let limit = self.deadline.saturating_mul(deadlines);
        // Asked here too, so that a file that cannot be read is told as what it is.
        let read = self.credentials.current();
        if let Err(source) = read {
            let place = self.place.clone();
            return Err(StoreError::Credentials { place, source });
        }
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(s3_error::tell(&self.place, &self.skew, &error)),
            Err(_) => Err(StoreError::Late {
                place: self.place.clone(),
                doing,
                seconds: limit.as_secs(),
            }),
        }
    }

    /// [`Self::within`] where that something is missing is an answer.
    async fn perhaps<T>(
        &self,
        doing: &'static str,
        answer: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, StoreError> {
        let answer = async {
            match answer.await {
                Err(error @ object_store::Error::NotFound { .. })
                    if !s3_error::is_no_bucket(&error) =>
                {
                    Ok(None)
                }
                other => other.map(Some),
            }
        };
        self.within(doing, 1, answer).await
    }

    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        only_new: bool,
    ) -> Result<Put, StoreError> {
        let options = PutOptions::from(if only_new {
            PutMode::Create
        } else {
            PutMode::Overwrite
        });
        let (path, payload) = (self.at(name), PutPayload::from(bytes));
        let put = async {
            match self.store.put_opts(&path, payload, options).await {
                Ok(_) => Ok(Put::Created),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
                Err(error) => Err(error),
            }
        };
        self.within("putting an object", PART, put).await
    }

    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.at(name);
        let found = self.perhaps("asking for an object", self.store.head(&path));
        Ok(found.await?.map(|meta| meta.size))
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<S3Body>, StoreError> {
        let path = self.at(name);
        let answer = self.store.get_opts(&path, GetOptions::default());
        let Some(found) = self.perhaps("getting an object", answer).await? else {
            return Ok(None);
        };
        Ok(Some(S3Body {
            size: found.meta.size,
            stream: found.into_stream(),
        }))
    }

    pub(super) async fn next(&self, body: &mut S3Body) -> Result<Option<Bytes>, StoreError> {
        let next = async { body.stream.next().await.transpose() };
        self.within("getting an object", 1, next).await
    }

    pub(super) async fn begin(&self, name: &str) -> Result<String, StoreError> {
        let path = self.at(name);
        self.within("beginning an upload", 1, self.store.create_multipart(&path))
            .await
    }

    pub(super) async fn put_part(
        &self,
        name: &str,
        upload: &str,
        index: usize,
        bytes: Bytes,
    ) -> Result<String, StoreError> {
        let (path, upload) = (self.at(name), upload.to_owned());
        let payload = PutPayload::from(bytes);
        let put = self.store.put_part(&path, &upload, index, payload);
        Ok(self.within("sending a part", PART, put).await?.content_id)
    }

    pub(super) async fn complete(
        &self,
        name: &str,
        upload: &str,
        parts: Vec<String>,
    ) -> Result<(), StoreError> {
        let (path, upload) = (self.at(name), upload.to_owned());
        let parts = parts.into_iter().map(|content_id| PartId { content_id });
        let done = self
            .store
            .complete_multipart(&path, &upload, parts.collect());
        // The store may put the parts together only now.
        self.within("completing an upload", PART, done).await?;
        Ok(())
    }

    pub(super) async fn abort(&self, name: &str, upload: &str) -> Result<(), StoreError> {
        let (path, upload) = (self.at(name), upload.to_owned());
        let gone = self.store.abort_multipart(&path, &upload);
        match self.within("aborting an upload", 1, gone).await {
            Err(StoreError::UploadGone { .. }) => Ok(()),
            other => other,
        }
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.at(name);
        let gone = self.store.delete(&path);
        self.perhaps("deleting an object", gone).await.map(drop)
    }

    pub(super) async fn list(&self, under: &str) -> Result<Vec<Object>, StoreError> {
        let below = match under {
            "" => self.prefix.clone(),
            under => self.at(under),
        };
        let mut listing = self.store.list(Some(&below));
        let mut objects = Vec::new();
        loop {
            let next = async { listing.next().await.transpose() };
            let Some(meta) = self.within("listing objects", 1, next).await? else {
                return Ok(objects);
            };
            if objects.len() >= LISTED {
                return Err(StoreError::Other {
                    place: self.place.clone(),
                    said: format!("more than {LISTED} objects below {below}"),
                });
            }
            let Some(rest) = meta.location.prefix_match(&self.prefix) else {
                continue;
            };
            let parts: Vec<String> = rest.map(|part| part.as_ref().to_owned()).collect();
            objects.push(Object {
                name: parts.join("/"),
                bytes: meta.size,
            });
        }
    }
}

/// An object that is being read.
pub(super) struct S3Body {
    pub(super) size: u64,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
}

impl std::fmt::Debug for S3Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Body")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
