//! Which pods a start waits for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pod by namespace and the beginning of its name, as `--required-pods` takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Required {
    /// Its namespace.
    pub namespace: String,
    /// Its name, or that of its controller.
    pub name: String,
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the self-hosted control plane consists of.
pub const DEFAULT: [&str; 3] = [
    "kube-system/kube-apiserver",
    "kube-system/kube-scheduler",
    "kube-system/kube-controller-manager",
];

/// The predecessor's own pod, which its lists name. Rekindle is in its place.
const PREDECESSOR: &str = "pod-checkpointer";

impl Required {
    /// Reads `namespace/name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let label = |part: &str| {
            (1..=253).contains(&part.len())
                && part.bytes().all(|byte| {
                    byte.is_ascii_lowercase()
                        || byte.is_ascii_digit()
                        || matches!(byte, b'-' | b'.')
                })
        };
        match text.split('/').collect::<Vec<_>>()[..] {
            [namespace, name] if label(namespace) && label(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("a pod is named NAMESPACE/NAME, lower case, with one '/'".to_owned()),
        }
    }

    /// The predecessor's checkpointer, for which nobody has to wait.
    #[must_use]
    pub fn is_the_predecessor(&self) -> bool {
        self.name == PREDECESSOR
    }

    /// A pod of this name is one of them: named so, or by a controller that is.
    #[must_use]
    pub fn names(&self, namespace: &str, pod: &str) -> bool {
        self.namespace == namespace
            && pod
                .strip_prefix(self.name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}
