//! `start`: runs a temporary control plane from an asset tree until the self-hosted one is back.
//!
//! The same shape as the daemon: observe ([`watching`]), decide ([`crate::core::start`]), write
//! the journal ([`crate::operation`]), act ([`execute`]). A run that was killed is gone on with by
//! the next one: the journal says what was meant, the sources what became of it.

mod begin;
mod cluster;
mod execute;
pub mod objects;
pub mod place;
mod port;
mod report;
mod run;
mod serving;
pub mod tree;
mod watching;
mod why;

pub use begin::{Options, StartError};
pub use report::{Outcome, Report};
pub use run::run;
