//! Verifying a bundle: who made it, whether every part is what the manifest says, and whether the
//! snapshot is a whole database.

use std::path::Path;

use super::content::{self, Inside};
use super::error::BundleError;
use super::open::digest_fits;
use super::plain::{self, PlainSnapshot};
use super::{Bundle, check_content};
use crate::backup::Progress;
use crate::backup::signing::{PublicKey, Trust};
use crate::core::backup::manifest::Content;
use crate::core::backup::outcome::Outcome;
use crate::core::reading::chain;
use crate::daemon::clock;
use crate::store::dir::Dir;

/// How far to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Signature and digests of the files as they lie there. Needs no room.
    Digests,
    /// The snapshot's pages, keys and figures as well. A compressed one is unpacked for it.
    Content,
}

/// What to look at, and how.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'a> {
    /// How far.
    pub depth: Depth,
    /// Whose signatures count; `None`: the signature is not looked at.
    pub trust: Option<&'a Trust>,
    /// Directory in which a compressed snapshot is unpacked into a nameless file; `None`:
    /// [`super::SCRATCH`] beside the bundle.
    pub scratch: Option<&'a Path>,
}

/// A bundle that passed.
#[derive(Debug)]
pub struct Checked {
    /// What was checked, in order, in words.
    pub checked: Vec<String>,
    /// What the snapshot holds, where that was looked at.
    pub content: Option<Content>,
    /// Whose signature it has; `None`: not looked at.
    pub signed_by: Option<PublicKey>,
    /// The snapshot without compression, where its content was looked at.
    pub plain: Option<PlainSnapshot>,
}

/// Checks a bundle. Blocks, for as long as it takes to read it (twice where it is compressed).
///
/// # Errors
/// The first thing that is wrong.
pub fn check(
    bundle: &Bundle,
    checks: &Checks<'_>,
    progress: &Progress,
) -> Result<Checked, BundleError> {
    let mut done = Checked {
        checked: Vec::new(),
        content: None,
        signed_by: None,
        plain: None,
    };
    if let Some(trust) = checks.trust {
        done.signed_by = Some(bundle.check_signature(trust)?);
        done.checked.push("signature of the manifest".to_owned());
    }
    for part in &bundle.manifest().parts {
        let snapshot = part.name == bundle.snapshot().name;
        if snapshot && checks.depth == Depth::Content {
            continue;
        }
        progress.begin("checking digests", part.bytes);
        bundle.check_digest(part, progress)?;
        done.checked.push(format!("digest of {}", part.name));
    }
    if checks.depth == Depth::Content {
        let plain = unpacked(bundle, checks, progress)?;
        let inside = look_inside(bundle, &plain, progress)?;
        let name = &bundle.snapshot().name;
        if inside.raw {
            return Err(BundleError::Content {
                path: bundle.path().to_owned(),
                why: "the hash at its end is missing".to_owned(),
            });
        }
        done.checked.push(format!("digest of {name}"));
        done.checked.extend(inside.checked);
        if let Some(content) = &inside.content {
            content::fits(bundle.manifest(), content, bundle.path())?;
            done.checked.push("figures of the manifest".to_owned());
        }
        done.content = inside.content;
        done.plain = Some(plain);
    }
    Ok(done)
}

fn unpacked(
    bundle: &Bundle,
    checks: &Checks<'_>,
    progress: &Progress,
) -> Result<PlainSnapshot, BundleError> {
    let part = bundle.snapshot();
    if !part.compressed {
        let path = bundle.path().join(&part.name);
        bundle.open_part(part)?;
        return Ok(PlainSnapshot::lying_at(&path));
    }
    let scratch = match checks.scratch {
        Some(scratch) => Dir::open(scratch)?,
        None => plain::scratch(&Dir::open(
            bundle.path().parent().unwrap_or(Path::new("/")),
        )?)?,
    };
    bundle.plain_snapshot(&scratch, progress)
}

/// The walk, and the digest of a snapshot that was not unpacked: it is computed by the walk.
fn look_inside(
    bundle: &Bundle,
    plain: &PlainSnapshot,
    progress: &Progress,
) -> Result<Inside, BundleError> {
    let part = bundle.snapshot();
    let path = bundle.path().join(&part.name);
    match check_content(plain.path(), &path, progress) {
        Ok(inside) if plain.is_unpacked() => Ok(inside),
        Ok(inside) => {
            digest_fits(&path, part, part.bytes, &inside.sha256)?;
            Ok(inside)
        }
        // Altered after it was taken, or taken so: the digest tells.
        Err(error) => {
            if !plain.is_unpacked() {
                bundle.check_digest(part, progress)?;
            }
            Err(error)
        }
    }
}

/// [`check`] as a result to keep.
pub fn verify(bundle: &Bundle, checks: &Checks<'_>, progress: &Progress) -> Outcome {
    let begun = clock::now();
    let checked = check(bundle, checks, progress);
    let took_ms = clock::now().0.saturating_sub(begun.0);
    let at = clock::wall();
    match checked {
        Ok(checked) => Outcome {
            at,
            took_ms,
            checked: checked.checked,
            failure: None,
            content: checked.content,
        },
        Err(error) => Outcome {
            at,
            took_ms,
            checked: Vec::new(),
            failure: Some(chain(&error)),
            content: None,
        },
    }
}
