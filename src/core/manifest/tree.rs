//! All files and directories of a checkpoint's data volumes, ready for the store.

use std::collections::BTreeMap;

use super::access::{Access, Permissions};
use super::findings::Findings;
use super::payload::{Payload, shown};
use super::rendered::{DataDir, DataFile};

/// Most bytes that the data of one checkpoint may have, files and environment together.
pub(super) const DATA_LIMIT: usize = 16 << 20;

/// Files and directories by path below the data directory.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, DataFile>,
    dirs: BTreeMap<String, (Permissions, Access)>,
}

impl Tree {
    /// Lays out one volume. A volume without files is an empty directory.
    pub(super) fn volume(
        &mut self,
        name: &str,
        payload: Payload,
        access: Access,
        findings: &mut Findings,
    ) {
        // A volume that names owners for its files has several readers.
        let owned = payload.entries.values().any(|entry| entry.user.is_some());
        let access = if owned { Access::Declared } else { access };
        self.dirs.insert(name.to_owned(), (access.dir(), access));
        for (path, entry) in payload.entries {
            let user = entry.user.and_then(|user| u32::try_from(user).ok());
            let Permissions { mode, uid, gid } = access.file(entry.mode, user);
            let parent = path.rsplit_once('/').map(|(parent, _)| parent);
            if parent.is_some_and(|parent| !self.directory(name, parent)) {
                findings.refuse(format!(
                    "volume {name} has both a file and a directory at a part of {}",
                    shown(&path)
                ));
                continue;
            }
            let path = format!("{name}/{path}");
            if self.dirs.contains_key(&path) {
                findings.refuse(format!(
                    "volume {name} has both a file and a directory {path:?}"
                ));
                continue;
            }
            let file = DataFile {
                path: path.clone(),
                content: entry.content,
                mode,
                uid,
                gid,
            };
            self.files.insert(path, file);
        }
    }

    /// Makes sure that `path` is a directory of `volume`; false where a file is in its way.
    pub(super) fn directory(&mut self, volume: &str, path: &str) -> bool {
        let Some((_, access)) = self.dirs.get(volume).copied() else {
            return false;
        };
        let mut full = volume.to_owned();
        for part in path.split('/') {
            full.push('/');
            full.push_str(part);
            if self.files.contains_key(&full) {
                return false;
            }
            self.dirs.insert(full.clone(), (access.dir(), access));
        }
        true
    }

    /// Whether `path` is a file of `volume`.
    pub(super) fn is_file(&self, volume: &str, path: &str) -> bool {
        self.files.contains_key(&format!("{volume}/{path}"))
    }

    /// Whether `volume` was laid out here.
    pub(super) fn has_volume(&self, volume: &str) -> bool {
        self.dirs.contains_key(volume)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> usize {
        self.files.values().map(|file| file.content.len()).sum()
    }

    /// Files and directories in the order of their paths.
    pub(super) fn into_parts(self) -> (Vec<DataFile>, Vec<DataDir>) {
        let dirs = self
            .dirs
            .into_iter()
            .map(|(path, (permissions, _))| DataDir {
                path,
                mode: permissions.mode,
                uid: permissions.uid,
                gid: permissions.gid,
            });
        (self.files.into_values().collect(), dirs.collect())
    }
}
