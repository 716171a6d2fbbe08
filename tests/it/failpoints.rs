//! D01: killed at every crash point of every file operation, the files are as before or as after
//! the step that was cut off, and the rest of the journey arrives.
//!
//! Needs `--features failpoints` and root (a small disk of its own, to be full).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekindle::core::id::{CheckpointId, RevisionId};
use rekindle::core::stored::Stored;
use rekindle::failpoints;
use rekindle::manifests::dir::ManifestDir;
use rekindle::store::revisions::Revisions;
use rekindle::store::state::{StateFile, load};

use crate::small_disk::{fill, inside};
use crate::store_samples::{id, names, overwrite, pod, rendered, revision, stored};

const JOURNEY: &str = "REKINDLE_TEST_JOURNEY";
const KILL_AT: &str = "REKINDLE_KILL_AT";

/// One step, as the daemon's executor takes it. Every step may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Store(char),
    Commit(Option<char>, u64),
    Write(char),
    Unwrite,
    Drop(char),
    Remove,
    /// Not a step of ours: a file of the revision is damaged.
    Damage(char),
    /// Not a step of ours: somebody takes all the room.
    Fill,
    /// Not a step of ours: room again.
    Empty,
}

/// What every file operation there is takes part in.
pub const STEPS: [Step; 23] = [
    Step::Commit(None, 1),
    Step::Store('a'),
    Step::Commit(Some('a'), 2),
    Step::Write('a'),
    Step::Commit(Some('a'), 3),
    Step::Store('b'),
    Step::Commit(Some('b'), 4),
    Step::Drop('a'),
    Step::Write('b'),
    Step::Fill,
    Step::Commit(Some('b'), 5),
    Step::Commit(Some('b'), 6),
    Step::Empty,
    Step::Commit(Some('b'), 7),
    Step::Damage('b'),
    Step::Store('b'),
    Step::Unwrite,
    Step::Commit(None, 8),
    Step::Remove,
    Step::Store('c'),
    Step::Commit(Some('c'), 9),
    Step::Remove,
    Step::Commit(None, 10),
];

/// The states of the journey; one is too large for what a full disk has left.
fn state(good: Option<char>, count: u64) -> Stored {
    let mut state = stored("api", good, count);
    if count == 6 {
        state.boot_id = "x".repeat(32 << 10);
    }
    state
}

/// What stands on the disk, as far as it counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct World {
    stored: Stored,
    whole: BTreeSet<RevisionId>,
    manifests: BTreeMap<CheckpointId, RevisionId>,
}

impl World {
    /// What is to stand there after `steps`.
    pub fn after(steps: &[Step]) -> Self {
        let mut world = Self::default();
        for step in steps {
            match *step {
                Step::Store(digit) => drop(world.whole.insert(revision(digit))),
                Step::Commit(good, count) => world.stored = state(good, count),
                Step::Write(digit) => drop(world.manifests.insert(id("api"), revision(digit))),
                Step::Unwrite => world.manifests.clear(),
                Step::Drop(digit) | Step::Damage(digit) => {
                    world.whole.remove(&revision(digit));
                }
                Step::Remove => world.whole.clear(),
                Step::Fill | Step::Empty => {}
            }
        }
        world
    }
}

/// The adapters on one directory.
struct Traveller {
    dir: PathBuf,
    revisions: Revisions,
    manifests: ManifestDir,
    state: StateFile,
}

impl Traveller {
    fn start(dir: &Path) -> (Self, Stored, Vec<String>) {
        let state_dir = dir.join("state");
        let manifests = ManifestDir::new(dir.join("manifests"), dir.join("manifests-staging"));
        let loaded = load(&state_dir).unwrap();
        let revisions = Revisions::new(state_dir);
        let traveller = Self {
            dir: dir.to_owned(),
            revisions,
            manifests,
            state: loaded.file,
        };
        (traveller, loaded.stored, loaded.problems)
    }

    fn prepare(&self) {
        self.revisions.prepare().unwrap();
        self.manifests.prepare().unwrap();
    }

    fn take(&self, step: Step) {
        let api = id("api");
        match step {
            Step::Store(digit) => self.revisions.store(&rendered("api", digit)).unwrap(),
            Step::Commit(good, count) => self.state.commit(&state(good, count)).unwrap(),
            Step::Write(digit) => {
                self.manifests
                    .write(&api, &pod(&api, &revision(digit)))
                    .unwrap();
            }
            Step::Unwrite => self.manifests.remove(&api).unwrap(),
            Step::Drop(digit) => self
                .revisions
                .drop_revision(&api, &revision(digit))
                .unwrap(),
            Step::Remove => self.revisions.remove_checkpoint(&api).unwrap(),
            Step::Damage(digit) => {
                let data = self.revisions.data_dir(&api, &revision(digit));
                overwrite(&data.with_file_name("manifest.json"), b"damage");
            }
            Step::Fill => drop(fill(&self.dir)),
            Step::Empty => {
                let _ = std::fs::remove_file(self.dir.join("filler"));
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "read by the process that looks on")]
    fn travel(&self, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            println!("\nbegun {number}");
            self.take(*step);
        }
    }

    fn world(&self, stored: Stored) -> World {
        let mut scan = self.revisions.scan().unwrap();
        let whole = scan.by_checkpoint.remove(&id("api")).unwrap_or_default();
        let view = self.manifests.list().unwrap();
        assert!(
            view.damaged.is_empty() && view.foreign.is_empty(),
            "{view:?}"
        );
        for name in names(&self.dir.join("manifests")) {
            assert_eq!(name, "rekindle-daemonset.kube-system.api.json");
        }
        World {
            stored,
            whole: whole.into_keys().collect(),
            manifests: view.ours,
        }
    }
}

/// Looks at what was left behind when `steps[cut]` was cut off, then travels on to the end.
pub fn arrives(dir: &Path, steps: &[Step], cut: usize) {
    let (traveller, found, problems) = Traveller::start(dir);
    assert_eq!(problems, Vec::<String>::new(), "a kill is no damage");
    let world = traveller.world(found.clone());
    let (before, after) = (World::after(&steps[..cut]), World::after(&steps[..=cut]));
    assert!(
        [&before.stored, &after.stored].contains(&&world.stored),
        "{world:#?}"
    );
    assert!(
        [&before.whole, &after.whole].contains(&&world.whole),
        "{world:#?}"
    );
    assert!(
        [&before.manifests, &after.manifests].contains(&&world.manifests),
        "{world:#?}"
    );
    traveller.prepare();
    assert_eq!(names(&dir.join("state/staging")), Vec::<String>::new());
    assert_eq!(names(&dir.join("manifests-staging")), Vec::<String>::new());
    for step in &steps[cut..] {
        traveller.take(*step);
    }
    let (traveller, found, problems) = Traveller::start(dir);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(traveller.world(found), World::after(steps));
}

/// Travels in a process of its own that is killed when it passes `point` for the `time`-th time.
/// The number of the step that was cut off, or `None` where it arrived.
pub fn travel_until(dir: &Path, point: &str, time: u32) -> Option<usize> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "failpoints::the_journey_arrives", "--nocapture"])
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
    let begun = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("begun "));
    Some(begun.map_or(0, |number| number.parse().unwrap()))
}

/// The steps that make sense on the disk of `dir`: filling it only where it is a small one.
pub fn steps(dir: &Path) -> Vec<Step> {
    let disk = rustix::fs::statvfs(dir).unwrap();
    let small = disk.f_blocks * disk.f_frsize <= 8 << 20;
    let sensible = |step: &Step| small || !matches!(step, Step::Fill | Step::Empty);
    STEPS.into_iter().filter(sensible).collect()
}

#[test]
fn the_journey_arrives() {
    let dir = match std::env::var_os(JOURNEY) {
        Some(dir) => PathBuf::from(dir),
        None => match inside("failpoints::the_journey_arrives", "4m") {
            Some(disk) => disk,
            None => return,
        },
    };
    std::fs::create_dir_all(dir.join("manifests")).unwrap();
    let (traveller, _, problems) = Traveller::start(&dir);
    assert_eq!(problems, Vec::<String>::new());
    traveller.prepare();
    let steps = steps(&dir);
    traveller.travel(&steps);
    let (traveller, found, problems) = Traveller::start(&dir);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(traveller.world(found), World::after(&steps));
}

#[test]
fn d01_killed_at_every_step_of_every_file_operation() {
    let name = "failpoints::d01_killed_at_every_step_of_every_file_operation";
    let Some(disk) = inside(name, "4m") else {
        return;
    };
    let steps = steps(&disk);
    assert_eq!(steps, STEPS);
    let files = [
        "durable.",
        "state.",
        "revision.",
        "checkpoint.",
        "manifest.",
    ];
    let points = failpoints::ALL
        .iter()
        .filter(|point| files.iter().any(|file| point.starts_with(file)));
    let mut kills = BTreeMap::new();
    for point in points {
        for time in 1.. {
            let dir = disk.join("journey");
            std::fs::create_dir(&dir).unwrap();
            let cut = travel_until(&dir, point, time);
            if let Some(cut) = cut {
                if dir.join("manifests").exists() {
                    println!("{point}:{time} in step {cut}, {:?}", steps[cut]);
                    // Killed before anything was begun, there is nothing to look at.
                    arrives(&dir, &steps, cut);
                }
                *kills.entry(*point).or_insert(0) += 1;
            }
            std::fs::remove_dir_all(&dir).unwrap();
            if cut.is_none() {
                break;
            }
        }
        assert!(kills.contains_key(point), "{point} is never passed");
    }
    let total: u32 = kills.values().sum();
    println!("{total} kills at {} points: {kills:?}", kills.len());
    assert!(total > 200, "only {total} kills");
}
