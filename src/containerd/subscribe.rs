//! containerd's event stream, and what an event is about.

use std::time::Duration;

use containerd_client::events::{TaskExit, TaskPaused, TaskStart};
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::tonic::Streaming;
use containerd_client::types::Envelope;
use prost::Message;
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

/// What an event of containers and tasks is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happened {
    /// The container's id.
    pub(super) id: String,
    /// What became of its task, where the event says so. It is believed at once and asked about
    /// afterwards: a shim that is just ending its task takes its time to answer.
    pub(super) task: Option<TaskEvent>,
}

/// What an event says of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskEvent {
    /// It runs, as this process.
    Started(u32),
    /// This process of it, its first one, has ended with this status.
    Exited(u32, u32),
    /// It is frozen.
    Paused,
    /// It is thawed.
    Resumed,
}

/// Reads an event; `None` where it is about no container.
///
/// Source: containerd 1.6 `api/events/{container,task}.proto`. Every one of them has the
/// container's id in field 1; a [`TaskExit`] is also sent for each process that was executed in it.
pub(super) fn happened(envelope: &Envelope) -> Option<Happened> {
    if envelope.topic == MARK {
        return None;
    }
    let value = envelope.event.as_ref()?.value.as_slice();
    let id = TaskPaused::decode(value).ok()?.container_id;
    if id.is_empty() {
        return None;
    }
    let task = match envelope.topic.as_str() {
        "/tasks/start" => TaskStart::decode(value)
            .ok()
            .map(|it| TaskEvent::Started(it.pid)),
        "/tasks/exit" => TaskExit::decode(value)
            .ok()
            .filter(|it| it.id == id)
            .map(|it| TaskEvent::Exited(it.pid, it.exit_status)),
        "/tasks/paused" => Some(TaskEvent::Paused),
        "/tasks/resumed" => Some(TaskEvent::Resumed),
        _ => None,
    };
    Some(Happened { id, task })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str, message: &impl Message) -> Option<Happened> {
        happened(&Envelope {
            topic: topic.to_owned(),
            event: Some(Any {
                type_url: String::new(),
                value: message.encode_to_vec(),
            }),
            ..Envelope::default()
        })
    }

    fn exit(id: &str) -> TaskExit {
        TaskExit {
            container_id: "c".to_owned(),
            id: id.to_owned(),
            pid: 7,
            exit_status: 137,
            exited_at: None,
        }
    }

    #[test]
    fn an_exit_is_the_tasks_only_where_its_first_process_has_ended() {
        let first = event("/tasks/exit", &exit("c")).unwrap();
        assert_eq!(first.task, Some(TaskEvent::Exited(7, 137)));
        let probe = event("/tasks/exit", &exit("a-probe")).unwrap();
        assert_eq!((probe.id.as_str(), probe.task), ("c", None));
    }

    #[test]
    fn an_event_that_says_nothing_of_the_task_still_names_its_container() {
        let created = event("/tasks/create", &exit("c")).unwrap();
        assert_eq!((created.id.as_str(), created.task), ("c", None));
        assert_eq!(event(MARK, &exit("c")), None);
        assert_eq!(event("/containers/delete", &TaskPaused::default()), None);
    }
}
