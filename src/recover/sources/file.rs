//! A file as the source: one of our backups, a snapshot, or a database. Read in place and opened to
//! be read only; nothing is written but a compressed snapshot's nameless plain form.

use std::path::{Path, PathBuf};

use super::Want;
use super::collect::Collector;
use super::database;
use super::error::SourceError;
use super::unseal::Unseal;
use super::wanted::Wanted;
use crate::backup::Progress;
use crate::backup::bundle::{Bundle, BundleError, MANIFEST, PlainSnapshot, plain};
use crate::backup::verify::file::{measure, not_in_use, open, unchanged};
use crate::backup::verify::{Kind, Options, VerifyError, check_metas, is_unfinished, verify_with};
use crate::bolt::{Metas, Source};
use crate::core::recover::found::Found;
use crate::store::dir::Dir;

/// Where a snapshot is unpacked that has no place beside itself.
const ELSEWHERE: &str = "/var/tmp";

/// Reads the file.
pub(super) fn read(path: &Path, want: &Want) -> Result<Found, SourceError> {
    let Some(bundle) = bundle_at(path)? else {
        let unseal = Unseal::new(want.encryption.clone(), None);
        let collector = Collector::new(&want.namespace, unseal);
        return snapshot(path, path, want, false, collector);
    };
    let signed = want
        .trust
        .as_ref()
        .map(|trust| bundle.check_signature(trust));
    let signed = signed.transpose()?.is_some();
    let named = bundle.path().join(&bundle.snapshot().name);
    let plain = unpacked(&bundle, &named, want)?;
    if want.whole_file && !plain.is_unpacked() {
        bundle.check_digest(bundle.snapshot(), &Progress::default())?;
    }
    let unseal = Unseal::new(want.encryption.clone(), Some(bundle));
    let mut collector = Collector::new(&want.namespace, unseal);
    if !signed {
        collector.note("The signature of the backup was not looked at.");
    }
    snapshot(plain.path(), &named, want, plain.is_unpacked(), collector)
}

/// The backup whose directory, or a part of which, `path` is.
fn bundle_at(path: &Path) -> Result<Option<Bundle>, SourceError> {
    if path.is_dir() {
        return Ok(Some(Bundle::open(path)?));
    }
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let Some(dir) = whole.parent() else {
        return Ok(None);
    };
    if !dir.join(MANIFEST).is_file() {
        return Ok(None);
    }
    let bundle = Bundle::open(dir)?;
    let ours = Some(bundle.snapshot().name.as_str()) == whole.file_name().and_then(|n| n.to_str());
    Ok(ours.then_some(bundle))
}

fn unpacked(bundle: &Bundle, named: &Path, want: &Want) -> Result<PlainSnapshot, SourceError> {
    if !bundle.snapshot().compressed {
        return Ok(PlainSnapshot::lying_at(named));
    }
    let open = |path: &Path| Dir::open(path).map_err(BundleError::from);
    let scratch = if let Some(scratch) = &want.scratch {
        open(scratch)?
    } else {
        let beside = bundle.path().parent().unwrap_or(Path::new("/"));
        match plain::scratch(&open(beside)?) {
            Ok(scratch) => scratch,
            // A backup on a file system that cannot be written to.
            Err(error) => open(Path::new(ELSEWHERE)).map_err(|_| error)?,
        }
    };
    Ok(bundle.plain_snapshot(&scratch, &Progress::default())?)
}

/// Reads the snapshot or database in the file `opened`, which people know as `path`; `hashed`: all
/// of it was compared with a digest already.
fn snapshot(
    opened: &Path,
    path: &Path,
    want: &Want,
    hashed: bool,
    mut collector: Collector,
) -> Result<Found, SourceError> {
    let end = path.extension().unwrap_or_default();
    if end.eq_ignore_ascii_case("part") || is_unfinished(path) {
        return Err(VerifyError::Unfinished { path: path.into() }.into());
    }
    if want.whole_file {
        let options = Options {
            raw: true,
            named: Some(path),
            ..Options::default()
        };
        verify_with(opened, &options, &Progress::default())?;
    }
    let (file, before) = open(opened, path)?;
    let (kind, bytes) = measure(path, &file, before.len())?;
    if kind == Kind::RawDatabase {
        not_in_use(path, &file)?;
    }
    let source = Source::new(&file, bytes);
    let damaged = |error| {
        let error = VerifyError::of_bolt(path, error);
        match kind {
            Kind::RawDatabase => SourceError::Raw(Box::new(error)),
            Kind::Snapshot => error.into(),
        }
    };
    let metas = Metas::read(&source).map_err(damaged)?;
    let remarks = check_metas(source, kind, &metas).map_err(damaged)?;
    let wanted = Wanted::new(want);
    database::read(source, metas.chosen, &wanted, &mut collector).map_err(damaged)?;
    unchanged(path, &file, &before)?;
    for remark in remarks {
        collector.note(remark);
    }
    let shown: PathBuf = path.into();
    match kind {
        Kind::Snapshot if !want.whole_file && !hashed => collector.note(format!(
            "The structure of what was read is whole; the hash of the whole file was not checked: \
             `rekindle backup verify {}` does.",
            shown.display()
        )),
        Kind::Snapshot => {}
        Kind::RawDatabase => collector.note(
            "A bare database has no hash: damage inside a value cannot be seen in it, and what etcd \
             had only in its log at the end is missing.",
        ),
    }
    Ok(collector.finish())
}
