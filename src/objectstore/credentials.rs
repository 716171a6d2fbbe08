//! Credentials of an object store, from a file of this host (scenario B06): never from the
//! cluster, which is what is lost when they are needed.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use rustix::fs::Stat;

use crate::store::dir::{Dir, ReadError};

/// Largest file of credentials.
const LIMIT: u64 = 64 << 10; // 64 KiB

/// Why there are no credentials. Holds nothing of the file's content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Others than its owner may read or write it.
    #[error("{} has mode {mode:04o}: others can read it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it.
    #[error("{} belongs to user {uid}, who is neither root nor the one rekindle runs as", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// A value is missing in it.
    #[error("{} has no {missing}", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// The key that is missing.
        missing: &'static str,
    },
}

impl CredentialsError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { path, .. } => {
                format!(
                    "write the credentials to {}, for root alone",
                    path.display()
                )
            }
            Self::Open { path, .. } => format!("chmod 0600 {}", path.display()),
            Self::Foreign { path, .. } => format!("chown root: {}", path.display()),
            Self::Incomplete { path, .. } => format!(
                "{} needs the lines `aws_access_key_id = …` and `aws_secret_access_key = …`",
                path.display()
            ),
        }
    }
}

/// Credentials that are read again whenever their file has changed.
pub(super) struct FileCredentials {
    path: PathBuf,
    last: Mutex<Option<(Version, Arc<AwsCredential>)>>,
}

/// What tells one content of the file from the next.
type Version = (u64, u64, i64, i64, i64);

#[allow(
    clippy::useless_conversion,
    reason = "the fields' types differ by architecture"
)]
fn version(stat: &Stat) -> Version {
    (
        stat.st_dev.into(),
        stat.st_ino.into(),
        stat.st_size,
        stat.st_mtime.into(),
        i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
    )
}

impl fmt::Debug for FileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCredentials")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl FileCredentials {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            last: Mutex::new(None),
        }
    }

    /// What the file says now.
    pub(super) fn current(&self) -> Result<Arc<AwsCredential>, CredentialsError> {
        let (text, stat) = read(&self.path)?;
        let version = version(&stat);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, credential)) = &*last
            && *before == version
        {
            return Ok(Arc::clone(credential));
        }
        let credential = Arc::new(parse(&text, &self.path)?);
        *last = Some((version, Arc::clone(&credential)));
        Ok(credential)
    }
}

fn read(path: &Path) -> Result<(String, Stat), CredentialsError> {
    let unreadable = |why: String| CredentialsError::Unreadable {
        path: path.to_owned(),
        why,
    };
    let place = path.parent().zip(path.file_name().and_then(|n| n.to_str()));
    let (dir, name) = place.ok_or_else(|| unreadable("it names no file".to_owned()))?;
    let said = |error: ReadError| match error.io() {
        Some(io) => unreadable(io.to_string()),
        None => unreadable(error.to_string()),
    };
    let (bytes, stat) = Dir::open(dir)
        .and_then(|dir| dir.read(name, LIMIT))
        .map_err(said)?;
    let mode = stat.st_mode & 0o7777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(CredentialsError::Open { path, mode });
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&stat.st_uid) {
        let path = path.to_owned();
        let uid = stat.st_uid;
        return Err(CredentialsError::Foreign { path, uid });
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is no text".to_owned()))?;
    Ok((text, stat))
}

/// The first section of a file in the form of `~/.aws/credentials`.
/// Source: AWS SDKs and Tools Reference Guide, shared config and credentials files.
fn parse(text: &str, path: &Path) -> Result<AwsCredential, CredentialsError> {
    let mut sections = 0;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            sections += 1;
        }
        if sections > 1 {
            break;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        let place = match key.trim() {
            "aws_access_key_id" => &mut id,
            "aws_secret_access_key" => &mut secret,
            "aws_session_token" => &mut token,
            _ => continue,
        };
        *place = Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    let missing = |missing| CredentialsError::Incomplete {
        path: path.to_owned(),
        missing,
    };
    Ok(AwsCredential {
        key_id: id.ok_or_else(|| missing("aws_access_key_id"))?,
        secret_key: secret.ok_or_else(|| missing("aws_secret_access_key"))?,
        token,
    })
}

type Answer<'a> =
    Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'a>>;

impl CredentialProvider for FileCredentials {
    type Credential = AwsCredential;

    // What `async_trait` makes of the method.
    fn get_credential<'life, 'a>(&'life self) -> Answer<'a>
    where
        'life: 'a,
        Self: 'a,
    {
        let answer = self
            .current()
            .map_err(|error| object_store::Error::Generic {
                store: "credentials",
                source: Box::new(error),
            });
        Box::pin(std::future::ready(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_section_counts() {
        let text = "# ours\n[default]\naws_access_key_id = one\n aws_secret_access_key=\"two\"\n\
                    [other]\naws_access_key_id = three\naws_session_token = four\n";
        let found = parse(text, Path::new("/c")).unwrap();
        assert_eq!(
            (
                found.key_id.as_str(),
                found.secret_key.as_str(),
                found.token
            ),
            ("one", "two", None)
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = parse("aws_access_key_id = one\n", Path::new("/c")).unwrap_err();
        assert_eq!(error.to_string(), "/c has no aws_secret_access_key");
    }
}
