//! Bundles: sealed whole, read back whole, and never one of those that only look like it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rekindle::backup::Progress;
use rekindle::backup::bundle::{
    Bundle, BundleError, BundleWriter, Checks, Depth, HostPath, StrayKind, extract_host, list,
    read_host_file, sweep, verify,
};
use rekindle::core::backup::manifest::PartKind;
use rekindle::core::backup::record::{Index, Record};

use crate::backup_samples::{Node, SECRET, backup_id, manifest, put, snapshot};
use crate::store_samples::{names, text};

#[test]
fn a_sealed_bundle_is_read_back_as_it_was_written() {
    for level in [0, 3] {
        let node = Node::new();
        let id = backup_id(0);
        let bundle = node.take(&id, level).unwrap();
        assert_eq!(names(&node.backups()), [id.as_str()]);
        let part = bundle.snapshot();
        assert_eq!(part.compressed, level != 0);
        assert_eq!(part.plain_bytes, snapshot().len() as u64);
        assert_eq!(part.kind, PartKind::Snapshot);
        let checked = node.check(&bundle).unwrap();
        let plain = checked.plain.unwrap();
        assert_eq!(std::fs::read(plain.path()).unwrap(), snapshot());
        assert_eq!(checked.signed_by, Some(node.signer().public()));
        for what in ["signature", "digest of host.tar.zst", "trailer"] {
            let said = checked.checked.iter().any(|said| said.contains(what));
            assert!(said, "{what} is not in {:?}", checked.checked);
        }
        // Unpacked into a file without a name: nothing to clear away, even after a kill.
        assert_eq!(
            names(&node.backups()),
            if level == 0 {
                vec![id.to_string()]
            } else {
                vec![".scratch".to_owned(), id.to_string()]
            }
        );
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(bundle.path()), 0o700);
        for name in names(bundle.path()) {
            assert_eq!(mode(&bundle.path().join(&name)), 0o600, "{name}");
        }
    }
}

#[test]
fn files_of_the_host_come_back_with_mode_and_link() {
    let node = Node::new();
    let key = node.path("etc/kubernetes/pki/ca.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    put(&node.path("etc/kubernetes/large"), &vec![7; 3 << 20]);
    let bundle = node.take(&backup_id(0), 3).unwrap();
    let into = node.path("into");
    std::fs::create_dir(&into).unwrap();
    let count = extract_host(&bundle, &into).unwrap();
    // kubernetes, large, pki, two files, two links.
    assert_eq!(count, 7);
    let back = into.join(key.strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(&back).unwrap(), SECRET);
    let (was, is) = (std::fs::metadata(&key).unwrap(), back.metadata().unwrap());
    assert_eq!((was.mode(), was.uid()), (is.mode(), is.uid()));
    assert_eq!(was.mtime(), is.mtime());
    let link = back.with_file_name("outside");
    assert_eq!(
        std::fs::read_link(link).unwrap(),
        Path::new("/nowhere/at/all")
    );
    let again = extract_host(&bundle, &into).unwrap_err();
    assert!(matches!(again, BundleError::AlreadyThere { .. }), "{again}");

    let read = |path: &Path, limit| read_host_file(&bundle, path, limit);
    assert_eq!(read(&key, 1000).unwrap().unwrap(), SECRET.as_bytes());
    let link = key.with_file_name("current.crt");
    assert_eq!(read(&link, 1000).unwrap().unwrap(), b"certificate");
    assert_eq!(read(&key.with_file_name("outside"), 1000).unwrap(), None);
    assert_eq!(read(Path::new("/etc/passwd"), 1000).unwrap(), None);
    let error = read(&key, 3).unwrap_err();
    assert!(
        text(&error).contains("larger than 3 bytes"),
        "{}",
        text(&error)
    );
    assert!(!text(&error).contains(SECRET) && !format!("{bundle:?}").contains(SECRET));
}

#[test]
fn what_is_missing_or_leads_out_is_said() {
    let node = Node::new();
    let writer = BundleWriter::begin(&node.backups(), &backup_id(0)).unwrap();
    let host = writer.host_tar(&node.host(), &Progress::default()).unwrap();
    assert_eq!(host.missing, [node.path("etc/not-there")]);
    let pki = node.path("etc/kubernetes/pki");
    assert_eq!(
        host.outside,
        [(pki.join("outside"), "/nowhere/at/all".into())]
    );
    let required = [HostPath {
        path: node.path("etc/not-there"),
        required: true,
    }];
    let error = writer
        .host_tar(&required, &Progress::default())
        .unwrap_err();
    assert!(matches!(error, BundleError::HostMissing { .. }), "{error}");
    // A directory that was named as a file's parent is no directory: unreadable, not missing.
    let wrong = [HostPath {
        path: pki.join("ca.crt/below"),
        required: false,
    }];
    let error = writer.host_tar(&wrong, &Progress::default()).unwrap_err();
    assert!(matches!(error, BundleError::Read(_)), "{error}");
}

#[test]
fn b02_part_is_never_a_backup() {
    let node = Node::new();
    let whole = node.take(&backup_id(0), 3).unwrap();
    // One that is being taken: complete but for its name.
    let id = backup_id(1);
    let writer = BundleWriter::begin(&node.backups(), &id).unwrap();
    let mut sink = writer.snapshot_sink(3).unwrap();
    sink.push(&snapshot()).unwrap();
    drop(sink.finish().unwrap());
    let part = node.backups().join(format!("{id}.part"));
    for name in ["manifest.json", "manifest.sig"] {
        std::fs::copy(whole.path().join(name), part.join(name)).unwrap();
    }
    let listed = || list(&node.backups(), &Index::default(), &[]).unwrap();
    let listing = listed();
    assert_eq!(listing.kept().len(), 1);
    assert_eq!(listing.strays.len(), 1);
    assert_eq!(listing.strays[0].kind, StrayKind::BeingTaken);
    // Nobody takes it away from who works on it.
    assert_eq!(sweep(&node.backups()).unwrap(), Vec::<String>::new());
    let error = Bundle::open(&part).unwrap_err();
    assert!(
        matches!(error, BundleError::Unfinished { .. }) && error.hint().is_some(),
        "{error}"
    );
    let error = BundleWriter::begin(&node.backups(), &id).unwrap_err();
    assert!(matches!(error, BundleError::AlreadyThere { .. }), "{error}");
    // Cut off: as a kill leaves it, the lock gone and the directory there.
    let copy = node.backups().join("20261124T003002Z-master1.part");
    std::fs::create_dir(&copy).unwrap();
    drop(writer);
    assert!(!part.exists(), "a writer that gives up clears away");
    let listing = listed();
    assert_eq!(listing.strays[0].kind, StrayKind::CutOff);
    assert_eq!(
        sweep(&node.backups()).unwrap(),
        ["20261124T003002Z-master1.part"]
    );
    assert_eq!(names(&node.backups()), [whole.manifest().id.as_str()]);
    // A `.part` that was renamed by hand is refused by its manifest's name.
    #[expect(clippy::disallowed_methods, reason = "what a person would do")]
    std::fs::rename(whole.path(), node.backups().join(id.as_str())).unwrap();
    let error = Bundle::open(&node.backups().join(id.as_str())).unwrap_err();
    assert!(error.to_string().contains("its manifest is of"), "{error}");
}

#[test]
fn what_is_damaged_is_told_and_not_listed() {
    let node = Node::new();
    for second in 0..5 {
        node.take(&backup_id(second), 3).unwrap();
    }
    let place = |second| node.backups().join(backup_id(second).as_str());
    std::fs::remove_file(place(0).join("manifest.json")).unwrap();
    std::fs::remove_file(place(1).join("snapshot.db.zst")).unwrap();
    put(&place(2).join("host.tar.zst"), b"short");
    put(&place(3).join("manifest.json"), b"{\"format\": 2}");
    std::fs::create_dir(node.backups().join("lost+found")).unwrap();
    std::os::unix::fs::symlink(place(4), node.backups().join(backup_id(9).as_str())).unwrap();
    let mut index = Index::default();
    let record = Record {
        verified: Some(verify(
            &Bundle::open(&place(4)).unwrap(),
            &Checks {
                depth: Depth::Digests,
                trust: None,
                scratch: None,
            },
            &Progress::default(),
        )),
        ..Record::default()
    };
    index.records.insert(backup_id(4), record);
    let listing = list(&node.backups(), &index, &["s3".to_owned()]).unwrap();
    let kept = listing.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].id, backup_id(4));
    assert!(kept[0].verified && !kept[0].rehearsed && !kept[0].copied);
    assert!(kept[0].bytes > 1000);
    let said: Vec<String> = listing
        .strays
        .iter()
        .map(|stray| format!("{}: {:?}", stray.name, stray.kind))
        .collect();
    for (at, what) in [
        "no manifest.json",
        "it is missing",
        "5 bytes instead of",
        "format 2",
        "",
        "Foreign",
    ]
    .iter()
    .enumerate()
    {
        assert!(said[at].contains(what), "{what} is not in {}", said[at]);
    }
    assert_eq!(said.len(), 6, "{said:?}");
}

#[test]
fn a_manifest_that_reaches_out_of_its_bundle_is_refused() {
    let node = Node::new();
    let id = backup_id(0);
    let bundle = node.take(&id, 0).unwrap();
    let parts = bundle.manifest().parts.clone();
    for name in ["../../etc/passwd", "..", "", "manifest.sig", "a\nb"] {
        let mut parts = parts.clone();
        name.clone_into(&mut parts[0].name);
        let text = serde_json::to_vec(&manifest(&id, parts)).unwrap();
        put(&bundle.path().join("manifest.json"), &text);
        let error = Bundle::open(bundle.path()).unwrap_err();
        assert!(error.to_string().contains("impossible name"), "{error}");
    }
    for parts in [vec![], vec![parts[1].clone()], vec![parts[0].clone(); 2]] {
        let text = serde_json::to_vec(&manifest(&id, parts)).unwrap();
        put(&bundle.path().join("manifest.json"), &text);
        let error = Bundle::open(bundle.path()).unwrap_err();
        assert!(matches!(error, BundleError::NotABundle { .. }), "{error}");
    }
}
