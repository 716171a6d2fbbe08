//! The calls that stopping pods and running them is made of: one method for each, no decisions.

use std::collections::HashMap;
use std::time::Duration;

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::namespaces_client::NamespacesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    ListSnapshotsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
};
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    Container, CreateContainerRequest, CreateNamespaceRequest, CreateTaskRequest,
    DeleteContainerRequest, DeleteTaskRequest, GetContainerRequest, KillRequest, Namespace,
    PauseTaskRequest, ResumeTaskRequest, StartRequest, UpdateContainerRequest, WaitRequest,
};
use containerd_client::tonic::Code;
use containerd_client::types::Mount;
use prost_types::FieldMask;

use super::images::SNAPSHOTTER;
use super::kill::past_shim;
use super::{Containerd, Error, found};

/// SIGKILL.
pub(crate) const KILL: u32 = 9;
/// SIGTERM.
pub(crate) const TERM: u32 = 15;

/// One call of a client, in one line.
macro_rules! call {
    ($c:expr, $name:literal, $ns:expr, $client:ident . $method:ident ($message:expr)) => {
        $c.call($name, $ns, $message, async |channel, request| {
            $client::new(channel).$method(request).await
        })
        .await
    };
}

/// A process that has ended is as good as killed, frozen or thawed.
///
/// Source: containerd 1.6 `pkg/process/utils.go`, `checkKillError`, and `init_state.go`.
fn ended(answer: Result<(), Error>) -> Result<(), Error> {
    match answer {
        Err(Error::Refused {
            code: Code::FailedPrecondition,
            ..
        }) => Ok(()),
        Err(Error::Refused { message, .. })
            if message.contains("process already finished")
                || message.contains("no such process")
                // Freezing what is frozen and thawing what runs: done already.
                || message.contains("cannot pause a paused container")
                || message.contains("cannot resume a running process") =>
        {
            Ok(())
        }
        other => found(other).map(|_| ()),
    }
}

impl Containerd {
    /// Makes a namespace if there is none.
    pub(crate) async fn ensure_namespace(&self, name: &str) -> Result<(), Error> {
        let message = CreateNamespaceRequest {
            namespace: Some(Namespace {
                name: name.to_owned(),
                labels: HashMap::new(),
            }),
        };
        match call!(
            self,
            "Namespaces.Create",
            name,
            NamespacesClient.create(message)
        ) {
            Ok(_) | Err(Error::Exists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A container's whole record, if there is one.
    pub(crate) async fn container(&self, ns: &str, id: &str) -> Result<Option<Container>, Error> {
        let message = GetContainerRequest { id: id.to_owned() };
        let answer = call!(self, "Containers.Get", ns, ContainersClient.get(message));
        Ok(found(answer)?.and_then(|answer| answer.container))
    }

    pub(crate) async fn create_container(&self, ns: &str, it: Container) -> Result<(), Error> {
        let message = CreateContainerRequest {
            container: Some(it),
        };
        call!(
            self,
            "Containers.Create",
            ns,
            ContainersClient.create(message)
        )
        .map(|_| ())
    }

    /// Sets one label of a container.
    pub(crate) async fn label_container(
        &self,
        ns: &str,
        id: &str,
        key: &str,
        value: &str,
    ) -> Result<(), Error> {
        let message = UpdateContainerRequest {
            container: Some(Container {
                id: id.to_owned(),
                labels: HashMap::from([(key.to_owned(), value.to_owned())]),
                ..Container::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec![format!("labels.{key}")],
            }),
        };
        call!(
            self,
            "Containers.Update",
            ns,
            ContainersClient.update(message)
        )
        .map(|_| ())
    }

    pub(crate) async fn delete_container(&self, ns: &str, id: &str) -> Result<(), Error> {
        let message = DeleteContainerRequest { id: id.to_owned() };
        let answer = call!(
            self,
            "Containers.Delete",
            ns,
            ContainersClient.delete(message)
        );
        found(answer).map(|_| ())
    }

    pub(crate) async fn create_task(
        &self,
        ns: &str,
        message: CreateTaskRequest,
        deadline: Duration,
    ) -> Result<(), Error> {
        let create = self.call_within(
            deadline,
            "Tasks.Create",
            ns,
            message,
            async |channel, request| TasksClient::new(channel).create(request).await,
        );
        create.await.map(|_| ())
    }

    pub(crate) async fn start_task(&self, ns: &str, id: &str) -> Result<(), Error> {
        let message = StartRequest {
            container_id: id.to_owned(),
            exec_id: String::new(),
        };
        call!(self, "Tasks.Start", ns, TasksClient.start(message)).map(|_| ())
    }

    /// Sends a signal to a task: to its first process, or to `all` of them. That it has ended or
    /// is not there is fine.
    pub(crate) async fn signal(
        &self,
        ns: &str,
        id: &str,
        signal: u32,
        all: bool,
    ) -> Result<(), Error> {
        let message = KillRequest {
            container_id: id.to_owned(),
            exec_id: String::new(),
            signal,
            all,
        };
        ended(call!(self, "Tasks.Kill", ns, TasksClient.kill(message)).map(drop))
    }

    /// Freezes a container of the kubelet's namespace. That it is not there is fine.
    pub async fn pause(&self, id: &str) -> Result<(), Error> {
        let message = PauseTaskRequest {
            container_id: id.to_owned(),
        };
        let ns = &self.config().cri_namespace;
        ended(call!(self, "Tasks.Pause", ns, TasksClient.pause(message)).map(drop))
    }

    /// Thaws a container of the kubelet's namespace. That it is not there is fine.
    pub async fn resume(&self, id: &str) -> Result<(), Error> {
        let ns = &self.config().cri_namespace;
        self.resume_in(ns, id).await
    }

    pub(crate) async fn resume_in(&self, ns: &str, id: &str) -> Result<(), Error> {
        let message = ResumeTaskRequest {
            container_id: id.to_owned(),
        };
        ended(call!(self, "Tasks.Resume", ns, TasksClient.resume(message)).map(drop))
    }

    /// Waits until a task has ended, at most for `limit`; whether it has.
    pub(crate) async fn wait_ended(
        &self,
        ns: &str,
        id: &str,
        limit: Duration,
    ) -> Result<bool, Error> {
        let message = WaitRequest {
            container_id: id.to_owned(),
            exec_id: String::new(),
        };
        let wait = self.call_within(
            limit,
            "Tasks.Wait",
            ns,
            message,
            async |channel, request| TasksClient::new(channel).wait(request).await,
        );
        match found(wait.await) {
            Ok(_) => Ok(true),
            Err(
                Error::TimedOut { .. }
                | Error::Refused {
                    code: Code::DeadlineExceeded | Code::Cancelled,
                    ..
                },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a task that has ended. That there is none is fine.
    pub(crate) async fn delete_task(&self, ns: &str, id: &str) -> Result<(), Error> {
        let answer = past_shim(|| async {
            let message = DeleteTaskRequest {
                container_id: id.to_owned(),
            };
            call!(self, "Tasks.Delete", ns, TasksClient.delete(message))
        });
        found(answer.await).map(|_| ())
    }

    /// A writable layer over the snapshot `parent`, and how to mount it.
    pub(crate) async fn prepare(
        &self,
        ns: &str,
        key: &str,
        parent: &str,
        labels: HashMap<String, String>,
    ) -> Result<Vec<Mount>, Error> {
        let message = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels,
        };
        let answer = call!(
            self,
            "Snapshots.Prepare",
            ns,
            SnapshotsClient.prepare(message)
        );
        answer.map(|answer| answer.mounts)
    }

    /// Removes a snapshot. That there is none is fine.
    pub(crate) async fn remove_snapshot(&self, ns: &str, key: &str) -> Result<(), Error> {
        let message = RemoveSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
        };
        let answer = call!(
            self,
            "Snapshots.Remove",
            ns,
            SnapshotsClient.remove(message)
        );
        found(answer).map(|_| ())
    }

    /// Names of the snapshots that a containerd filter matches.
    pub(crate) async fn snapshots(&self, ns: &str, filter: &str) -> Result<Vec<String>, Error> {
        let message = ListSnapshotsRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            filters: vec![filter.to_owned()],
        };
        let list = async {
            let stream = call!(self, "Snapshots.List", ns, SnapshotsClient.list(message));
            let mut stream = stream?;
            let mut names = Vec::new();
            while let Some(part) = stream
                .message()
                .await
                .map_err(|status| Error::status("Snapshots.List", &status))?
            {
                names.extend(part.info.into_iter().map(|info| info.name));
            }
            Ok(names)
        };
        let deadline = self.config().call_deadline;
        let names = tokio::time::timeout(deadline, list).await;
        names.unwrap_or(Err(Error::TimedOut {
            call: "Snapshots.List",
            after: deadline,
        }))
    }
}
