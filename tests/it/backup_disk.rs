//! B03, D02: no room at any write of a backup, of the index, of a check: what was whole stays so,
//! nothing is left behind, and the failure says that the disk is full.

use std::path::{Path, PathBuf};

use rekindle::backup::bundle::{Bundle, BundleError, list};
use rekindle::backup::index::IndexFile;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::record::Index;

use crate::backup_index::passed;
use crate::backup_samples::{Node, backup_id, take};
use crate::small_disk::{fill, inside};
use crate::store_samples::{names, text};

/// Leaves so many bytes free on the disk of `dir`.
fn leave(dir: &Path, free: u64) -> PathBuf {
    let filler = fill(dir);
    let file = std::fs::File::options().write(true).open(&filler).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(free)).unwrap();
    filler
}

#[test]
fn b03_a_full_disk_at_any_write_costs_no_whole_backup() {
    let Some(disk) = inside(
        "backup_disk::b03_a_full_disk_at_any_write_costs_no_whole_backup",
        "2m",
    ) else {
        return;
    };
    // Files of the host and the signing key lie elsewhere.
    let node = Node::new();
    let signer = node.signer();
    let backups = disk.join("backups");
    let backup = |id: &BackupId, level| take(&backups, &signer, id, level, &node.host());
    let check = |id: &BackupId| {
        let bundle = Bundle::open(&backups.join(id.as_str())).unwrap();
        node.check(&bundle).map(drop)
    };
    let index = IndexFile::new(&disk.join("state"), &backups);
    let first = backup_id(0);
    backup(&first, 3).unwrap();
    index
        .with(|index| index.records.insert(first.clone(), passed()))
        .unwrap();
    for level in [0, 3] {
        let next = backup_id(u32::try_from(level).unwrap() + 10);
        let mut failures = 0;
        for pages in 0.. {
            let filler = leave(&disk, pages * 4096);
            let before = names(&backups);
            let taken = backup(&next, level);
            if let Err(error) = &taken {
                assert!(error.is_full(), "{pages} pages: {}", text(error));
                assert_eq!(names(&backups), before, "{pages} pages");
                failures += 1;
            }
            std::fs::remove_file(filler).unwrap();
            if taken.is_ok() {
                break;
            }
            check(&first).unwrap();
        }
        println!("level {level}: {failures} full disks");
        assert!(failures > 3, "level {level}: only {failures} failures");
        check(&next).unwrap();
    }
    let listing = list(&backups, &Index::default(), &[]).unwrap();
    assert_eq!((listing.backups.len(), listing.strays.len()), (3, 0));

    // The index stays what it was, and says why it could not change.
    let before = index.read().unwrap().index;
    let filler = leave(&disk, 0);
    let error = index.with(|index| index.runs.failures += 1).unwrap_err();
    assert!(error.is_disk(), "{}", text(&error));
    assert_eq!(index.read().unwrap().index, before);

    // A compressed snapshot cannot be looked into; one that is not compressed can.
    let error = check(&first).unwrap_err();
    assert!(
        matches!(error, BundleError::Space { .. }) && error.is_full(),
        "{}",
        text(&error)
    );
    check(&backup_id(10)).unwrap();
    std::fs::remove_file(filler).unwrap();
    check(&first).unwrap();
    index.with(|index| index.runs.failures += 1).unwrap();
    assert_eq!(names(&backups.join(".scratch")), Vec::<String>::new());
}
