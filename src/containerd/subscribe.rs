//! containerd's event stream, and the id of the container that an event is about.

use std::time::Duration;

use containerd_client::events::TaskPaused;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::tonic::Streaming;
use containerd_client::types::Envelope;
use prost_types::Any;
use tokio::time::{interval, timeout};

use super::{Containerd, Error, in_namespace};

/// Our own event, published to learn that the subscription stands.
const MARK: &str = "/rekindle/listening";
/// How often it is published until it comes back.
const MARK_PERIOD: Duration = Duration::from_millis(20);

/// A stream of changes of images.
#[derive(Debug)]
pub struct ImageEvents {
    stream: Streaming<Envelope>,
}

impl ImageEvents {
    /// Waits for the next change.
    ///
    /// # Errors
    /// Where the stream has ended: what changed since is not known.
    pub async fn changed(&mut self) -> Result<(), Error> {
        loop {
            let event = self.stream.message().await;
            let event = event.map_err(|status| Error::status("Events.Subscribe", &status))?;
            match event {
                Some(event) if event.topic == MARK => {}
                Some(_) => return Ok(()),
                None => {
                    return Err(Error::Unreadable {
                        call: "Events.Subscribe",
                        cause: "the stream ended".to_owned(),
                    });
                }
            }
        }
    }
}

impl Containerd {
    /// The events of containers and tasks in `namespace`. Events that happen after this returns
    /// are all in the stream.
    ///
    /// containerd sends no headers before the first event, so an event of our own is published
    /// until it arrives; only then is it certain that a listing made now misses nothing.
    pub(crate) async fn subscribe(&self, namespace: &str) -> Result<Streaming<Envelope>, Error> {
        self.subscribe_to(namespace, "containers|tasks").await
    }

    /// Tells when an image of the kubelet's namespace comes, goes or changes.
    pub async fn image_events(&self) -> Result<ImageEvents, Error> {
        let stream = self
            .subscribe_to(&self.config().cri_namespace, "images")
            .await?;
        Ok(ImageEvents { stream })
    }

    async fn subscribe_to(&self, namespace: &str, of: &str) -> Result<Streaming<Envelope>, Error> {
        let deadline = self.config().call_deadline;
        let opened = timeout(deadline, self.open_stream(namespace, of)).await;
        let opened = opened.unwrap_or(Err(Error::TimedOut {
            call: "Events.Subscribe",
            after: deadline,
        }));
        if opened.as_ref().is_err_and(Error::is_transport) {
            self.forget_connection().await;
        }
        opened
    }

    async fn open_stream(&self, namespace: &str, of: &str) -> Result<Streaming<Envelope>, Error> {
        let filters = vec![
            format!("namespace==\"{namespace}\",topic~=\"^/({of})/\""),
            format!("namespace==\"{namespace}\",topic==\"{MARK}\""),
        ];
        let request = in_namespace("Events.Subscribe", namespace, SubscribeRequest { filters })?;
        let mut client = EventsClient::new(self.channel().await?);
        let mut marks = client.clone();
        let opening = client.subscribe(request);
        tokio::pin!(opening);
        let mut period = interval(MARK_PERIOD);
        loop {
            tokio::select! {
                stream = &mut opening => {
                    let stream = stream.map_err(|s| Error::status("Events.Subscribe", &s))?;
                    return Ok(stream.into_inner());
                }
                _ = period.tick() => {
                    let mark = PublishRequest {
                        topic: MARK.to_owned(),
                        event: Some(Any {
                            type_url: "rekindle.dev/listening".to_owned(),
                            value: Vec::new(),
                        }),
                    };
                    let mark = in_namespace("Events.Publish", namespace, mark)?;
                    let said = marks.publish(mark).await;
                    said.map_err(|s| Error::status("Events.Publish", &s))?;
                }
            }
        }
    }
}

/// The container that an event is about: every event of containers and tasks has its id in field 1.
///
/// Source: containerd 1.6 `api/events/{container,task}.proto`.
pub(super) fn container_of(envelope: &Envelope) -> Option<String> {
    if envelope.topic == MARK {
        return None;
    }
    let any = Any {
        type_url: "/containerd.events.TaskPaused".to_owned(),
        value: envelope.event.as_ref()?.value.clone(),
    };
    let id = any.to_msg::<TaskPaused>().ok()?.container_id;
    (!id.is_empty()).then_some(id)
}
