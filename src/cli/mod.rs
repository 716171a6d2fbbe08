//! The command line: one file for each subcommand.

pub mod checkpoint_render;
pub mod cri_log;
