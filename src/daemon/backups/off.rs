//! Why this node takes no backups, if it takes none.

use crate::config::Settings;

/// The reason in words; `None`: it takes backups. Looks at the disk only.
#[must_use]
pub fn reason(settings: &Settings) -> Option<String> {
    if !settings.backup.enabled {
        return Some("backup.enabled is false".to_owned());
    }
    if settings.etcd.endpoints.is_empty() {
        return Some("no etcd is configured (etcd.endpoints)".to_owned());
    }
    let etcd = &settings.etcd;
    if etcd.endpoints.iter().all(|url| url.starts_with("http://")) {
        return None;
    }
    let own = [&etcd.cert_file, &etcd.key_file].into_iter().flatten();
    let mut files = std::iter::once(&etcd.ca_file).chain(own);
    let missing = files.find(|path| !path.exists())?.display();
    Some(format!(
        "no etcd here: {missing}, with which it would be asked, is missing (etcd.*)"
    ))
}
