//! The member that a data directory is for, and the set it belongs to.

use super::error::RestoreError;
use crate::core::backup::manifest::Manifest;

/// As it was asked for; what is left open is filled in from the backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The member's name.
    pub name: Option<String>,
    /// Every member with its peer URLs: `NAME=URL,NAME=URL`.
    pub initial_cluster: Option<String>,
    /// The member's peer URLs, with commas.
    pub peer_urls: Option<String>,
    /// The token that another member of the set was restored with; `None`: a fresh one.
    pub token: Option<String>,
}

/// Every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Every member with its peer URLs.
    pub initial_cluster: String,
    /// Its peer URLs, with commas.
    pub peer_urls: String,
    /// The token of the set.
    pub token: String,
    /// Names of the other members of the set.
    pub others: Vec<String>,
}

impl Members {
    /// Fills in what was left open: by the member that the snapshot comes from, or as etcd does.
    pub(super) fn resolve(
        self,
        manifest: Option<&Manifest>,
        fresh_token: impl FnOnce() -> Result<String, RestoreError>,
    ) -> Result<Member, RestoreError> {
        let fail = |why: String| Err(RestoreError::Members(why));
        let from = manifest.and_then(|manifest| {
            let id = manifest.etcd.member_id;
            manifest.etcd.members.iter().find(|member| member.id == id)
        });
        let from_name = from.map(|member| member.name.clone());
        let name = self
            .name
            .or(from_name.filter(|name| !name.is_empty()))
            .unwrap_or_else(|| "default".to_owned());
        if name.is_empty() || name.contains(['=', ',']) || name.chars().any(char::is_control) {
            return fail(format!("{name:?} cannot be a member's name"));
        }
        let Some(cluster) = self.initial_cluster else {
            let known = from.filter(|member| member.name == name);
            let urls = self
                .peer_urls
                .or_else(|| known.map(|member| member.peer_urls.join(",")))
                .filter(|urls| !urls.is_empty())
                .unwrap_or_else(|| "http://localhost:2380".to_owned());
            let each = urls.split(',').map(|url| format!("{name}={url}"));
            return Ok(Member {
                initial_cluster: each.collect::<Vec<_>>().join(","),
                token: self.token.map_or_else(fresh_token, Ok)?,
                peer_urls: urls,
                others: Vec::new(),
                name,
            });
        };
        let mut own = Vec::new();
        let mut others: Vec<String> = Vec::new();
        for entry in cluster.split(',') {
            match entry.split_once('=') {
                Some((of, url)) if !of.is_empty() && url.contains("://") => {
                    if of == name {
                        own.push(url.to_owned());
                    } else if !others.iter().any(|other| other == of) {
                        others.push(of.to_owned());
                    }
                }
                _ => {
                    return fail(format!(
                        "--initial-cluster has {entry:?}, and each entry is NAME=URL"
                    ));
                }
            }
        }
        if own.is_empty() {
            return fail(format!(
                "--initial-cluster does not name this member, {name:?}: name it with --name"
            ));
        }
        Ok(Member {
            peer_urls: self.peer_urls.unwrap_or_else(|| own.join(",")),
            initial_cluster: cluster,
            token: self.token.map_or_else(fresh_token, Ok)?,
            others,
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(name: Option<&str>, cluster: Option<&str>) -> Result<Member, String> {
        let members = Members {
            name: name.map(str::to_owned),
            initial_cluster: cluster.map(str::to_owned),
            ..Members::default()
        };
        members
            .resolve(None, || Ok("fresh".to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_set_is_read_and_defaults_are_filled_in() {
        let member = resolve(None, None).unwrap();
        assert_eq!(member.initial_cluster, "default=http://localhost:2380");
        assert_eq!((member.token.as_str(), member.others.len()), ("fresh", 0));
        let set = "a=http://h1:1,b=http://h2:1,a=http://h1:2,c=http://h3:1";
        let member = resolve(Some("a"), Some(set)).unwrap();
        assert_eq!(member.peer_urls, "http://h1:1,http://h1:2");
        assert_eq!(member.others, ["b", "c"]);
    }

    #[test]
    fn what_makes_no_cluster_is_refused() {
        for (name, cluster) in [
            (Some("x"), "a=http://h1:1"),
            (None, "a=http://h1:1"),
            (Some("a"), "a"),
            (Some("a"), "a=h1:1"),
            (Some("a=b"), "a=http://h1:1"),
        ] {
            resolve(name, Some(cluster)).unwrap_err();
        }
    }
}
