//! Recovery mode: is the control plane gone, which way back is there, and which step comes next.
//! Pure, as all of the core: what is seen comes in, what is decided goes out.

pub mod assess;
pub mod availability;
pub mod back_off;
mod claims;
pub mod course;
pub mod etcd;
pub mod etcd_seen;
pub mod evidence;
pub mod guard;
pub mod hygiene;
pub mod journal;
pub mod leaders;
pub mod loss;
pub mod memory;
mod own;
pub mod page;
pub mod part;
pub mod plan;
pub mod policy;
mod quorum;
mod reasons;
mod reasons_etcd;
pub mod record;
pub mod resources;
pub mod rung;
pub mod rungs;
pub mod unasked;
pub mod view;
