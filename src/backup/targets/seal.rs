//! Encryption to `age` recipients.

/// Whether `text` is an `age` recipient that copies can be encrypted to; says why not.
///
/// # Errors
/// Where it is none.
pub fn check_recipient(text: &str) -> Result<(), &'static str> {
    text.parse::<age::x25519::Recipient>().map(drop)
}
