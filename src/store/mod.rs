//! Durable files: the stored state, the revisions of checkpoints, and the one writer.
//!
//! ```text
//! <state_dir>/state.json            the newest generation of the stored state
//! <state_dir>/state.previous.json   the one before
//! <state_dir>/state.damaged-<n>     what could not be read, moved aside
//! <state_dir>/reserve               room to commit the state on a full disk
//! <state_dir>/checkpoints/<id>/good                     names the good revision
//! <state_dir>/checkpoints/<id>/<revision>/manifest.json the static pod
//! <state_dir>/checkpoints/<id>/<revision>/revision.json digests, modes and owners of everything
//! <state_dir>/checkpoints/<id>/<revision>/data/…        files of its volumes
//! <state_dir>/removed/<id>          a checkpoint that was removed, until the next of its name is
//! <state_dir>/damaged/<id>.<revision>  a damaged revision that was replaced
//! <state_dir>/staging               everything unfinished; emptied at start
//! ```
//!
//! Every function here blocks, on fsync for as long as the disk likes: call them through
//! `tokio::task::spawn_blocking`. Nothing here decides; nothing here knows the time.

pub mod dir;
pub mod durable;
pub mod inventory;
pub mod lock;
pub mod marks;
mod rebuild;
pub(crate) mod reserve;
pub mod revisions;
pub mod sealed;
pub mod state;
pub mod watch;

pub use crate::core::reading::chain;
