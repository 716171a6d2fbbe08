//! Tests on real components, run by `tests/run` inside the lab.
#![allow(missing_docs, reason = "tests are named for what they show")]
