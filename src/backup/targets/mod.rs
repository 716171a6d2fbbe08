//! Copies of whole backups at other places: an S3-compatible store, an NFS mount.
//!
//! ```text
//! local backup ─► read ─► (age) ─► parts ─► target      state on disk after each part
//!                                     └──► manifest, catalog last, each only if not there
//! ```
//!
//! A target that fails changes nothing else (scenario B05): copies run in threads of their own
//! ([`run`]), the local backup is only read, and a failure is an entry in the index and a later try.
//! What is at a target is never overwritten.

mod backoff;
mod catalog;
mod copy;
mod error;
mod fetch;
mod forget;
mod listing;
mod outgoing;
mod queue;
mod resume;
mod seal;
pub mod settings;
mod throttle;
mod upload;

use std::path::{Path, PathBuf};

pub use backoff::delay;
pub use copy::{Copied, CopyResult, abandon, copy_once};
pub use error::CopyError;
pub use fetch::{Fetched, fetch};
pub use forget::{forget, intend_to_forget};
pub use listing::{Remote, list};
pub use queue::{Queue, run};
pub use seal::{SealError, check_recipient};
pub use settings::TargetSettings;

use crate::objectstore::Store;

/// Directory of `backup/` in the state directory with the states of unfinished uploads.
pub const UPLOADS: &str = "uploads";

/// The directory with the states of unfinished uploads.
pub fn uploads_dir(state_dir: &Path) -> PathBuf {
    state_dir.join(super::STATE).join(UPLOADS)
}

/// A target, opened.
#[derive(Debug)]
pub struct Target {
    settings: TargetSettings,
    store: Store,
    recipients: Vec<seal::Recipient>,
}

impl Target {
    /// Opens a target. Asks nobody yet.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn open(settings: &TargetSettings) -> Result<Self, CopyError> {
        let recipients = settings.recipients.iter().map(|text| {
            text.parse().map_err(|why| CopyError::Recipient {
                text: text.clone(),
                why,
            })
        });
        Ok(Self {
            settings: settings.clone(),
            store: Store::open(&settings.place)?,
            recipients: recipients.collect::<Result<_, _>>()?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }
}
