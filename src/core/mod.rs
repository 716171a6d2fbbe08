//! Decisions: total functions of (observed, stored, policy, now). No I/O, no clock, no failure.

pub mod action;
pub mod backup;
pub mod cleanup;
mod copies;
pub mod decide;
pub mod doctor;
mod explain;
mod handover;
mod hold;
pub mod id;
mod learn;
pub mod manifest;
pub mod observed;
pub mod operation;
pub mod operator_hold;
mod phase;
pub mod policy;
pub mod reading;
pub mod recover;
pub mod recovery;
mod removal;
pub mod report;
pub mod sharing;
pub mod start;
pub mod stored;
pub mod time;
mod view;
