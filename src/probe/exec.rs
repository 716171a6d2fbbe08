//! A probe that runs a command in the container: exit code 0 passes.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::ExecRequest;

pub(super) async fn ask(
    exec: &mpsc::Sender<ExecRequest>,
    container_id: &str,
    ours: bool,
    command: Vec<String>,
    deadline: Duration,
) -> Result<(), String> {
    if command.is_empty() {
        return Err("the probe's command is empty".to_owned());
    }
    let (reply, answer) = oneshot::channel();
    let request = ExecRequest {
        container_id: container_id.to_owned(),
        ours,
        command,
        deadline,
        reply,
    };
    if exec.send(request).await.is_err() {
        return Err("nobody runs commands in containers".to_owned());
    }
    match answer.await {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(code)) => Err(format!("the probe's command ends with code {code}")),
        Ok(Err(cause)) => Err(format!("the probe's command cannot be run: {cause}")),
        Err(_) => Err("the probe's command was not run".to_owned()),
    }
}
