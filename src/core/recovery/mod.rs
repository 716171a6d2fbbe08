//! Recovery mode: is the control plane gone, which way back is there, and which step comes next.
//! Pure, as all of the core: what is seen comes in, what is decided goes out.

pub mod guard;
pub mod loss;
pub mod part;
pub mod policy;
pub mod record;
pub mod rung;
