//! Keys of `[backup.targets.NAME]`: where copies of backups go.

use std::path::PathBuf;
use std::time::Duration;

use super::{key, names};
use crate::backup::targets::{TargetSettings, check_recipient};
use crate::config::document::{Entry, Written};
use crate::config::kinds::quoted;
use crate::config::reader::Reader;
use crate::objectstore::{DirectorySettings, Place, S3Settings};

const SECTION: &str = "backup.targets";

/// The keys that only one kind has.
const OF_S3: [&str; 7] = [
    "endpoint",
    "region",
    "bucket",
    "prefix",
    "path_style",
    "credentials_file",
    "ca_file",
];
const OF_FILE: [&str; 2] = ["directory", "must_be_mountpoint"];

/// A target, so that the table of all keys has theirs.
pub(super) fn example() -> Entry {
    Entry {
        file: PathBuf::new(),
        line: 0,
        section: format!("{SECTION}.NAME"),
        name: None,
        value: Written::Other("a table"),
    }
}

pub(super) fn targets(r: &mut Reader) -> Vec<TargetSettings> {
    let names = r.tables_below(SECTION);
    let targets = names.into_iter().map(|name| target(r, name)).collect();
    r.section("backup");
    targets
}

fn target(r: &mut Reader, name: String) -> TargetSettings {
    r.section(format!("{SECTION}.{name}"));
    let kind = r.text(
        key(
            "kind",
            "s3: a bucket of an S3-compatible store; file: a directory, as an NFS mount.",
        ),
        "s3 or file",
        "s3",
        |text| match text {
            "s3" | "file" => Ok(()),
            text => Err(format!("{} is no kind of target", quoted(text))),
        },
    );
    let s3 = s3(r);
    let directory = directory(r);
    let recipients = r.list(
        key(
            "recipients",
            "Copies are encrypted to these; empty: not encrypted.",
        ),
        ("age recipients `age1...`", 16),
        &[],
        |text| match check_recipient(text) {
            Ok(()) => Ok(text.to_owned()),
            Err(why) => Err(format!("{}: {why}", quoted(text))),
        },
    );
    let bandwidth = r.bytes(
        key(
            "bandwidth_bytes_per_second",
            "At most so much is sent; 0: no limit.",
        ),
        0,
        0..=1 << 40,
    );
    let prune = r.truth(
        key(
            "prune",
            "Copies are deleted with the local backups that retention prunes.",
        ),
        false,
    );
    let deadline = r.seconds(
        key(
            "call_deadline_seconds",
            "Deadline of small requests; sending a part may take ten times as long.",
        ),
        30,
        1..=600,
    );
    let wanted = Wanted { r, name: &name };
    let place = if kind == "file" {
        wanted.file(directory, deadline)
    } else {
        wanted.s3(s3, deadline)
    };
    TargetSettings {
        name,
        place,
        recipients,
        bandwidth,
        prune,
    }
}

/// Bucket keys as written; `credentials_file` may be missing.
struct Bucket {
    endpoint: Option<http::Uri>,
    region: String,
    name: String,
    prefix: String,
    path_style: bool,
    credentials_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

fn s3(r: &mut Reader) -> Bucket {
    Bucket {
        endpoint: r.url(
            key("endpoint", "The store, without the bucket."),
            &["https", "http"],
            "",
        ),
        region: r.text(
            key("region", "Region that requests are signed for."),
            "letters, digits and `-`, at most 64 characters",
            "us-east-1",
            names::region,
        ),
        name: r.text(
            key("bucket", "The bucket; it must exist."),
            "a bucket's name: 3 to 63 lower-case letters, digits, `.` and `-`",
            "",
            names::bucket,
        ),
        prefix: r.text(
            key("prefix", "What every object's name begins with."),
            "letters, digits, `-`, `_`, `.` and `/`, at most 100 characters",
            "",
            names::key_prefix,
        ),
        path_style: r.truth(
            key(
                "path_style",
                "The bucket is in the path and not in the host name.",
            ),
            true,
        ),
        credentials_file: r.optional_path(key(
            "credentials_file",
            "Credentials in the form of ~/.aws/credentials, mode 0600, on this host.",
        )),
        ca_file: r.optional_path(key(
            "ca_file",
            "Authorities of the store's certificate (PEM); empty: the system's.",
        )),
    }
}

fn directory(r: &mut Reader) -> (Option<PathBuf>, bool) {
    (
        r.optional_path(key("directory", "The directory, of a target of kind file.")),
        r.truth(
            key(
                "must_be_mountpoint",
                "Something is mounted exactly there; false: it holds a file .rekindle-target.",
            ),
            true,
        ),
    )
}

/// Checks that what a kind needs is there, and nothing of the other kind.
struct Wanted<'a> {
    r: &'a mut Reader,
    name: &'a str,
}

impl Wanted<'_> {
    fn file(
        mut self,
        (directory, must_be_mountpoint): (Option<PathBuf>, bool),
        deadline: Duration,
    ) -> Place {
        self.common();
        self.none_of(&OF_S3, "file");
        self.there("directory", directory.is_some());
        Place::Directory(DirectorySettings {
            directory: directory.unwrap_or_default(),
            must_be_mountpoint,
            deadline,
        })
    }

    fn s3(mut self, it: Bucket, deadline: Duration) -> Place {
        self.common();
        self.none_of(&OF_FILE, "s3");
        self.there("endpoint", it.endpoint.is_some());
        self.there("bucket", !it.name.is_empty());
        self.there("credentials_file", it.credentials_file.is_some());
        let endpoint = it.endpoint.map(|uri| uri.to_string()).unwrap_or_default();
        Place::S3(S3Settings {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region: it.region,
            bucket: it.name,
            prefix: it.prefix.trim_matches('/').to_owned(),
            path_style: it.path_style,
            credentials_file: it.credentials_file.unwrap_or_default(),
            ca_file: it.ca_file,
            deadline,
        })
    }

    fn common(&mut self) {
        let plain = self
            .name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !plain || self.name.len() > 64 || self.name.is_empty() {
            self.r.combination(
                &format!("{SECTION}.{}.kind", self.name),
                format!("{} is no name of a target", quoted(self.name)),
                "a name has letters, digits, `-` and `_`, at most 64",
            );
        }
    }

    fn there(&mut self, name: &str, there: bool) {
        let path = format!("{SECTION}.{}.{name}", self.name);
        // A wrong one is told already.
        if !there && !self.r.is_wrong(&path) {
            self.r.combination(
                &path,
                "it is missing".to_owned(),
                "a target of this kind needs it",
            );
        }
    }

    fn none_of(&mut self, names: &[&str], kind: &str) {
        for name in names {
            let path = format!("{SECTION}.{}.{name}", self.name);
            if self.r.is_set(&path) {
                let cause = format!("a target of kind {kind} has no such key");
                self.r
                    .combination(&path, cause, "remove it, or change the kind");
            } else if !self.r.is_example(&format!("{SECTION}.{}", self.name)) {
                self.r.take_back(&path);
            }
        }
    }
}
