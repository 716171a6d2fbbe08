//! What recovery mode does to etcd, as plain data and total functions: where its member of this
//! node runs, the steps of a restore, the steps of a member's replacement.

pub mod home;
pub mod place;
pub mod replace;
pub mod restore;
pub mod unit;

pub use self::home::{Home, Runs};
pub use self::place::{Owner, Place};
pub use self::replace::{Replace, ReplaceStage};
pub use self::restore::{Restore, Source, Stage};
