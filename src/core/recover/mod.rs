//! Recovery of a control plane from what is left of it: which of the found objects make it up, and
//! the files that run it without an API server. Reading the sources and writing the files are the
//! adapters' work.

pub mod found;
