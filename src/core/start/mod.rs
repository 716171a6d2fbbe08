//! `start`: a temporary control plane until the self-hosted one is back, as pure decisions.
//!
//! [`decide::decide`] is called with what is seen, the journal and the time, again and again; what
//! it returns is written to the journal before it is done. Reading order: [`journal`] (what there
//! is to remember), [`observed`], [`component`] (one temporary pod and its self-hosted
//! counterpart), [`evidence`] (what counts as "it is back"), [`decide`].

pub mod beside;
pub mod component;
pub mod decide;
mod engine;
pub mod evidence;
pub mod journal;
mod nodes;
pub mod observed;
pub mod required;
pub mod turn;
