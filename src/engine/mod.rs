//! stub until the engine is merged
use crate::core::id::*;
use crate::core::observed::*;
use crate::core::reading::Reading;
use std::collections::BTreeMap;
use tokio::sync::watch;
/// stub
#[derive(Clone, Debug)]
pub struct EngineHandle(watch::Sender<Reading<EngineView>>);
impl EngineHandle {
    /// stub
    pub fn stub() -> Self {
        Self(
            watch::channel(Reading::Known(EngineView {
                pods: BTreeMap::new(),
            }))
            .0,
        )
    }
    /// stub
    pub async fn start(
        &self,
        _: &CheckpointId,
        _: &RevisionId,
        _: k8s_openapi::api::core::v1::Pod,
    ) -> Result<(), std::io::Error> {
        Ok(())
    }
    /// stub
    pub async fn stop(&self, _: &CheckpointId, _: bool) -> Result<(), std::io::Error> {
        Ok(())
    }
    /// stub
    pub fn view(&self) -> watch::Receiver<Reading<EngineView>> {
        self.0.subscribe()
    }
}
