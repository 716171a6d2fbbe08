//! The static manifests of the control plane: which content is known to be good, and when it is put
//! back.
//!
//! A content becomes *good* once it has stood unchanged while the pod that was made of it served, as
//! a checkpoint's revision does. A file that is gone, empty, broken, or of which no pod serves is put
//! back from its last known good copy when the control plane is lost by it, and not otherwise: who
//! takes a file away while another API server serves, or changes it to something that serves, meant
//! to. Learning is [`learn::turn`], putting back [`restore::restores`].

pub mod learn;
pub mod memory;
pub mod restore;
pub mod seen;
