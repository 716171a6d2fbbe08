//! temp
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
/// temp
pub fn label_value(id: &crate::core::id::CheckpointId) -> String {
    Sha256::digest(id.as_str().as_bytes())
        .iter()
        .take(8)
        .fold(String::new(), |mut s, b| {
            let _ = write!(s, "{b:02x}");
            s
        })
}
