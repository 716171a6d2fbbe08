//! Who must be able to read the files of data volumes, and with which modes (scenario C20).
//!
//! The kubelet keeps volumes below root-only directories and is free with the modes inside; so is
//! the store. Inside, modes are still as narrow as the pod's security context lets them be.

use k8s_openapi::api::core::v1::PodSpec;

use super::findings::Findings;
use super::needs::all_containers;

/// Modes and owner of one volume's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// One user reads: 0600 in 0700.
    One { uid: u32 },
    /// The pod's `fsGroup` reads: 0640 in 0750.
    Group { uid: u32, gid: u32 },
    /// Several or unknown users read: declared modes in 0755.
    Declared,
}

/// Mode and owner of one file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permissions {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What the pod says of its users, for all its volumes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Users {
    /// The one uid that every container runs as.
    one: Option<u32>,
    /// No container says anything of its user: the images decide, mostly for root.
    unsaid: bool,
    fs_group: Option<u32>,
}

impl Users {
    /// Reads the security contexts of the pod and of all its containers.
    pub(super) fn of(spec: &PodSpec, findings: &mut Findings) -> Self {
        let pod = spec.security_context.as_ref();
        let mut id = |what: &str, value: Option<i64>| {
            let value = value?;
            let id = u32::try_from(value).ok();
            if id.is_none() {
                findings.refuse(format!("{what} {value} is out of range"));
            }
            id
        };
        let fs_group = id("fsGroup", pod.and_then(|pod| pod.fs_group));
        let mut users = Vec::new();
        let mut unsaid = true;
        for container in all_containers(spec) {
            let own = container.security_context.as_ref();
            let user = own.and_then(|own| own.run_as_user);
            let user = user.or_else(|| pod.and_then(|pod| pod.run_as_user));
            let non_root = own.and_then(|own| own.run_as_non_root);
            let non_root = non_root.or_else(|| pod.and_then(|pod| pod.run_as_non_root));
            let user = id("runAsUser", user);
            unsaid &= user.is_none() && non_root != Some(true);
            users.push(user);
        }
        let first = users.first().copied().flatten();
        Self {
            one: first.filter(|_| users.iter().all(|user| *user == first)),
            unsaid,
            fs_group,
        }
    }

    /// How a volume's files are laid out. `secret`: it holds data of Secrets or tokens.
    pub(super) fn access(&self, secret: bool, findings: &mut Findings) -> Access {
        match (self.one, self.fs_group) {
            (one, Some(gid)) => Access::Group {
                uid: one.unwrap_or(0),
                gid,
            },
            (Some(uid), None) => Access::One { uid },
            (None, None) if self.unsaid && secret => {
                findings.note(
                    "no runAsUser is set: files of Secrets and tokens belong to root and are \
                     closed to a process that the image runs as another user",
                );
                Access::One { uid: 0 }
            }
            (None, None) => {
                if !self.unsaid {
                    findings.note(
                        "the containers run as different or unknown users without an fsGroup: \
                         data files keep their declared modes, and only the root-only \
                         directories above keep the node's other users out",
                    );
                }
                Access::Declared
            }
        }
    }
}

impl Access {
    /// Of a file for which the pod declares the permission bits `declared`.
    pub(super) fn file(self, declared: u32, user: Option<u32>) -> Permissions {
        let declared = declared & 0o777;
        // The reader of the original was its owner, its group or another: any bit was its own.
        let reader = (declared >> 6 | declared >> 3 | declared) & 0o7;
        match self {
            Self::One { uid } => Permissions {
                mode: reader << 6,
                uid: user.unwrap_or(uid),
                gid: 0,
            },
            // The kubelet adds group read for an fsGroup, whatever the declared mode.
            // Source: kubelet 1.20 `pkg/volume/volume_linux.go`, `changeFilePermission`.
            Self::Group { uid, gid } => Permissions {
                mode: reader << 6 | (reader & 0o5 | 0o4) << 3,
                uid: user.unwrap_or(uid),
                gid,
            },
            Self::Declared => Permissions {
                mode: declared,
                uid: user.unwrap_or(0),
                gid: 0,
            },
        }
    }

    /// Of a directory.
    pub(super) fn dir(self) -> Permissions {
        let (mode, uid, gid) = match self {
            Self::One { uid } => (0o700, uid, 0),
            Self::Group { uid, gid } => (0o750, uid, gid),
            Self::Declared => (0o755, 0, 0),
        };
        Permissions { mode, uid, gid }
    }
}
