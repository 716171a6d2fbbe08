//! Decisions: total functions of (observed, stored, policy, now). No I/O, no clock, no failure.

pub mod action;
pub mod id;
pub mod manifest;
pub mod observed;
pub mod policy;
pub mod reading;
pub mod report;
pub mod stored;
pub mod time;
