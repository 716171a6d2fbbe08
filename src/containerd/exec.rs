//! Running a command in a container, for exec probes. No input, no output: only the exit code.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{
    DeleteProcessRequest, ExecProcessRequest, KillRequest, StartRequest, WaitRequest,
};
use prost_types::Any;
use serde_json::Value;

use super::calls::KILL;
use super::{Containerd, Error, found};

/// Source: containerd 1.6 `typeurl` of the OCI runtime specification's `Process`.
const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

impl Containerd {
    /// Runs `command` in a running container, as its own process would be run (user, environment,
    /// directory, capabilities), and returns its exit code. After `deadline` it is killed.
    pub async fn exec(
        &self,
        namespace: &str,
        container_id: &str,
        command: &[String],
        deadline: Duration,
    ) -> Result<u32, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let none = Error::NotFound {
            call: "Containers.Get",
        };
        let container = self.container(namespace, container_id).await?.ok_or(none)?;
        let spec = container.spec.map(|any| any.value).unwrap_or_default();
        let process = process(&spec, command)?;
        let exec_id = format!(
            "rekindle-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let message = ExecProcessRequest {
            container_id: container_id.to_owned(),
            spec: Some(Any {
                type_url: PROCESS.to_owned(),
                value: process,
            }),
            exec_id: exec_id.clone(),
            ..ExecProcessRequest::default()
        };
        let exec = self.call(
            "Tasks.Exec",
            namespace,
            message,
            async |channel, request| TasksClient::new(channel).exec(request).await,
        );
        exec.await?;
        let ended = self
            .run_exec(namespace, container_id, &exec_id, deadline)
            .await;
        if ended.is_err() {
            self.kill_exec(namespace, container_id, &exec_id).await;
        }
        let message = DeleteProcessRequest {
            container_id: container_id.to_owned(),
            exec_id,
        };
        let delete = self.call(
            "Tasks.DeleteProcess",
            namespace,
            message,
            async |channel, request| TasksClient::new(channel).delete_process(request).await,
        );
        if let Err(error) = found(delete.await) {
            tracing::debug!(container = container_id, %error, "an exec is left behind");
        }
        ended
    }

    async fn run_exec(
        &self,
        namespace: &str,
        container_id: &str,
        exec_id: &str,
        deadline: Duration,
    ) -> Result<u32, Error> {
        let message = StartRequest {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
        };
        let start = self.call(
            "Tasks.Start",
            namespace,
            message,
            async |channel, request| TasksClient::new(channel).start(request).await,
        );
        start.await?;
        let wait = self.wait_exec(namespace, container_id, exec_id, deadline);
        wait.await
    }

    async fn wait_exec(
        &self,
        namespace: &str,
        container_id: &str,
        exec_id: &str,
        limit: Duration,
    ) -> Result<u32, Error> {
        let message = WaitRequest {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
        };
        let wait = self.call_within(
            limit,
            "Tasks.Wait",
            namespace,
            message,
            async |channel, request| TasksClient::new(channel).wait(request).await,
        );
        Ok(wait.await?.exit_status)
    }

    async fn kill_exec(&self, namespace: &str, container_id: &str, exec_id: &str) {
        let message = KillRequest {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            signal: KILL,
            all: false,
        };
        let kill = self.call(
            "Tasks.Kill",
            namespace,
            message,
            async |channel, request| TasksClient::new(channel).kill(request).await,
        );
        // It may have ended by itself; what matters is that it is gone before it is deleted.
        kill.await.ok();
        let limit = self.config().call_deadline;
        let wait = self.wait_exec(namespace, container_id, exec_id, limit);
        wait.await.ok();
    }
}

/// The container's own process with another command.
fn process(spec: &[u8], command: &[String]) -> Result<Vec<u8>, Error> {
    let unreadable = |cause: &str| Error::unreadable("Containers.Get", cause);
    let mut spec: Value =
        serde_json::from_slice(spec).map_err(|e| Error::unreadable("Containers.Get", e))?;
    let process = spec.get_mut("process").map(Value::take);
    let Some(Value::Object(mut process)) = process else {
        return Err(unreadable("the OCI spec has no process"));
    };
    process.insert("args".to_owned(), command.into());
    process.insert("terminal".to_owned(), false.into());
    process.remove("oomScoreAdj");
    serde_json::to_vec(&Value::Object(process)).map_err(|e| Error::unreadable("Containers.Get", e))
}
