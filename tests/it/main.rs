//! Tests that need no cluster: one binary, one module for each subject.
#![allow(missing_docs, reason = "tests are named for what they show")]

mod store_revisions;
mod store_samples;
mod store_state;
