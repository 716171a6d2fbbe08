//! Tests that need no cluster: one binary, one module for each subject.
#![allow(missing_docs, reason = "tests are named for what they show")]
