//! Backups beside the loop: tasks of their own that the loop never waits for, and that never wait
//! for the loop.

mod door;

pub use door::{Asked, Door, Refused};
