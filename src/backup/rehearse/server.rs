//! The rehearsed etcd: started, waited for, ended.

use std::path::Path;
use std::time::Duration;

use etcd_client::{Client, GetOptions};

use super::child::{Child, Watch};
use super::client::connect;
use super::confine::Confinement;
use super::error::{Stop, failed};
use super::restore::{DATA, LOOK, NAME, PEER};
use super::scratch::Scratch;
use crate::backup::Progress;
use crate::core::reading::chain;
use crate::failpoints::hit;

/// Of each question whether it serves.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// The running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts `etcd` on what was restored, with further `flags`.
    ///
    /// Its addresses are file names in its working directory: a URL of etcd 3.4 cannot hold a
    /// path, and needs something like a port (`pkg/types/urls.go`, `embed/config.go`).
    pub(super) fn start(
        etcd: &Path,
        (scratch, confinement): (&Scratch, &Confinement),
        token: &str,
        flags: &[&str],
    ) -> Result<Self, Stop> {
        let mut command = confinement.command(etcd);
        command
            .arg(format!("--data-dir={DATA}"))
            .arg(format!("--name={NAME}"))
            .arg("--listen-client-urls=unix://client:1")
            .arg(format!("--advertise-client-urls={PEER}"))
            .arg("--listen-peer-urls=unix://peer:1")
            .arg(format!("--initial-advertise-peer-urls={PEER}"))
            .arg(format!("--initial-cluster={NAME}={PEER}"))
            .arg(format!("--initial-cluster-token={token}"))
            .args(flags);
        let child = Child::start(command, "etcd", scratch.path(), confinement.memory_bytes)?;
        hit("rehearse.etcd-started");
        Ok(Self { child })
    }

    /// Waits until it answers a linearizable read.
    pub(super) async fn ready(
        &mut self,
        scratch: &Scratch,
        (bytes, stall): (u64, Duration),
        progress: &Progress,
    ) -> Result<Client, Stop> {
        progress.begin("starting etcd", 0);
        let socket = scratch.path().join("client:1");
        let mut watch = Watch::begin(stall).not_for_ever(bytes);
        let mut look = tokio::time::interval(LOOK);
        let mut last = "it does not listen".to_owned();
        loop {
            look.tick().await;
            if let Some(status) = self.child.ended() {
                let story = self.child.story(status).await;
                return failed(format!("etcd does not start on the restored data: {story}"));
            }
            if let Some(hang) = watch.look(self.child.activity()) {
                let said = self.child.last_words();
                return failed(format!(
                    "etcd does not serve the restored data: {hang}; {last}{said}"
                ));
            }
            if !socket.exists() {
                continue;
            }
            let asked = async {
                let mut client = connect(socket.clone()).await?;
                let one = GetOptions::new().with_limit(1).with_keys_only();
                client.get("\0", Some(one)).await?;
                Ok::<_, etcd_client::Error>(client)
            };
            match tokio::time::timeout(ASK_DEADLINE.min(stall), asked).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => last = chain(&error),
                Err(_) => "it does not answer".clone_into(&mut last),
            }
        }
    }

    /// What a failed read means: that it has ended, or else `why`.
    pub(super) async fn blame(&mut self, why: String) -> String {
        match self.child.ended() {
            Some(status) => format!("{why}: {}", self.child.story(status).await),
            None => why,
        }
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        self.child.kill().await;
    }
}
