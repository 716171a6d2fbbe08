//! One namespace's containers and their tasks, as far as anybody here needs them. The containers'
//! OCI specs are not kept: they are by far the largest part of what containerd stores.

use std::collections::{BTreeMap, HashMap};

pub(super) use containerd_client::services::v1::Container;
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    GetContainerRequest, GetRequest, ListContainersRequest, ListTasksRequest,
};
pub(super) use containerd_client::types::v1::Process;
use containerd_client::types::v1::Status;
use serde::Deserialize;
use tokio::time::timeout;

use super::subscribe::TaskEvent;
use super::{Containerd, Error, found, in_namespace};
use crate::core::observed::TaskState;

/// Containers of one namespace, by id.
pub(crate) type Listing = BTreeMap<String, Record>;

/// One container and its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its labels.
    pub(crate) labels: HashMap<String, String>,
    /// Name of its image.
    pub(crate) image: String,
    /// Sandbox it belongs to, where containerd or its CRI plugin says so.
    pub(crate) sandbox: Option<String>,
    /// What its task does.
    pub(crate) task: TaskState,
    /// Process of a task that has not ended; 0 where there is none.
    pub(crate) pid: u32,
}

/// The part of the CRI plugin's own record that is needed.
///
/// Source: containerd 1.6 `pkg/cri/store/container/metadata.go`, extension
/// `io.cri-containerd.container.metadata`.
#[derive(Deserialize)]
struct CriRecord {
    #[serde(rename = "Metadata")]
    metadata: CriMetadata,
}

#[derive(Deserialize)]
struct CriMetadata {
    #[serde(rename = "SandboxID", default)]
    sandbox: String,
}

/// Everything in a namespace as containerd told it, not laid beside what was known yet.
pub(super) struct Told {
    pub(super) listing: Listing,
    pub(super) tasks: HashMap<String, Process>,
}

impl Told {
    /// The listing. `before` is what was known, for tasks whose shim is silent.
    pub(super) fn beside(mut self, before: &Listing) -> Listing {
        for (id, record) in &mut self.listing {
            record.follow(before.get(id), self.tasks.get(id));
        }
        self.listing
    }
}

impl Record {
    /// A container and its task, laid beside what was known of them.
    pub(super) fn of(container: Container, task: Option<&Process>, before: Option<&Self>) -> Self {
        let mut record = Self::new(container);
        record.follow(before, task);
        record
    }

    fn follow(&mut self, before: Option<&Self>, task: Option<&Process>) {
        if let Some(known) = before {
            (self.task, self.pid) = (known.task, known.pid);
        }
        self.see(task);
    }

    pub(super) fn new(container: Container) -> Self {
        let sandbox = Some(container.sandbox).filter(|id| !id.is_empty());
        let sandbox = sandbox.or_else(|| {
            let any = container
                .extensions
                .get("io.cri-containerd.container.metadata")?;
            let record: CriRecord = serde_json::from_slice(&any.value).ok()?;
            Some(record.metadata.sandbox).filter(|id| !id.is_empty())
        });
        Self {
            labels: container.labels,
            image: container.image,
            sandbox,
            task: TaskState::None,
            pid: 0,
        }
    }

    /// A label's value; empty where there is none.
    pub(crate) fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// Takes over what an event says of the task; whether that is news. An event may be older than
    /// what is known: only what follows from the state known is believed.
    pub(super) fn hear(&mut self, event: TaskEvent) -> bool {
        let next = match (event, self.task) {
            (TaskEvent::Started(pid), TaskState::None | TaskState::Created) => {
                (TaskState::Running, pid)
            }
            (TaskEvent::Exited(pid, status), _) if pid == self.pid && pid != 0 => {
                (TaskState::Exited(status), 0)
            }
            (TaskEvent::Paused, TaskState::Running) => (TaskState::Paused, self.pid),
            (TaskEvent::Resumed, TaskState::Paused) => (TaskState::Running, self.pid),
            _ => return false,
        };
        (self.task, self.pid) = next;
        true
    }

    /// Takes over what containerd says of the task.
    fn see(&mut self, task: Option<&Process>) {
        (self.task, self.pid) = match task {
            None => (TaskState::None, 0),
            Some(task) => match Status::try_from(task.status) {
                Ok(Status::Created) => (TaskState::Created, task.pid),
                Ok(Status::Running) => (TaskState::Running, task.pid),
                Ok(Status::Paused | Status::Pausing) => (TaskState::Paused, task.pid),
                Ok(Status::Stopped) => (TaskState::Exited(task.exit_status), 0),
                // The shim does not answer. A task that nobody knows anything of is taken for one
                // that runs: a second copy is worse than none.
                Ok(Status::Unknown) | Err(_) => match self.task {
                    TaskState::None => (TaskState::Running, task.pid),
                    before => (before, self.pid),
                },
            },
        };
    }
}

impl Containerd {
    /// Everything in `namespace`.
    pub(crate) async fn list(&self, namespace: &str) -> Result<Listing, Error> {
        let told = self.tell(namespace).await?;
        Ok(told.beside(&Listing::new()))
    }

    /// [`Containerd::list`], for who knows something already.
    pub(super) async fn tell(&self, namespace: &str) -> Result<Told, Error> {
        let deadline = self.config().call_deadline;
        let containers = timeout(deadline, self.list_containers(namespace)).await;
        let listing = containers.unwrap_or(Err(Error::TimedOut {
            call: "Containers.ListStream",
            after: deadline,
        }))?;
        let message = ListTasksRequest::default();
        let tasks = self.call(
            "Tasks.List",
            namespace,
            message,
            async |channel, request| TasksClient::new(channel).list(request).await,
        );
        let tasks = tasks.await?.tasks;
        let tasks = tasks.into_iter();
        let tasks = tasks.map(|mut task| (std::mem::take(&mut task.id), task));
        Ok(Told {
            listing,
            tasks: tasks.collect(),
        })
    }

    /// One by one, so that not all the OCI specs of a node are in memory at once.
    async fn list_containers(&self, namespace: &str) -> Result<Listing, Error> {
        const CALL: &str = "Containers.ListStream";
        let request = in_namespace(CALL, namespace, ListContainersRequest::default())?;
        let read = async {
            let mut client = ContainersClient::new(self.channel().await?);
            let stream = client.list_stream(request).await;
            let mut stream = stream.map_err(|s| Error::status(CALL, &s))?.into_inner();
            let mut listing = Listing::new();
            while let Some(item) = stream
                .message()
                .await
                .map_err(|s| Error::status(CALL, &s))?
            {
                if let Some(mut container) = item.container {
                    let id = std::mem::take(&mut container.id);
                    listing.insert(id, Record::new(container));
                }
            }
            Ok(listing)
        };
        let answer: Result<Listing, Error> = read.await;
        if answer.as_ref().is_err_and(Error::is_transport) {
            self.forget_connection().await;
        }
        answer
    }

    /// One container and its task; `None` where there is no such container.
    pub(super) async fn tell_one(
        &self,
        namespace: &str,
        id: &str,
    ) -> Result<Option<(Container, Option<Process>)>, Error> {
        let message = GetContainerRequest { id: id.to_owned() };
        let container = self.call(
            "Containers.Get",
            namespace,
            message,
            async |channel, request| ContainersClient::new(channel).get(request).await,
        );
        let container = found(container.await)?.and_then(|answer| answer.container);
        let Some(container) = container else {
            return Ok(None);
        };
        Ok(Some((container, self.task(namespace, id).await?)))
    }

    /// The task of a container, if it has one.
    pub(crate) async fn task(&self, namespace: &str, id: &str) -> Result<Option<Process>, Error> {
        let message = GetRequest {
            container_id: id.to_owned(),
            ..GetRequest::default()
        };
        let task = self.call("Tasks.Get", namespace, message, async |channel, request| {
            TasksClient::new(channel).get(request).await
        });
        Ok(found(task.await)?.and_then(|answer| answer.process))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(task: TaskState, pid: u32) -> Record {
        let mut record = Record::new(Container::default());
        (record.task, record.pid) = (task, pid);
        record
    }

    #[test]
    fn an_event_is_believed_where_it_follows_from_what_is_known() {
        let mut task = record(TaskState::Created, 7);
        for (event, then, pid) in [
            (TaskEvent::Started(7), TaskState::Running, 7),
            (TaskEvent::Paused, TaskState::Paused, 7),
            (TaskEvent::Resumed, TaskState::Running, 7),
            (TaskEvent::Exited(7, 1), TaskState::Exited(1), 0),
        ] {
            assert!(task.hear(event), "{event:?}");
            assert_eq!((task.task, task.pid), (then, pid));
        }
    }

    #[test]
    fn an_event_that_is_older_than_what_is_known_changes_nothing() {
        for (task, pid, event) in [
            (TaskState::Running, 8, TaskEvent::Exited(7, 1)),
            (TaskState::Exited(1), 0, TaskEvent::Started(7)),
            (TaskState::Exited(1), 0, TaskEvent::Exited(0, 1)),
            (TaskState::None, 0, TaskEvent::Paused),
            (TaskState::Exited(1), 0, TaskEvent::Resumed),
        ] {
            let mut known = record(task, pid);
            assert!(!known.hear(event), "{event:?}");
            assert_eq!((known.task, known.pid), (task, pid));
        }
    }
}
