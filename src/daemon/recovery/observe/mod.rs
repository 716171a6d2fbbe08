//! stub
use crate::config::Settings;
use crate::core::recovery::evidence::Evidence;
use crate::core::time::Moment;
use crate::daemon::sources::Sources;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
pub(in crate::daemon) fn spawn(
    settings: &Settings,
    _s: &Sources,
    _stop: &CancellationToken,
) -> watch::Receiver<Arc<Evidence>> {
    watch::channel(Arc::new(Evidence::nothing(&settings.node.name, Moment(0)))).1
}
