//! Recovery mode in the daemon: tasks beside the loop.

pub mod observe;
