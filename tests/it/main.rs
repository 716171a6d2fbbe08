//! Tests that need no cluster: one binary, one module for each subject.
#![allow(missing_docs, reason = "tests are named for what they show")]

mod manifest_cli;
mod manifest_data;
mod manifest_facts;
mod manifest_hostile;
mod manifest_list;
mod manifest_parent;
mod manifest_pods;
mod manifest_render;
mod manifest_revision;
