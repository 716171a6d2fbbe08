//! The objects of `manifests`: read, put in order, created where they are not there yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::apiserver::ask::{Asker, escaped};
use crate::core::start::observed::ObjectsSeen;
use crate::core::time::Moment;
use crate::daemon::clock;
use crate::store::dir::{Dir, ReadError};
use crate::yaml;

/// Largest file, bytes.
const FILE_LIMIT: u64 = 8 << 20;
/// Most objects.
const OBJECTS: usize = 10_000;
/// Deepest directory.
const DEPTH: usize = 8;
/// For a kind to be served after its definition was created.
const ESTABLISHED: Duration = Duration::from_secs(120);
/// For an API server that does not answer, or not yet, to create one object.
const PATIENCE: Duration = Duration::from_secs(120);
/// For an API server to make the roles that everybody has, at the beginning of its life.
const YOUNG: Duration = Duration::from_secs(20);
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// One object. It may be a Secret: no content in `Debug`.
pub struct Object {
    /// Its file, below `manifests`.
    file: String,
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    value: Value,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said())
    }
}

/// Why the objects cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// A file or directory.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file holds something else.
    #[error("{}: {cause}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, without its content.
        cause: String,
    },
    /// More than anybody can mean.
    #[error("there are more than {OBJECTS} objects, or directories deeper than {DEPTH}")]
    TooMany,
}

impl Object {
    fn said(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!(
            "{} {namespace}{slash}{} ({})",
            self.kind, self.name, self.file
        )
    }

    /// Namespaces first, then definitions of kinds, then what may need them.
    fn rank(&self) -> u8 {
        match self.kind.as_str() {
            "Namespace" => 0,
            "CustomResourceDefinition" => 1,
            _ => 2,
        }
    }
}

/// Every object below `dir`, in the order in which they are created.
///
/// # Errors
/// See [`ObjectsError`]: nothing is left out silently.
pub fn read(dir: &Path) -> Result<Vec<Object>, ObjectsError> {
    let mut objects = Vec::new();
    collect(&Dir::open(dir)?, "", 0, &mut objects)?;
    objects.sort_by_key(Object::rank);
    Ok(objects)
}

fn collect(
    dir: &Dir,
    below: &str,
    depth: usize,
    objects: &mut Vec<Object>,
) -> Result<(), ObjectsError> {
    let mut names = dir.names()?;
    names.sort();
    for name in names {
        if depth > DEPTH || objects.len() > OBJECTS {
            return Err(ObjectsError::TooMany);
        }
        let file = format!("{below}{name}");
        match dir.read(&name, FILE_LIMIT) {
            Ok((bytes, _)) => {
                let wrong = |cause: String| ObjectsError::Content {
                    path: dir.path().join(&name),
                    cause,
                };
                let found = parse(&file, &bytes).map_err(wrong)?;
                objects.extend(found);
            }
            Err(ReadError::NotAFile { .. }) => {
                collect(&dir.sub(&name)?, &format!("{file}/"), depth + 1, objects)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The objects of one file: documents of YAML or JSON, each an object or a list of some; `null`
/// documents count for nothing.
///
/// # Errors
/// What is wrong with it, without its content. A file without any object is wrong.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Object>, String> {
    let documents = yaml::documents(bytes).ok_or("it is neither YAML nor JSON")?;
    let mut objects = Vec::new();
    for document in documents {
        flatten(file, document, &mut objects)?;
    }
    if objects.is_empty() {
        return Err("it holds no object".to_owned());
    }
    Ok(objects)
}

fn flatten(file: &str, mut document: Value, objects: &mut Vec<Object>) -> Result<(), String> {
    if document.is_null() {
        return Ok(());
    }
    let text = |value: &Value, pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let kind = text(&document, "/kind").ok_or("an object has no kind")?;
    let api_version = text(&document, "/apiVersion").ok_or("an object has no apiVersion")?;
    if kind.ends_with("List") && document.get("items").is_some() {
        if let Some(Value::Array(items)) = document.get_mut("items").map(Value::take) {
            for item in items {
                flatten(file, item, objects)?;
            }
        }
        return Ok(());
    }
    let name = text(&document, "/metadata/name").ok_or("an object has no name")?;
    objects.push(Object {
        file: file.to_owned(),
        namespace: text(&document, "/metadata/namespace"),
        api_version,
        kind,
        name,
        value: document,
    });
    Ok(())
}

/// Creates all of them and tells how far it is. `strict`: stops at the first that cannot be.
pub(super) async fn create(
    asker: &Asker,
    objects: Vec<Object>,
    strict: bool,
    say: &watch::Sender<ObjectsSeen>,
    lines: &tokio::sync::mpsc::UnboundedSender<String>,
) {
    let mut kinds = Kinds::default();
    let (mut there, mut failed) = (0, Vec::new());
    for object in objects {
        let doing = format!("creating {}", object.said());
        say.send_replace(ObjectsSeen::Running { there, doing });
        let begun = clock::now();
        let outcome = loop {
            match attempt(asker, &object, &mut kinds).await {
                Ok(created) => break Ok(created),
                Err(Trouble::Final(why)) => break Err(why),
                Err(Trouble::Now(why, patience)) => {
                    if clock::now().since(begun) > patience {
                        break Err(why);
                    }
                    let doing = format!("creating {}: {why}", object.said());
                    say.send_replace(ObjectsSeen::Running { there, doing });
                }
            }
            tokio::time::sleep(RETRY).await;
        };
        let line = match outcome {
            Ok(created) => {
                there += 1;
                let word = if created { "Created" } else { "Exists:" };
                format!("{word} {}", object.said())
            }
            Err(why) => {
                failed.push(format!("{}: {why}", object.said()));
                format!("Failed creating {}: {why}", object.said())
            }
        };
        // The run may have ended.
        let _gone = lines.send(line);
        if strict && !failed.is_empty() {
            break;
        }
    }
    say.send_replace(ObjectsSeen::Ended { there, failed });
}

enum Trouble {
    /// No attempt will do better.
    Final(String),
    /// The next one may, for so long.
    Now(String, Duration),
}

/// Where a kind is served.
#[derive(Default)]
struct Kinds(BTreeMap<String, Vec<Served>>);

#[derive(Clone, Deserialize)]
struct Served {
    name: String,
    kind: String,
    namespaced: bool,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<Served>,
}

impl Kinds {
    /// Path of the collection of `object`.
    async fn path(&mut self, asker: &Asker, object: &Object) -> Result<String, Trouble> {
        let group = match object.api_version.split_once('/') {
            Some((group, version)) => format!("/apis/{}/{}", escaped(group), escaped(version)),
            None => format!("/api/{}", escaped(&object.api_version)),
        };
        if !self.0.contains_key(&group) {
            let found: Option<Resources> = asker
                .find(&group)
                .await
                .map_err(|unseen| Trouble::Now(unseen.detail, PATIENCE))?;
            let Some(found) = found else {
                return Err(Trouble::Final(format!(
                    "{} is not served",
                    object.api_version
                )));
            };
            self.0.insert(group.clone(), found.resources);
        }
        let mut served = self.0.get(&group).into_iter().flatten();
        let served = served.find(|it| it.kind == object.kind && !it.name.contains('/'));
        let Some(served) = served else {
            let (kind, version) = (&object.kind, &object.api_version);
            return Err(Trouble::Final(format!("no {kind} is served in {version}")));
        };
        if !served.namespaced {
            return Ok(format!("{group}/{}", served.name));
        }
        let namespace = object.namespace.as_deref().unwrap_or("default");
        Ok(format!(
            "{group}/namespaces/{}/{}",
            escaped(namespace),
            served.name
        ))
    }
}

/// Creates one object; false where it is there already.
async fn attempt(asker: &Asker, object: &Object, kinds: &mut Kinds) -> Result<bool, Trouble> {
    let path = kinds.path(asker, object).await?;
    let body = object.value.to_string().into_bytes();
    let reply = asker.send(Method::POST, &path, Some(body)).await;
    let reply = reply.map_err(|unseen| Trouble::Now(unseen.detail, PATIENCE))?;
    let created = match reply.status {
        200..=299 => true,
        409 => false,
        429 | 500..=599 => return Err(Trouble::Now(reply.words(), PATIENCE)),
        403 => return Err(Trouble::Now(reply.words(), YOUNG)),
        status => return Err(Trouble::Final(format!("{status} {}", reply.words()))),
    };
    if object.kind == "CustomResourceDefinition" {
        established(asker, &path, object).await?;
        kinds.0.clear();
    }
    Ok(created)
}

/// Waits until a definition's kind is served.
async fn established(asker: &Asker, path: &str, object: &Object) -> Result<(), Trouble> {
    let path = format!("{path}/{}", escaped(&object.name));
    let begun: Moment = clock::now();
    loop {
        let found: Option<Value> = asker
            .find(&path)
            .await
            .map_err(|unseen| Trouble::Now(unseen.detail, PATIENCE))?;
        let conditions = found
            .as_ref()
            .and_then(|it| it.pointer("/status/conditions"));
        let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
        let mut conditions = conditions.filter(|it| it.get("type") == Some(&"Established".into()));
        if conditions.any(|it| it.get("status") == Some(&"True".into())) {
            return Ok(());
        }
        if clock::now().since(begun) > ESTABLISHED {
            let seconds = ESTABLISHED.as_secs();
            return Err(Trouble::Final(format!(
                "not established within {seconds} s"
            )));
        }
        tokio::time::sleep(RETRY).await;
    }
}
