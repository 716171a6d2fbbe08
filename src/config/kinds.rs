//! The kinds of values that keys take: durations, paths, addresses, names.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use http::Uri;

use super::document::Written;
use super::reader::{Key, Reader};
use super::show::Value;
use crate::core::id::CheckpointId;

/// A path may be this long in bytes (`PATH_MAX` is 4096, a socket's is checked on its own).
const PATH_LIMIT: usize = 1024;

impl Reader {
    /// Seconds, fractions allowed to the millisecond.
    pub fn seconds(&mut self, key: Key, default: u32, range: RangeInclusive<u32>) -> Duration {
        let (least, most) = (f64::from(*range.start()), f64::from(*range.end()));
        let told = format!("seconds from {least} to {most}, fractions allowed");
        let default = (
            Duration::from_secs(default.into()),
            Value::Whole(default.into()),
        );
        self.read(key, told, default, |written| {
            let (seconds, shown) = match written {
                Written::Integer(whole) => {
                    let whole =
                        u32::try_from(*whole).map_err(|_| format!("{whole} is out of range"))?;
                    (f64::from(whole), Value::Whole(whole.into()))
                }
                Written::Fraction(fraction) => (*fraction, Value::Fraction(*fraction)),
                other => return Err(format!("a number is expected, not {}", other.kind())),
            };
            // A NaN is in no range.
            if !(least..=most).contains(&seconds) {
                return Err(format!("{seconds} is out of range"));
            }
            Ok((Duration::from_secs_f64(seconds), shown))
        })
    }

    /// Whole milliseconds.
    pub fn milliseconds(&mut self, key: Key, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.whole(key, "milliseconds", default, range))
    }

    /// A number of bytes.
    pub fn bytes(&mut self, key: Key, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.whole(key, "bytes", default, range)
    }

    fn whole(&mut self, key: Key, unit: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let told = format!("{unit} from {} to {}", range.start(), range.end());
        self.read(key, told, (default, Value::Whole(default)), |written| {
            let Written::Integer(whole) = written else {
                return Err(format!("an integer is expected, not {}", written.kind()));
            };
            match u64::try_from(*whole) {
                Ok(whole) if range.contains(&whole) => Ok((whole, Value::Whole(whole))),
                _ => Err(format!("{whole} is out of range")),
            }
        })
    }

    /// `true` or `false`.
    pub fn truth(&mut self, key: Key, default: bool) -> bool {
        let default = (default, Value::Bool(default));
        self.read(key, "true or false", default, |written| match written {
            Written::Bool(truth) => Ok((*truth, Value::Bool(*truth))),
            other => Err(format!("true or false is expected, not {}", other.kind())),
        })
    }

    /// Text that `check` accepts, told as `range`.
    pub fn text(
        &mut self,
        key: Key,
        range: &str,
        default: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> String {
        self.parsed(key, range, (default.to_owned(), default), |text| {
            check(text).map(|()| text.to_owned())
        })
    }

    /// An absolute path without `..`.
    pub fn path(&mut self, key: Key, default: impl AsRef<Path>) -> PathBuf {
        let default = default.as_ref();
        let shown = default.display().to_string();
        self.parsed(
            key,
            "an absolute path without `..`",
            (default.to_owned(), &shown),
            path,
        )
    }

    /// An absolute path, or nothing.
    pub fn optional_path(&mut self, key: Key) -> Option<PathBuf> {
        let told = "an absolute path without `..`, or \"\" for none";
        self.parsed(key, told, (None, ""), |text| optional(text, path))
    }

    /// A URL of one of these schemes without path or query, or nothing.
    pub fn url(&mut self, key: Key, schemes: &[&str], default: &str) -> Option<Uri> {
        let told = format!(
            "a URL `{}://HOST:PORT`, or \"\" for off",
            schemes.join("` or `")
        );
        let parse = |text: &str| optional(text, |text| url(text, schemes));
        // The defaults are valid; a test reads them.
        let preset = parse(default).unwrap_or_default();
        self.parsed(key, &told, (preset, default), parse)
    }

    /// An IP address, or nothing.
    pub fn address(&mut self, key: Key) -> Option<IpAddr> {
        self.parsed(key, "an IP address, or \"\" for none", (None, ""), |text| {
            optional(text, |text| {
                text.parse()
                    .map_err(|_| format!("{} is no IP address", quoted(text)))
            })
        })
    }

    /// An IP address with a port, or nothing.
    pub fn listen_address(&mut self, key: Key) -> Option<SocketAddr> {
        let told = "`ADDRESS:PORT`, for IPv6 `[ADDRESS]:PORT`, or \"\" for off";
        self.parsed(key, told, (None, ""), |text| {
            optional(text, |text| {
                text.parse()
                    .map_err(|_| format!("{} is no address with a port", quoted(text)))
            })
        })
    }

    /// A list of at most `most` texts, each converted by `parse`; `told` says what one is.
    pub fn list<T>(
        &mut self,
        key: Key,
        (told, most): (&str, usize),
        default: &[&str],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let told = format!("a list of at most {most} {told}");
        let shown = default.iter().map(|text| (*text).to_owned()).collect();
        // The defaults are valid; a test reads them.
        let preset = default.iter().filter_map(|text| parse(text).ok()).collect();
        self.read(key, told, (preset, Value::List(shown)), |written| {
            let Written::List(items) = written else {
                return Err(format!("a list is expected, not {}", written.kind()));
            };
            if items.len() > most {
                return Err(format!("{} entries", items.len()));
            }
            let mut values = Vec::new();
            let mut shown = Vec::new();
            for item in items {
                let Written::Text(text) = item else {
                    let kind = item.kind();
                    return Err(format!("a list of strings is expected, not of {kind}"));
                };
                values.push(parse(text)?);
                shown.push(text.clone());
            }
            Ok((values, Value::List(shown)))
        })
    }

    /// A list of absolute paths without `..`, at most 64.
    pub fn paths(&mut self, key: Key, default: &[&str]) -> Vec<PathBuf> {
        self.list(key, ("absolute paths without `..`", 64), default, path)
    }

    /// A list of URLs of this scheme without path or query, at most 16.
    pub fn urls(&mut self, key: Key, scheme: &str, default: &[&str]) -> Vec<String> {
        let told = format!("URLs `{scheme}://HOST:PORT`");
        self.list(key, (&told, 16), default, |text| {
            url(text, &[scheme]).map(|_| text.trim_end_matches('/').to_owned())
        })
    }

    /// A number of something.
    pub fn number(
        &mut self,
        key: Key,
        unit: &str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        let number = self.whole(key, unit, default.into(), range);
        u32::try_from(number).unwrap_or(default)
    }

    /// A list of checkpoint ids, at most 64.
    pub fn checkpoint_ids(&mut self, key: Key, default: &[&str]) -> BTreeSet<CheckpointId> {
        let told = ("checkpoint ids `kind.namespace.name`", 64);
        let ids = self.list(key, told, default, |text| {
            CheckpointId::parse(text).map_err(|error| error.to_string())
        });
        ids.into_iter().collect()
    }

    fn parsed<T>(
        &mut self,
        key: Key,
        range: &str,
        (default, shown): (T, &str),
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let default = (default, Value::Text(shown.to_owned()));
        self.read(key, range, default, |written| {
            let Written::Text(text) = written else {
                return Err(format!("a string is expected, not {}", written.kind()));
            };
            Ok((parse(text)?, Value::Text(text.clone())))
        })
    }
}

fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some)
}

fn path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err(format!("{} is not absolute", quoted(text)));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("{} contains `..`", quoted(text)));
    }
    if text.contains('\0') || text.len() > PATH_LIMIT {
        return Err(format!("a path has no NUL and at most {PATH_LIMIT} bytes"));
    }
    Ok(path.components().collect())
}

fn url(text: &str, schemes: &[&str]) -> Result<Uri, String> {
    let bad = |cause: &str| Err(format!("{} {cause}", quoted(text)));
    let Ok(uri) = text.parse::<Uri>() else {
        return bad("is no URL");
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return bad("has no scheme and host");
    };
    if !schemes.contains(&scheme) {
        return Err(format!("the scheme is `{scheme}`"));
    }
    if authority.as_str().contains('@') {
        // Not quoted: it may hold a password.
        return Err("a URL with credentials is not accepted".to_owned());
    }
    if authority.host().is_empty() {
        return bad("has no host");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return bad("has a path");
    }
    Ok(uri)
}

/// Text in quotes, cut to what fits a line.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}
