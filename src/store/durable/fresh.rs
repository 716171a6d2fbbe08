//! A new file where nothing may stand.

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Attributes, Dir, DurableError, fill, named, sync, temporary_file};
use crate::failpoints::hit;

/// Writes `bytes` to the new file `name` of `dir` as a whole, by way of `staging`. False where
/// something has that name already, whatever it is: it stays as it is.
///
/// # Errors
/// The step that failed; nothing is left behind then.
pub fn write_new_in(
    dir: &Dir,
    name: &str,
    bytes: &[u8],
    attributes: &Attributes,
    staging: &Dir,
) -> Result<bool, DurableError> {
    named(dir, name)?;
    let (temp, file) = temporary_file(staging)?;
    let linked = fill(&file, &staging.path().join(&temp), bytes, attributes).and_then(|()| {
        // A rename would replace what stands there, and no look before it can rule that out.
        match rustix::fs::linkat(staging.fd(), &temp, dir.fd(), name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(DurableError::Create {
                path: dir.path().join(name),
                source: errno.into(),
            }),
        }
    });
    hit("fresh.linked");
    // Swept at the next start where this fails.
    let _ = rustix::fs::unlinkat(staging.fd(), &temp, AtFlags::empty());
    if linked? {
        sync(dir)?;
        hit("fresh.synced");
        return Ok(true);
    }
    Ok(false)
}
