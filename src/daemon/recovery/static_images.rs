//! Images of the control plane's static pods that containerd does not hold: once such a pod has
//! stopped, a kubelet starts it again only where a registry answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::guard::{self, GuardView};
use crate::config::Settings;
use crate::containerd::Containerd;
use crate::core::observed::ImagePresence;
use crate::core::recovery::etcd::Runs;
use crate::core::recovery::evidence::Evidence;
use crate::core::recovery::part::Part;
use crate::daemon::execute::blocking;
use crate::daemon::sources::containerd_config;

/// For all of them; what was not answered by then is not known.
const DEADLINE: Duration = Duration::from_secs(5);

/// A pod that a kubelet would start: what stands under a name, or its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    part: Part,
    file: String,
    copy: Option<String>,
}

/// What is missing of each part, one sentence each. Who does not answer misses nothing.
pub(super) async fn missing(
    settings: &Arc<Settings>,
    evidence: &Evidence,
    guarded: &GuardView,
    etcd: Option<&Runs>,
) -> BTreeMap<Part, Vec<String>> {
    let mut found = BTreeMap::new();
    if evidence.containers.known().is_none() {
        return found;
    }
    let wanted = wanted(guarded, etcd);
    let guard = guard::of(settings);
    let read = blocking(move || {
        let mut images: BTreeMap<Part, BTreeSet<String>> = BTreeMap::new();
        for Wanted { part, file, copy } in wanted {
            // One that cannot be read is told by the guard, or by who looks for etcd's home.
            let of = guard.images(&file, copy.as_deref()).unwrap_or_default();
            images.entry(part).or_default().extend(of);
        }
        Ok(images)
    });
    let images = read.await.unwrap_or_default();
    let containerd = Containerd::new(containerd_config(settings));
    let _late = tokio::time::timeout(DEADLINE, ask(&containerd, images, &mut found)).await;
    found
}

/// Which pods count: where a file is wrong, the copy that would be put back.
fn wanted(guarded: &GuardView, etcd: Option<&Runs>) -> Vec<Wanted> {
    let mut all = Vec::new();
    for file in &guarded.files {
        let copy = file.wrong.and(file.copy.clone());
        if let Some(part) = file.part
            && file.wrong.is_some() == copy.is_some()
        {
            let file = file.file.clone();
            all.push(Wanted { part, file, copy });
        }
    }
    if let Some(Runs::StaticPod { file, .. }) = etcd
        && !guarded.files.iter().any(|guarded| guarded.file == *file)
    {
        all.push(Wanted {
            part: Part::Etcd,
            file: file.clone(),
            copy: None,
        });
    }
    all
}

async fn ask(
    containerd: &Containerd,
    images: BTreeMap<Part, BTreeSet<String>>,
    found: &mut BTreeMap<Part, Vec<String>>,
) {
    for (part, images) in images {
        for image in images {
            match containerd.image_presence(&image).await {
                Ok(ImagePresence::Missing(why)) => found.entry(part).or_default().push(why),
                Ok(ImagePresence::Proven | ImagePresence::Unpinned) => {}
                // Who is silent about one is silent about the next, too.
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Files, load_files};
    use crate::core::reading::Reading;
    use crate::core::recovery::guard::learn::{FileReport, Wrong};
    use crate::core::time::Moment;
    use crate::store::durable::{self, Attributes};

    fn file(name: &str, wrong: Option<Wrong>, copy: Option<&str>) -> FileReport {
        FileReport {
            file: name.to_owned(),
            part: Part::of_name(name.trim_end_matches(".yaml")),
            what: String::new(),
            wrong,
            since: None,
            judged: None,
            present: None,
            copy: copy.map(str::to_owned),
            proven: None,
            lacks: Vec::new(),
        }
    }

    fn view(files: Vec<FileReport>) -> GuardView {
        GuardView {
            looked: true,
            files,
            kubeadm: Reading::not_asked(),
            problems: Vec::new(),
        }
    }

    fn etcd_in(file: &str) -> Runs {
        Runs::StaticPod {
            file: file.to_owned(),
            namespace: "kube-system".to_owned(),
            pod: "etcd".to_owned(),
        }
    }

    #[test]
    fn of_a_wrong_file_the_copy_counts_and_of_etcd_the_file_that_runs_it() {
        let guarded = view(vec![
            file("kube-apiserver.yaml", None, Some("good")),
            file("kube-scheduler.yaml", Some(Wrong::Wedged), Some("good")),
            file("kube-controller-manager.yaml", Some(Wrong::Gone), None),
            file("somebody-else.yaml", None, None),
        ]);
        let all = wanted(&guarded, Some(&etcd_in("etcd-main.yaml")));
        let told: Vec<_> = all
            .iter()
            .map(|it| (it.part, it.file.as_str(), it.copy.as_deref()))
            .collect();
        let expected = [
            (Part::ApiServer, "kube-apiserver.yaml", None),
            (Part::Scheduler, "kube-scheduler.yaml", Some("good")),
            (Part::Etcd, "etcd-main.yaml", None),
        ];
        assert_eq!(told, expected);
        let guarded = view(vec![file("etcd.yaml", None, Some("good"))]);
        assert_eq!(wanted(&guarded, Some(&etcd_in("etcd.yaml"))).len(), 1);
    }

    /// Unknown is not absent.
    #[tokio::test]
    async fn a_containerd_that_does_not_answer_misses_no_image() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::installed(root.path());
        let mut settings = load_files(&files, "n1").unwrap().settings;
        settings.paths.manifest_dir = root.path().to_owned();
        settings.containerd.socket = root.path().join("nobody.sock");
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\n\
                        spec: {containers: [{name: etcd, image: a/etcd:1}]}\n";
        let name = root.path().join("etcd.yaml");
        let ours = Attributes::ours(0o600);
        durable::write(&name, manifest.as_bytes(), &ours, root.path()).unwrap();
        let settings = Arc::new(settings);
        let mut seen = Evidence::nothing("n1", Moment(0));
        let guarded = view(vec![file("etcd.yaml", None, None)]);
        for containers in [Reading::not_asked(), Reading::Known(BTreeMap::new())] {
            seen.containers = containers;
            let found = missing(&settings, &seen, &guarded, None).await;
            assert_eq!(found, BTreeMap::new());
        }
    }
}
