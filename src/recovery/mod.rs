//! Recovery mode carried out: what `core::recovery` decides, done and told.

pub mod hygiene;
pub mod report;
pub mod wall;
