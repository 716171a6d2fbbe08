//! Copies of static manifests on the disk, putting back and undoing, in real directories.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rekindle::core::reading::Reading;
use rekindle::core::recovery::guard::memory::{Good, GuardMemory, Kept};
use rekindle::core::recovery::guard::restore::Restore;
use rekindle::core::recovery::guard::seen::FileSeen;
use rekindle::recovery::guard::{Before, Guard, GuardError, kubeadm};

use crate::guard_world::{API, ETCD, Node, manifest, wall};
use crate::store_samples::overwrite;

/// The guard's directories below one.
pub(crate) struct Disk {
    pub(crate) guard: Guard,
    pub(crate) manifests: PathBuf,
    pub(crate) state: PathBuf,
}

impl Disk {
    pub(crate) fn new(dir: &Path) -> Self {
        let (manifests, state) = (dir.join("manifests"), dir.join("state"));
        std::fs::create_dir_all(&manifests).unwrap();
        let files = [
            API.to_owned(),
            ETCD.to_owned(),
            "rekindle-x.json".to_owned(),
        ];
        let guard = Guard::new(&state, &manifests, dir.join("staging"), files, "node1");
        let state = state.join("static-pods");
        Self {
            guard,
            manifests,
            state,
        }
    }

    pub(crate) fn put(&self, file: &str, text: &str) {
        let path = self.manifests.join(file);
        overwrite(&path, text.as_bytes());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    }

    pub(crate) fn get(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.manifests.join(file)).ok()
    }

    /// Keeps a copy of what stands there, and gives its digest.
    pub(crate) fn keep(&self, file: &str) -> String {
        let digest = Node::digest(&self.get(file).unwrap());
        self.guard.keep(file, &digest, wall()).unwrap();
        digest
    }

    fn look(&self, file: &str) -> FileSeen {
        match self.guard.seen() {
            Reading::Known(seen) => seen[file].clone(),
            Reading::Unknown(unseen) => panic!("{unseen:?}"),
        }
    }
}

pub(crate) fn restore(file: &str, digest: &str, instead_of: Option<String>) -> Restore {
    Restore {
        file: file.to_owned(),
        digest: digest.to_owned(),
        instead_of,
        why: "a test".to_owned(),
    }
}

#[test]
fn what_stands_there_is_seen_and_never_our_own_files() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    disk.put(API, &manifest(API, "a"));
    let Reading::Known(seen) = disk.guard.seen() else {
        panic!()
    };
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[ETCD], FileSeen::Absent);
    let FileSeen::Pod(pod) = &seen[API] else {
        panic!("{seen:?}")
    };
    assert_eq!(pod.name, "kube-apiserver-node1");
    // As the kubelet takes them: the first of several documents, and JSON.
    let several = format!("---\n{}---\nkind: X\n", manifest(API, "a"));
    disk.put(API, &several);
    assert!(matches!(disk.look(API), FileSeen::Pod(_)));
    disk.put(API, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
    assert!(matches!(disk.look(API), FileSeen::Pod(_)));
    disk.put(API, "");
    assert_eq!(disk.look(API), FileSeen::Empty);
    disk.put(API, "a: [\n");
    assert_eq!(disk.look(API), FileSeen::Broken);
    overwrite(&disk.manifests.join(API), &[0xff, 0xfe, 0x00]);
    assert_eq!(disk.look(API), FileSeen::Broken);
    // What cannot be told is not called broken.
    std::fs::remove_file(disk.manifests.join(API)).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", disk.manifests.join(API)).unwrap();
    assert!(matches!(disk.look(API), FileSeen::Unseen(_)));
    std::fs::remove_file(disk.manifests.join(API)).unwrap();
    disk.put(API, &"#".repeat(2 << 20));
    assert!(matches!(disk.look(API), FileSeen::Unseen(_)));
    std::fs::remove_dir_all(&disk.manifests).unwrap();
    assert!(
        disk.guard.seen().known().is_none(),
        "no directory is unknown"
    );
}

#[test]
fn images_are_those_of_what_stands_there_or_of_the_copy() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    assert_eq!(disk.guard.images(API, None).unwrap(), [] as [String; 0]);
    disk.put(API, &manifest(API, "a"));
    let kept = disk.keep(API);
    let changed = manifest(API, "a").replace(":v1", ":v2");
    disk.put(API, &changed);
    let of = |copy| disk.guard.images(API, copy).unwrap();
    assert_eq!(of(None), ["registry.k8s.io/kube-apiserver:v2"]);
    assert_eq!(of(Some(&kept)), ["registry.k8s.io/kube-apiserver:v1"]);
    disk.put(API, "");
    assert_eq!(of(None), [] as [String; 0]);
    assert!(disk.guard.images(API, Some("none")).is_err());
}

#[test]
fn a_copy_is_byte_for_byte_private_and_believed_only_whole() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    let text = format!("# a comment\n{}", manifest(API, "a"));
    disk.put(API, &text);
    let digest = disk.keep(API);
    let (copies, problems) = disk.guard.copies().unwrap();
    assert_eq!(problems, [] as [String; 0]);
    assert_eq!(copies[API][&digest].mode, 0o640);
    let content = disk.state.join(format!("copies/{API}/{digest}.yaml"));
    assert_eq!(std::fs::read_to_string(&content).unwrap(), text);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&content), 0o600);
    assert_eq!(mode(&disk.state), 0o700);
    overwrite(&content, text.replace("flag=a", "flag=b").as_bytes());
    let (copies, problems) = disk.guard.copies().unwrap();
    assert!(copies.is_empty(), "{copies:?}");
    assert_eq!(problems.len(), 1);
    let refused = disk.guard.put_back(&restore(API, &digest, None), wall());
    assert!(
        matches!(refused, Err(GuardError::NoCopy { .. })),
        "{refused:?}"
    );
    // Kept again in its place; and not if the file is something else by now.
    disk.keep(API);
    assert_eq!(disk.guard.copies().unwrap().0[API].len(), 1);
    disk.put(API, "");
    let refused = disk.guard.keep(API, &digest, wall());
    assert!(
        matches!(refused, Err(GuardError::Changed { .. })),
        "{refused:?}"
    );
    disk.guard.drop_copy(API, &digest).unwrap();
    assert!(disk.guard.copies().unwrap().0.is_empty());
}

#[test]
fn put_back_over_nothing_and_over_ruins_and_undone() {
    let good = manifest(API, "a");
    for ruin in [
        None,
        Some(String::new()),
        Some("a: [\n".to_owned()),
        Some(manifest(API, "wrong")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path());
        disk.put(API, &good);
        let digest = disk.keep(API);
        match &ruin {
            None => std::fs::remove_file(disk.manifests.join(API)).unwrap(),
            Some(text) => disk.put(API, text),
        }
        let instead_of = ruin.as_ref().filter(|text| text.contains("kind: Pod"));
        let restore = restore(API, &digest, instead_of.map(|text| Node::digest(text)));
        let done = disk.guard.put_back(&restore, wall()).unwrap();
        assert_eq!(disk.get(API).as_ref(), Some(&good));
        let mode = std::fs::metadata(disk.manifests.join(API)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o640, "as it was");
        let names = std::fs::read_dir(&disk.manifests).unwrap().count();
        assert_eq!(names, 1, "nothing else is left in the kubelet's directory");
        match (&done.before, &ruin) {
            (Before::Nothing, None) => {}
            (Before::File { aside, mode, .. }, Some(text)) => {
                assert_eq!(std::fs::read_to_string(aside).unwrap(), *text);
                assert_eq!(*mode, 0o640);
                assert!(Path::new(aside).starts_with(&disk.state));
            }
            other => panic!("{other:?}"),
        }
        // Once more: it is there, and what it found at first is not forgotten.
        assert_eq!(disk.guard.put_back(&restore, wall()).unwrap(), done);
        disk.guard.undo(API).unwrap();
        assert_eq!(disk.get(API), ruin);
        let again = disk.guard.undo(API);
        assert!(
            matches!(again, Err(GuardError::NothingToUndo { .. })),
            "{again:?}"
        );
    }
}

#[test]
fn what_somebody_changed_meanwhile_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    disk.put(API, &manifest(API, "a"));
    let digest = disk.keep(API);
    // Decided while the file was gone; the operator was faster.
    let mended = manifest(API, "mended");
    disk.put(API, &mended);
    let refused = disk.guard.put_back(&restore(API, &digest, None), wall());
    assert!(
        matches!(refused, Err(GuardError::Changed { .. })),
        "{refused:?}"
    );
    assert_eq!(disk.get(API), Some(mended.clone()));
    // Put back, then mended: an undoing would undo that.
    let wedged = Some(Node::digest(&mended));
    disk.guard
        .put_back(&restore(API, &digest, wedged), wall())
        .unwrap();
    disk.put(API, &manifest(API, "other"));
    let refused = disk.guard.undo(API);
    assert!(
        matches!(refused, Err(GuardError::Changed { .. })),
        "{refused:?}"
    );
    assert_eq!(disk.get(API), Some(manifest(API, "other")));
    // A link is somebody's own way.
    std::fs::remove_file(disk.manifests.join(API)).unwrap();
    std::os::unix::fs::symlink("/nonexistent", disk.manifests.join(API)).unwrap();
    let refused = disk.guard.put_back(&restore(API, &digest, None), wall());
    assert!(
        matches!(refused, Err(GuardError::NotAFile { .. })),
        "{refused:?}"
    );
    // And no directory is made for the kubelet.
    std::fs::remove_dir_all(&disk.manifests).unwrap();
    assert!(
        disk.guard
            .put_back(&restore(API, &digest, None), wall())
            .is_err()
    );
    assert!(!disk.manifests.exists());
}

#[test]
fn etcd_is_not_put_back_onto_a_wiped_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    let (data, pki) = (dir.path().join("data"), dir.path().join("pki"));
    std::fs::create_dir_all(data.join("member/snap")).unwrap();
    std::fs::create_dir_all(&pki).unwrap();
    overwrite(&pki.join("ca.crt"), b"x");
    let empty = dir.path().join("plugins");
    std::fs::create_dir_all(&empty).unwrap();
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: etcd, namespace: kube-system}}\nspec:\n  \
         hostNetwork: true\n  containers:\n  - name: etcd\n    image: etcd\n    volumeMounts:\n    \
         - {{name: data, mountPath: /d}}\n    - {{name: pki, mountPath: /p, readOnly: true}}\n    \
         - {{name: plugins, mountPath: /q, readOnly: true}}\n  volumes:\n  \
         - {{name: data, hostPath: {{path: {}, type: DirectoryOrCreate}}}}\n  \
         - {{name: pki, hostPath: {{path: {}}}}}\n  - {{name: plugins, hostPath: {{path: {}}}}}\n",
        data.display(),
        pki.display(),
        empty.display(),
    );
    disk.put(ETCD, &pod);
    let digest = disk.keep(ETCD);
    let lacks = || disk.guard.lacks(ETCD, &digest).unwrap();
    assert_eq!(lacks(), [] as [String; 0], "an empty directory is no need");
    std::fs::remove_dir_all(data.join("member")).unwrap();
    assert_eq!(lacks(), [data.join("member").display().to_string()]);
    std::fs::remove_file(pki.join("ca.crt")).unwrap();
    assert_eq!(lacks().len(), 2, "a directory that was emptied is gone");
}

#[test]
fn the_memory_survives_and_a_damaged_one_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(dir.path());
    assert_eq!(disk.guard.load().unwrap().memory, GuardMemory::default());
    disk.put(API, &manifest(API, "a"));
    let digest = disk.keep(API);
    let good = Good {
        digest: digest.clone(),
        meaning: disk.guard.copies().unwrap().0[API][&digest].meaning.clone(),
        since: wall(),
    };
    let kept = Kept {
        good: Some(good.clone()),
        ..Kept::default()
    };
    let memory = GuardMemory {
        boot_id: "boot-1".to_owned(),
        files: [(API.to_owned(), kept)].into(),
    };
    disk.guard.commit(&memory, 7).unwrap();
    let loaded = disk.guard.load().unwrap();
    assert_eq!((loaded.memory, loaded.generation), (memory, 7));
    overwrite(&disk.state.join("index.json"), b"{\"kind\"");
    let loaded = disk.guard.load().unwrap();
    assert_eq!(loaded.memory.files[API].good, Some(good));
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert!(disk.state.join("index.damaged-1").exists());
}

#[test]
fn kubeadm_is_found_by_the_name_of_its_process() {
    let dir = tempfile::tempdir().unwrap();
    for (pid, comm) in [
        ("1", "systemd\n"),
        ("77", "kubelet\n"),
        ("self", "kubeadm\n"),
    ] {
        std::fs::create_dir(dir.path().join(pid)).unwrap();
        overwrite(&dir.path().join(pid).join("comm"), comm.as_bytes());
    }
    assert_eq!(kubeadm::at_work(dir.path()), Reading::Known(false));
    std::fs::create_dir(dir.path().join("78")).unwrap();
    overwrite(&dir.path().join("78/comm"), b"kubeadm\n");
    assert_eq!(kubeadm::at_work(dir.path()), Reading::Known(true));
    let none = kubeadm::at_work(&dir.path().join("none"));
    assert!(none.known().is_none(), "unknown is not absent");
}
