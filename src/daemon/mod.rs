//! The loop: observe, decide, commit, execute.

pub mod publish;
