//! Verifying databases that a real etcd wrote: `tests/fixtures/etcd`, made by the script there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rekindle::backup::Progress;
use rekindle::backup::verify::{Kind, Options, VerifyError, verify, verify_with};
use sha2::{Digest, Sha256};

/// Written by `etcdctl snapshot save`.
pub(crate) const SNAPSHOT: &[u8] = include_bytes!("../fixtures/etcd/small.snap");
/// `member/snap/db` of the same etcd, stopped.
pub(crate) const DATABASE: &[u8] = include_bytes!("../fixtures/etcd/member/snap/db");

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/etcd")
        .join(name)
}

#[expect(clippy::disallowed_methods, reason = "a test's own file")]
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn rekindle(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.args(args).output().unwrap()
}

#[test]
fn a_snapshot_is_whole_and_its_figures_are_etcds() {
    let progress = Progress::default();
    let found = verify(&fixture("small.snap"), &progress).unwrap();
    assert_eq!(found.kind, Kind::Snapshot);
    // As `etcdctl snapshot status` and `endpoint status` printed them when it was made.
    assert_eq!((found.integrity, found.total_keys), (55_691_614, 144));
    assert_eq!(found.content.database_bytes, 61440);
    assert_eq!(found.content.revision, 126);
    assert_eq!(found.content.compacted_revision, 90);
    // As `etcdctl get --prefix --keys-only` counted them.
    assert_eq!(found.content.live_keys, 79);
    assert_eq!(found.content.resources["pods"], 49);
    assert_eq!(found.content.resources["secrets"], 19);
    assert_eq!(found.content.resources["example.com/widgets"], 5);
    assert_eq!(found.content.resources["other"], 1);
    assert_eq!(
        found.content.resources.values().sum::<u64>(),
        found.content.live_keys
    );
    assert_eq!(found.remarks, Vec::<String>::new());
    assert!(!found.compacting);
    let whole = Sha256::digest(SNAPSHOT);
    let mut hex = String::new();
    for byte in whole {
        write!(hex, "{byte:02x}").unwrap();
    }
    assert_eq!(found.sha256_of_file, hex);
    let position = progress.position();
    assert_eq!((position.done, position.total), (61472, 61472));
}

#[test]
fn a_raw_database_is_whole_and_what_cannot_be_checked_is_said() {
    let found = verify(&fixture("member/snap/db"), &Progress::default()).unwrap();
    let snapshot = verify(&fixture("small.snap"), &Progress::default()).unwrap();
    assert_eq!(found.kind, Kind::RawDatabase);
    assert_eq!(found.content, snapshot.content);
    assert_eq!(found.integrity, snapshot.integrity);
    assert_eq!(found.remarks.len(), 1);
    assert!(
        found.remarks[0].contains("no trailer"),
        "{:?}",
        found.remarks
    );
}

#[test]
fn another_prefix_counts_other_resources() {
    let options = Options {
        prefix: "/registry/example.com/",
        ..Options::default()
    };
    let found = verify_with(&fixture("small.snap"), &options, &Progress::default()).unwrap();
    assert_eq!(found.content.resources["widgets"], 5);
    assert_eq!(found.content.resources["other"], 74);
}

#[test]
fn b02_a_part_file_is_refused_whatever_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "snapshot.db.part",
        "snapshot.PART",
        "20261124T003000Z-m.part/snapshot.db",
    ] {
        let path = dir.path().join(name);
        write(&path, SNAPSHOT);
        let error = verify(&path, &Progress::default()).unwrap_err();
        assert!(matches!(error, VerifyError::Unfinished { .. }), "{error}");
        assert!(error.to_string().contains("unfinished"), "{error}");
        let output = rekindle(&["backup", "verify", path.to_str().unwrap()]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("unfinished") && told.contains("\nhint: "),
            "{told}"
        );
        assert!(output.stdout.is_empty());
    }
    // Whoever writes it may look at it before its last rename.
    let options = Options {
        unfinished: true,
        ..Options::default()
    };
    let path = dir.path().join("snapshot.db.part");
    assert!(verify_with(&path, &options, &Progress::default()).is_ok());
}

#[test]
fn b02_a_snapshot_without_its_hash_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshot.db");
    write(&path, &SNAPSHOT[..SNAPSHOT.len() - 32]);
    let error = verify(&path, &Progress::default()).unwrap_err();
    assert!(matches!(error, VerifyError::NoTrailer { .. }), "{error}");
    let output = rekindle(&["backup", "verify", path.to_str().unwrap()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("without its trailer"), "{told}");
    // The very same bytes are what a stopped etcd may leave; then it is said, or at its place.
    let output = rekindle(&["backup", "verify", "--raw", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_no_database_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: &[u8], reason: &str| {
        let path = dir.path().join(name);
        write(&path, bytes);
        let error = verify(&path, &Progress::default()).unwrap_err();
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    };
    check("empty", b"", "the file ends");
    check("short", &SNAPSHOT[..1000], "neither");
    check("half", &SNAPSHOT[..30720], "end is missing");
    check("longer", &[SNAPSHOT, &[0; 7]].concat(), "neither");
    check("padded", &[SNAPSHOT, &[0; 512]].concat(), "SHA-256");
    check("zeros", &vec![0; 65536], "magic number");
    check("zstd", b"\x28\xB5\x2F\xFDxxxxxxxx", "compressed with zstd");
    check("cut", &SNAPSHOT[..SNAPSHOT.len() - 4096], "SHA-256");
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = verify(&fifo, &Progress::default()).unwrap_err();
    assert!(matches!(error, VerifyError::NoFile { .. }), "{error}");
    let error = verify(&dir.path().join("absent"), &Progress::default()).unwrap_err();
    assert!(matches!(error, VerifyError::Read { .. }), "{error}");
    assert!(!error.is_damage());
}

#[test]
fn a_database_that_is_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("member/snap/db");
    write(&path, DATABASE);
    let held = std::fs::File::open(&path).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = verify(&path, &Progress::default()).unwrap_err();
    assert!(matches!(error, VerifyError::InUse { .. }), "{error}");
    drop(held);
    assert!(verify(&path, &Progress::default()).is_ok());
}

#[test]
fn damage_is_told_with_page_and_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.db");
    let mut bytes = SNAPSHOT.to_vec();
    // The page's own number, of the root page of a tree.
    let page = page_with_flags(2);
    bytes[page * 4096] ^= 0x40;
    write(&path, &bytes);
    let error = verify(&path, &Progress::default()).unwrap_err();
    let told = error.to_string();
    let place = format!("page {page}, byte {}", page * 4096);
    assert!(told.contains("SHA-256") && told.contains(&place), "{told}");
    // Inside a value: only the hash finds it.
    let mut bytes = SNAPSHOT.to_vec();
    let at = bytes
        .windows(12)
        .position(|part| part == b"large large ")
        .unwrap();
    bytes[at + 600] ^= 1;
    write(&path, &bytes);
    let told = verify(&path, &Progress::default()).unwrap_err().to_string();
    assert!(told.contains("inside a value"), "{told}");
    let output = rekindle(&["backup", "verify", "-o", "json", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["whole"], false);
    assert!(report["failure"].as_str().unwrap().contains("SHA-256"));
}

/// The first page of a kind.
fn page_with_flags(flags: u8) -> usize {
    let mut pages = SNAPSHOT.chunks_exact(4096).enumerate();
    pages
        .find(|(_, page)| page[8] == flags && page[0] != 0)
        .unwrap()
        .0
}

#[test]
fn the_command_prints_a_table_and_json() {
    let path = fixture("small.snap");
    let path = path.to_str().unwrap();
    let output = rekindle(&["backup", "verify", path]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    for line in [
        "revision       126",
        "snapshot hash  351c95e",
        "  pods                 49",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    let output = rekindle(&["backup", "verify", path, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["whole"], true);
    assert_eq!(report["kind"], "snapshot");
    assert_eq!(report["content"]["live_keys"], 79);
    assert_eq!(report["snapshot_hash"], 55_691_614);
}
