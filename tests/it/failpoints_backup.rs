//! B02, D01: killed at every step of taking, indexing, checking and restoring backups. What was
//! whole is whole, the index is true, there is a whole data directory or none; the rest of the
//! journey arrives. Needs `--features failpoints`.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::backup::Progress;
use rekindle::backup::bundle::{Bundle, Checks, Depth, HostPath, StrayKind, check, list, sweep};
use rekindle::backup::index::IndexFile;
use rekindle::backup::restore::{Members, Raise, Source, Wanted, carry_out, plan};
use rekindle::backup::signing::{Signer, Trust};
use rekindle::core::backup::record::Index;
use rekindle::failpoints;

use crate::backup_index::passed;
use crate::backup_restore::tool;
use crate::backup_samples::{backup_id, put, snapshot, take};
use crate::store_samples::names;

const JOURNEY: &str = "REKINDLE_TEST_BACKUP_JOURNEY";
const KILL_AT: &str = "REKINDLE_KILL_AT";

/// Everything below one directory; every step may be repeated.
pub struct Traveller {
    dir: PathBuf,
    backups: PathBuf,
    index: IndexFile,
}

impl Traveller {
    pub fn new(dir: &Path) -> Self {
        let backups = dir.join("backups");
        let index = IndexFile::new(&dir.join("state"), &backups);
        Self {
            dir: dir.to_owned(),
            backups,
            index,
        }
    }

    fn bundle(&self, second: u32) -> PathBuf {
        self.backups.join(backup_id(second).as_str())
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    #[expect(clippy::print_stdout, reason = "read by the process that looks on")]
    pub fn travel(&self) {
        let done = |step: &str| println!("\ndone {step}");
        self.index.sweep().unwrap();
        sweep(&self.backups).unwrap();
        let signer = Signer::open_or_create(&self.dir.join("state")).unwrap();
        let host = [HostPath {
            path: self.dir.join("host"),
            required: true,
        }];
        for (second, level) in [(0, 3), (1, 0)] {
            let id = backup_id(second);
            if !self.bundle(second).exists() {
                take(&self.backups, &signer, &id, level, &host).unwrap();
            }
            done(&format!("take{second}"));
            self.index
                .with(|index| index.records.insert(id, passed()))
                .unwrap();
            done(&format!("index{second}"));
        }
        self.check(0);
        let marker = self.dir.join("damaged");
        if !marker.exists() {
            put(&self.dir.join("state/backup/index.json"), b"damage");
            put(&marker, b"");
        }
        done("damage");
        self.index.with(|index| index.runs.failures = 7).unwrap();
        done("index again");
        if !self.data().join("member").exists() {
            let trust = Trust::of(&self.dir.join("state"), &[]).unwrap();
            let data_dir = self.data();
            let wanted = Wanted {
                source: Source::find(backup_id(0).as_str(), &self.backups).unwrap(),
                data_dir: &data_dir,
                trust: Some(&trust),
                members: Members::default(),
                raise: Raise::Above(None),
                tool: Some(&self.dir.join("etcdutl")),
                path: "",
            };
            let plan = plan(wanted, &Progress::default()).unwrap();
            carry_out(&plan, &Progress::default()).unwrap();
        }
        done("restore");
    }

    fn check(&self, second: u32) {
        let bundle = Bundle::open(&self.bundle(second)).unwrap();
        let trust = Trust::of(&self.dir.join("state"), &[]).unwrap();
        let checks = Checks {
            depth: Depth::Content,
            trust: Some(&trust),
            scratch: None,
        };
        check(&bundle, &checks, &Progress::default()).unwrap();
    }

    /// Looks at what a kill left, when `done` was said by then.
    pub fn look(&self, done: &[String]) {
        let did = |step: &str| done.iter().any(|done| done == step);
        let listing = list(&self.backups, &Index::default(), &[]).unwrap();
        for stray in &listing.strays {
            assert_eq!(stray.kind, StrayKind::CutOff, "{stray:?}");
        }
        let listed: Vec<_> = listing.kept().into_iter().map(|kept| kept.id).collect();
        for second in [0, 1] {
            if listed.contains(&backup_id(second)) {
                self.check(second);
            } else {
                assert!(!did(&format!("take{second}")), "backup {second} is lost");
            }
        }
        let read = self.index.read().unwrap();
        let damaged = self.dir.join("damaged").exists();
        if !damaged {
            // An index that was never written yet is rebuilt, and that is said.
            let begun = did("index0");
            assert!(!begun || read.problems.is_empty(), "{:?}", read.problems);
        }
        for (id, record) in &read.index.records {
            assert!(listed.contains(id), "{id} is in the index and not there");
            let known = record.verified.is_some();
            assert!(known || damaged || !did("index0"), "{id}: a result is lost");
        }
        for second in [0, 1] {
            if did(&format!("index{second}")) {
                assert!(read.index.records.contains_key(&backup_id(second)));
            }
        }
        if did("index again") {
            assert_eq!(read.index.runs.failures, 7);
        }
        // Whole, or not there.
        let database = std::fs::read(self.data().join("member/snap/db"));
        assert_eq!(database.is_ok(), self.data().exists());
        if let Ok(database) = database {
            assert_eq!(database, snapshot());
            assert!(self.data().join("arguments").exists());
        }
    }

    /// Nothing unfinished is left anywhere.
    pub fn arrived(&self) {
        self.look(&["take0", "index0", "take1", "index1", "index again"].map(str::to_owned));
        assert_eq!(
            names(&self.backups),
            [
                ".scratch".to_owned(),
                backup_id(0).to_string(),
                backup_id(1).to_string()
            ]
        );
        assert_eq!(names(&self.backups.join(".scratch")), Vec::<String>::new());
        assert_eq!(names(&self.bundle(0)).len(), 4);
        // Killed when the data directory had its name, a restore leaves its empty staging.
        let (left, own): (Vec<_>, Vec<_>) = names(&self.dir)
            .into_iter()
            .partition(|name| name.starts_with("data.part-") || name.starts_with("rekindle-tmp-"));
        for name in left {
            let path = self.dir.join(name);
            assert_eq!(names(&path), Vec::<String>::new(), "{}", path.display());
        }
        assert_eq!(
            own,
            ["backups", "damaged", "data", "etcdutl", "host", "state"]
        );
        assert_eq!(
            names(&self.dir.join("state/backup")),
            [
                "index.damaged-1",
                "index.json",
                "lock",
                "signing-key",
                "signing-key.pub"
            ]
        );
        assert!(self.data().join("member/snap/db").exists());
    }
}

pub fn prepare(dir: &Path) {
    std::fs::create_dir(dir.join("host")).unwrap();
    put(&dir.join("host/file"), b"content");
    tool(dir, "");
}

#[test]
fn the_journey_of_backups_arrives() {
    let fresh = tempfile::tempdir().unwrap();
    let dir = std::env::var_os(JOURNEY).map_or_else(|| fresh.path().to_owned(), PathBuf::from);
    if !dir.join("host").exists() {
        prepare(&dir);
    }
    let traveller = Traveller::new(&dir);
    traveller.travel();
    traveller.arrived();
}

/// Travels in a process of its own that is killed when it passes `point` for the `time`-th time:
/// what it had done by then, or `None` where it arrived.
pub fn travel_until(dir: &Path, point: &str, time: u32) -> Option<Vec<String>> {
    let name = "failpoints_backup::the_journey_of_backups_arrives";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(JOURNEY, dir)
        .env(KILL_AT, format!("{point}:{time}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return None;
    }
    assert_eq!(output.status.signal(), Some(9), "{said}\n{errors}");
    let done = said.lines().filter_map(|line| line.strip_prefix("done "));
    Some(done.map(str::to_owned).collect())
}

#[test]
fn d01_killed_at_every_step_of_a_backup() {
    let ours = ["stream.", "bundle.", "index.", "restore."];
    let mut kills: BTreeMap<&str, u32> = BTreeMap::new();
    for point in failpoints::ALL {
        let own = ours.iter().any(|prefix| point.starts_with(prefix));
        if !own && !point.starts_with("durable.") {
            continue;
        }
        for time in 1.. {
            let dir = tempfile::tempdir().unwrap();
            prepare(dir.path());
            let Some(done) = travel_until(dir.path(), point, time) else {
                break;
            };
            println!("{point}:{time} after {done:?}");
            let traveller = Traveller::new(dir.path());
            traveller.look(&done);
            traveller.travel();
            traveller.arrived();
            *kills.entry(point).or_insert(0) += 1;
        }
        assert!(!own || kills.contains_key(point), "{point} is never passed");
    }
    let total: u32 = kills.values().sum();
    println!("{total} kills at {} points: {kills:?}", kills.len());
    assert!(total > 100, "only {total} kills");
}
