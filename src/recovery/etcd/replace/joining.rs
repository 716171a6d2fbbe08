//! The first start of a member that joins a cluster: etcd has to be told so by its flags. Once its
//! log is there, they are not read any more, and what starts it may be as it was.
//!
//! Source: etcd 3.5 `server/etcdserver/server.go`, `NewServer`: `haveWAL`.

use serde_json::Value;

use super::super::home::{LIMIT, pod};
use super::super::power::{place, put_manifest, write_manifest};
use crate::config::Settings;
use crate::core::recover::command;
use crate::core::recovery::etcd::home::container_of;
use crate::failpoints::hit;
use crate::recovery::etcd::Error;
use crate::store::dir::Dir;
use crate::store::durable::{self, Attributes};
use crate::yaml;

/// End of the name of the adapted manifest in the recovery's directory.
const JOINING: &str = ".joining";

/// Puts the manifest `file` in place so that the member joins `cluster`. Blocks.
///
/// # Errors
/// [`Error::NotAutomatic`] where the flags cannot be given.
pub(super) fn begin(settings: &Settings, id: &str, file: &str, cluster: &str) -> Result<(), Error> {
    let kept = place(settings, id)?;
    let (original, stat) = kept.read(file, LIMIT)?;
    let adapted = adapted(&original, cluster).ok_or_else(|| Error::NotAutomatic {
        home: format!("the static pod {file}"),
        why: "its command line takes no further flags".to_owned(),
    })?;
    let before = joining(&kept, file)?;
    let attributes = Attributes {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    };
    let name = format!("{file}{JOINING}");
    durable::write_in(&kept, &name, &adapted, &attributes, &kept)?;
    hit("recovery-etcd.joining-kept");
    write_manifest(settings, file, &adapted, attributes, before.as_deref())
}

/// Takes the adapted manifest away, so that the pod ends; `true`: no manifest stands there now. Blocks.
///
/// # Errors
/// Where the directory cannot be read or written.
pub(super) fn taken(settings: &Settings, id: &str, file: &str) -> Result<bool, Error> {
    let adapted = joining(&place(settings, id)?, file)?;
    let dir = Dir::open(&settings.paths.manifest_dir)?;
    match dir.read(file, LIMIT) {
        Ok((standing, _)) if Some(&standing) == adapted.as_ref() => {
            durable::remove_in(&dir, file)?;
            hit("recovery-etcd.joining-taken");
            Ok(true)
        }
        // The original, or somebody else's: to be said by who puts the original back.
        Ok(_) => Ok(false),
        Err(error) if error.is_absent() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Puts the original manifest back. Blocks.
pub(super) fn end(settings: &Settings, id: &str, file: &str) -> Result<(), Error> {
    let adapted = joining(&place(settings, id)?, file)?;
    put_manifest(settings, file, id, adapted.as_deref())
}

/// The adapted manifest, where there is one.
fn joining(kept: &Dir, file: &str) -> Result<Option<Vec<u8>>, Error> {
    match kept.read(&format!("{file}{JOINING}"), LIMIT) {
        Ok((bytes, _)) => Ok(Some(bytes)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The manifest with the flags of a member that joins; as JSON, which is YAML. Everything else in
/// it stays.
pub(super) fn adapted(original: &[u8], cluster: &str) -> Option<Vec<u8>> {
    let mut value = yaml::document(original)?;
    let pod = pod(original)?;
    let mut container = container_of(&pod)?.clone();
    let wanted = [
        ("initial-cluster", cluster),
        ("initial-cluster-state", "existing"),
    ];
    for (flag, to) in wanted {
        let changed = command::change(&mut container, flag, |_| Some(to.to_owned()));
        if changed.is_empty() && !command::append(&mut container, &format!("--{flag}={to}")) {
            return None;
        }
    }
    let containers = value.get_mut("spec")?.get_mut("containers")?;
    let mut all = containers.as_array_mut()?.iter_mut();
    let named = |it: &&mut Value| it.get("name").and_then(Value::as_str) == Some(&container.name);
    let own = all.find(named)?.as_object_mut()?;
    for (key, words) in [("command", &container.command), ("args", &container.args)] {
        if let Some(words) = words {
            own.insert(key.to_owned(), serde_json::to_value(words).ok()?);
        }
    }
    serde_json::to_vec_pretty(&value).ok()
}

#[cfg(test)]
mod tests {
    use super::adapted;

    #[test]
    fn the_flags_are_given_and_everything_else_stays() {
        let original =
            b"apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\n\
            spec:\n  containers:\n  - name: etcd\n    image: etcd:1\n    futureField: kept\n\
            \x20   command: [etcd, --name=a, '--initial-cluster=a=http://1:1']\n";
        let adapted = adapted(original, "a=http://1:1,b=http://2:1").unwrap();
        let value: serde_json::Value = serde_json::from_slice(&adapted).unwrap();
        let container = &value["spec"]["containers"][0];
        assert_eq!(container["futureField"], "kept");
        let expected = [
            "etcd",
            "--name=a",
            "--initial-cluster=a=http://1:1,b=http://2:1",
            "--initial-cluster-state=existing",
        ];
        assert_eq!(container["command"], serde_json::json!(expected));
    }
}
