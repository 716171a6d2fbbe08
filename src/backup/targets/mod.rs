//! Copies of whole backups at other places.

mod seal;
pub mod settings;

pub use seal::check_recipient;
pub use settings::TargetSettings;
