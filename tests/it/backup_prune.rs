//! `rekindle backup prune`: what goes, what stays, and that nothing is lost by half.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use rekindle::backup::Progress;
use rekindle::backup::bundle::{BundleWriter, list};
use rekindle::backup::index::IndexFile;
use rekindle::backup::prune::{PruneError, Pruner};
use rekindle::backup::signing::Signer;
use rekindle::core::backup::id::BackupId;
use rekindle::core::backup::policy::Retention;
use rekindle::core::backup::record::{Copy, Index};
use rekindle::core::backup::retention::Room;

use crate::backup_index::passed;
use crate::backup_samples::{flip, manifest, snapshot};
use crate::small_disk::{fill, inside};
use crate::store_samples::{names, text};

/// A directory of backups with its index.
pub struct Shelf {
    pub state: PathBuf,
    pub backups: PathBuf,
}

impl Shelf {
    pub fn new(dir: &Path) -> Self {
        Self {
            state: dir.join("state"),
            backups: dir.join("backups"),
        }
    }

    pub fn index(&self) -> IndexFile {
        IndexFile::new(&self.state, &self.backups)
    }

    /// A whole backup of so many hours ago; `state`: `v` verified, `r` rehearsed too, `-` neither.
    pub fn backup(&self, hours_ago: i64, state: char) -> BackupId {
        let taken_at = Timestamp::now() - SignedDuration::from_hours(hours_ago);
        let id = BackupId::new(taken_at, "master1", 0).unwrap();
        let signer = Signer::open_or_create(&self.state).unwrap();
        let writer = BundleWriter::begin(&self.backups, &id).unwrap();
        let mut sink = writer.snapshot_sink(3).unwrap();
        sink.push(&snapshot()).unwrap();
        let snapshot = sink.finish().unwrap();
        let host = writer.host_tar(&[], &Progress::default()).unwrap();
        let mut manifest = manifest(&id, vec![snapshot, host.part]);
        manifest.taken_at = taken_at;
        writer.seal(&manifest, &signer).unwrap();
        let mut record = passed();
        if state == 'r' {
            record.rehearsed.clone_from(&record.verified);
        }
        if state == '-' {
            record.verified = None;
        }
        self.index()
            .with(|index| index.records.insert(id.clone(), record))
            .unwrap();
        id
    }

    pub fn pruner(&self, retention: Retention) -> Pruner {
        Pruner::new(&self.backups, self.index(), Vec::new(), retention)
    }

    /// Names of the whole backups.
    pub fn whole(&self) -> Vec<String> {
        let listing = list(&self.backups, &Index::default(), &[]).unwrap();
        let kept = listing.kept();
        kept.iter().map(|kept| kept.id.to_string()).collect()
    }

    fn config(&self, more: &str) -> PathBuf {
        let path = self.state.join("config.toml");
        let text = format!(
            "[paths]\nstate_dir = '{}'\n[backup]\ndirectory = '{}'\nmin_free_bytes = 0\n{more}\n",
            self.state.display(),
            self.backups.display()
        );
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, more: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rekindle"))
            .args(["backup", "prune"])
            .args(args)
            .arg("--config")
            .arg(self.config(more))
            .output()
            .unwrap()
    }

    #[track_caller]
    fn prunes(&self, more: &str, args: &[&str]) -> String {
        let output = self.run(more, args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, more: &str, args: &[&str]) -> String {
        let output = self.run(more, args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

const RULES: &str = "keep_last = 2\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0";

fn shelf() -> (tempfile::TempDir, Shelf) {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(dir.path());
    (dir, shelf)
}

#[test]
fn b04_each_decision_is_explained_and_the_newest_verified_stays() {
    let (_dir, shelf) = shelf();
    let ids: Vec<BackupId> = [(48, 'v'), (36, 'r'), (24, 'v'), (12, 'v'), (1, '-')]
        .map(|(hours, state)| shelf.backup(hours, state))
        .to_vec();
    let before = shelf.whole();
    let told = shelf.prunes(RULES, &["--dry-run"]);
    assert_eq!(shelf.whole(), before, "a dry run removes nothing");
    for (id, decision) in [
        (&ids[0], "remove  no rule keeps it"),
        (&ids[1], "keep    newest rehearsed"),
        (&ids[2], "keep    last 2"),
        (&ids[3], "keep    newest verified, last 1"),
        (&ids[4], "keep    newer than the newest verified, last 1"),
    ] {
        let mut lines = told.lines();
        let line = lines.find(|line| line.starts_with(id.as_str()));
        assert!(line.unwrap().ends_with(decision), "{decision}:\n{told}");
    }
    let told = shelf.prunes(RULES, &["-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(json["backups"][4]["removed"], true, "{json:#}");
    assert!(json["removed_bytes"].as_u64().unwrap() > 0);
    assert_eq!(shelf.whole(), before[1..]);
    assert!(
        !shelf
            .index()
            .read()
            .unwrap()
            .index
            .records
            .contains_key(&ids[0])
    );
    assert_eq!(
        shelf
            .prunes(RULES, &["-o", "json"])
            .matches("\"removed\": true")
            .count(),
        0
    );
}

#[test]
fn b04_by_hand_what_must_stay_goes_only_by_force() {
    let (_dir, shelf) = shelf();
    let (old, verified, new) = (
        shelf.backup(24, 'v'),
        shelf.backup(12, 'v'),
        shelf.backup(1, '-'),
    );
    let told = shelf.refuses(RULES, &[old.as_str(), verified.as_str()]);
    assert!(
        told.contains("newest verified") && told.contains("hint: --force"),
        "{told}"
    );
    assert_eq!(shelf.whole().len(), 3, "nothing goes where one must stay");
    shelf.prunes(RULES, &["--dry-run", old.as_str()]);
    assert_eq!(shelf.whole().len(), 3);
    shelf.prunes(RULES, &[old.as_str()]);
    shelf.prunes(RULES, &[verified.as_str(), "--force"]);
    // Now none is verified: the last one must stay.
    let told = shelf.refuses(RULES, &[new.as_str()]);
    assert!(told.contains("no backup is verified"), "{told}");
    let told = shelf.refuses(RULES, &[old.as_str()]);
    assert!(
        told.contains("no backup") && told.contains("rekindle backup list"),
        "{told}"
    );
    let told = shelf.run(RULES, &["--force"]);
    assert_eq!(told.status.code(), Some(2), "--force needs a name");
    // A damaged one is no backup, and goes by force only.
    let manifest = shelf.backups.join(new.as_str()).join("manifest.json");
    flip(&manifest, 0);
    let told = shelf.refuses(RULES, &[new.as_str()]);
    assert!(told.contains("damaged"), "{told}");
    shelf.prunes(RULES, &[new.as_str(), "--force"]);
    assert!(!shelf.backups.join(new.as_str()).exists());
}

#[test]
fn b04_a_lost_index_prunes_nothing() {
    let (_dir, shelf) = shelf();
    for hours in [48, 24, 12, 1] {
        shelf.backup(hours, 'v');
    }
    std::fs::remove_file(shelf.state.join("backup/index.json")).unwrap();
    let output = shelf.run(RULES, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(shelf.whole().len(), 4);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("warning: ")
    );
}

#[test]
fn two_never_prune_at_once() {
    let (_dir, shelf) = shelf();
    shelf.backup(48, 'v');
    let _lock = rekindle::store::lock::hold(&shelf.state.join("backup/work")).unwrap();
    let told = shelf.refuses(RULES, &[]);
    assert!(told.contains("is running"), "{told}");
    // Looking is always possible.
    shelf.prunes(RULES, &["--dry-run"]);
}

#[test]
fn what_is_kept_at_a_target_stays_known() {
    let (_dir, shelf) = shelf();
    let (old, _) = (shelf.backup(24, 'v'), shelf.backup(1, 'v'));
    let copied = |index: &mut Index| {
        let record = index.records.get_mut(&old).unwrap();
        record.copies.insert("nas".to_owned(), Copy::default());
    };
    shelf.index().with(copied).unwrap();
    let retention = Retention {
        last: 1,
        ..Retention::NONE
    };
    let mut removed = Vec::new();
    shelf
        .pruner(retention)
        .prune(Timestamp::now(), &mut |one| removed.push(one))
        .unwrap();
    assert_eq!(removed.len(), 1);
    assert!(
        shelf
            .index()
            .read()
            .unwrap()
            .index
            .records
            .contains_key(&old)
    );
}

#[test]
fn d03_a_clock_that_jumps_prunes_nothing() {
    let (_dir, shelf) = shelf();
    for hours in [4, 3, 2, 1] {
        shelf.backup(hours, 'v');
    }
    let retention = Retention {
        last: 4,
        hourly: 2,
        ..Retention::NONE
    };
    for hours in [-90_000, -2, 2, 90_000] {
        let now = Timestamp::now() + SignedDuration::from_hours(hours);
        shelf
            .pruner(retention)
            .prune(now, &mut |one| panic!("{hours}: {one:?}"))
            .unwrap();
    }
    assert_eq!(shelf.whole().len(), 4);
}

#[test]
fn b03_room_is_made_on_a_full_disk_and_only_so_much() {
    let name = "backup_prune::b03_room_is_made_on_a_full_disk_and_only_so_much";
    let Some(disk) = inside(name, "4m") else {
        return;
    };
    let shelf = Shelf::new(&disk);
    let ids: Vec<BackupId> = [40, 30, 20, 10]
        .map(|hours| shelf.backup(hours, 'v'))
        .to_vec();
    let one = shelf
        .pruner(Retention::NONE)
        .plan(Timestamp::now())
        .unwrap()
        .backups[0]
        .0
        .bytes;
    let filler = fill(&disk);
    // Not a byte is free. Room for one and a half: two of the oldest go.
    let retention = Retention {
        last: 9,
        ..Retention::NONE
    };
    let mut removed = Vec::new();
    let pruner = shelf.pruner(retention);
    let room = pruner
        .make_room(one + one / 2, Timestamp::now(), &mut |gone| {
            removed.push(gone);
        })
        .unwrap();
    assert_eq!(room, Room::Prune(ids[..2].to_vec()));
    let gone: Vec<&BackupId> = removed.iter().map(|gone| &gone.id).collect();
    assert_eq!(gone, [&ids[0], &ids[1]]);
    assert_eq!(shelf.whole().len(), 2);
    // Where it cannot be enough, nothing goes in vain.
    let room = pruner.make_room(1 << 30, Timestamp::now(), &mut |gone| panic!("{gone:?}"));
    assert!(matches!(room.unwrap(), Room::No { .. }));
    // The rules work on the full disk as well, and leave nothing behind.
    std::fs::remove_file(&filler).unwrap();
    let filler = fill(&disk);
    let least = Retention {
        min_free_bytes: 1,
        ..retention
    };
    let mut removed = Vec::new();
    shelf
        .pruner(least)
        .prune(Timestamp::now(), &mut |gone| removed.push(gone))
        .unwrap();
    assert_eq!(removed.len(), 1);
    assert!(removed[0].reason.contains("are free"), "{removed:?}");
    assert_eq!(names(&shelf.backups), [ids[3].to_string()]);
    std::fs::remove_file(filler).unwrap();
    // The index was not harmed.
    let read = shelf.index().read().unwrap();
    assert!(read.problems.is_empty() && read.index.records.contains_key(&ids[3]));
}

#[test]
fn d02_a_read_only_disk_removes_nothing_and_says_so() {
    let name = "backup_prune::d02_a_read_only_disk_removes_nothing_and_says_so";
    let Some(disk) = inside(name, "2m") else {
        return;
    };
    let shelf = Shelf::new(&disk);
    shelf.backup(20, 'v');
    shelf.backup(10, 'v');
    let remount = |how: &str| {
        let mounted = Command::new("mount").args(["-o", how]).arg(&disk).status();
        assert!(mounted.unwrap().success());
    };
    remount("remount,ro");
    let retention = Retention {
        last: 1,
        ..Retention::NONE
    };
    let error = shelf
        .pruner(retention)
        .prune(Timestamp::now(), &mut |gone| panic!("{gone:?}"))
        .unwrap_err();
    assert!(
        matches!(error, PruneError::Remove { .. }),
        "{}",
        text(&error)
    );
    assert!(text(&error).contains("Read-only"), "{}", text(&error));
    assert_eq!(shelf.whole().len(), 2);
    remount("remount,rw");
    shelf
        .pruner(retention)
        .prune(Timestamp::now(), &mut |_| ())
        .unwrap();
    assert_eq!(shelf.whole().len(), 1);
}
