//! Guarded static manifests in the plan: which copies there are, and which files are put back.

use std::collections::BTreeMap;

use super::guard::GuardView;
use super::task::Task;
use crate::core::reading::{Reading, Unseen};
use crate::core::recovery::guard::restore::{Asker, Situation, restores};
use crate::core::recovery::loss::Assessment;
use crate::core::recovery::part::Part;
use crate::core::recovery::plan::Restraint;
use crate::core::recovery::resources::Resources;

/// The file of each part of which there is a good copy.
pub(super) fn copies(guarded: &GuardView) -> Reading<BTreeMap<Part, String>> {
    if !guarded.looked {
        return Reading::not_asked();
    }
    let files = guarded.files.iter();
    let kept = files.filter_map(|file| {
        file.copy
            .as_ref()
            .and(Some((file.part?, file.file.clone())))
    });
    Reading::Known(kept.collect())
}

impl Task {
    /// Which are wrong and put back, by what is seen now.
    pub(super) fn static_pods(
        &self,
        found: &mut Resources,
        assessment: &Assessment,
        restraint: &Restraint,
        asked: bool,
    ) {
        let guarded = self.guard.borrow();
        let kubelet = self.kubelet();
        let situation = Situation {
            asker: if asked {
                Asker::Operator
            } else {
                Asker::Automatic
            },
            assessment,
            held: restraint.held.first().map(String::as_str),
            kubelet: &kubelet,
            kubeadm: &guarded.kubeadm,
        };
        let decided = restores(&guarded.files, &situation);
        let part_of = |name: &str| {
            let mut files = guarded.files.iter();
            files.find(|file| file.file == name)?.part
        };
        found.put_back = decided
            .files
            .into_iter()
            .filter_map(|restore| Some((part_of(&restore.file)?, restore)))
            .collect();
        found.not_put_back = decided.blockers;
        found.manifests_wait = decided.waits;
    }

    /// Whether the kubelet answers, as the loop sees it.
    fn kubelet(&self) -> Reading<()> {
        let published = self.published.borrow();
        let mut sources = published.report.sources.iter();
        match sources.find(|source| source.name == "kubelet") {
            None => Reading::not_asked(),
            Some(source) => match source.unknown {
                None => Reading::Known(()),
                Some(kind) => Reading::Unknown(Unseen::new(kind, source.detail.clone())),
            },
        }
    }
}
