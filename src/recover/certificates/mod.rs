//! The certificates of a recovered tree against this host and this day (R10, R11): what has
//! expired, what does not hold yet, and whether the API server's names this host. With the key of
//! the authority among what was found, leaves can be issued anew.

pub mod expiry;
mod held;
mod issue;

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{GeneralName, X509Certificate};

use self::held::Held;
use self::issue::{AuthorityKey, Fresh};
use super::host::Host;
use crate::core::recover::found::{Found, Stored};
use crate::core::recover::plan::{Bytes, Plan};

/// How long a certificate that is issued anew holds, in seconds, unless its authority ends before:
/// a year, as installers give.
const LIFETIME: i64 = 365 * 24 * 3600;
/// It holds from this many seconds ago, for a client whose clock is behind.
const LEEWAY: i64 = 300;

/// What certificates are compared with.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The present.
    pub now: Timestamp,
    /// This host.
    pub host: &'a Host,
    /// The address that the operator gave it.
    pub node_address: Option<IpAddr>,
    /// Issue anew what does not hold.
    pub reissue: bool,
}

/// Compares every certificate of `plan` and tells what is wrong in its warnings; issues anew in
/// place, and tells that in its changes.
pub fn settle(plan: &mut Plan, found: &Found, about: &About<'_>) {
    let pool = Pool::of(plan, found);
    let expected = plan.files.values().filter_map(|file| server(&file.0));
    let expected: BTreeSet<String> = expected.collect();
    let all: Vec<Held> = plan
        .files
        .iter()
        .flat_map(|(path, bytes)| held::certificates(path, &bytes.0))
        .collect();
    for held in all {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&held.der) else {
            plan.warnings.push(format!(
                "{} holds a certificate that cannot be read",
                held.path
            ));
            continue;
        };
        let serving = plan.serving_certificate.as_deref() == Some(held.path.as_str());
        let mut wrong = dates(&certificate, about.now);
        if serving {
            wrong.extend(misnamed(&certificate, &expected, about));
        }
        if !wrong.is_empty() {
            let wrong = wrong.join(" and ");
            mend(
                plan,
                &pool,
                &held,
                &certificate,
                &wrong,
                serving,
                &expected,
                about,
            );
        }
    }
    if plan.serving_certificate.is_some() || plan.pods.is_empty() {
        return;
    }
    let api = plan
        .pods
        .iter()
        .any(|pod| pod.component == Some(crate::core::recover::component::Component::ApiServer));
    if api {
        plan.warnings.push(
            "kube-apiserver: its serving certificate is not among what was recovered: it must be \
             on this host, or it makes one that no client trusts"
                .to_owned(),
        );
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one step of a loop, with its surroundings"
)]
fn mend(
    plan: &mut Plan,
    pool: &Pool,
    held: &Held,
    certificate: &X509Certificate<'_>,
    wrong: &str,
    serving: bool,
    expected: &BTreeSet<String>,
    about: &About<'_>,
) {
    let path = &held.path;
    if certificate.is_ca() {
        plan.warnings.push(format!(
            "{path} {wrong}; it is an authority: every certificate below it must be made anew"
        ));
        return;
    }
    let Some((authority, key)) = pool.authority_of(certificate, about.now) else {
        plan.warnings.push(format!(
            "{path} {wrong}; the key of its authority is not among what was found, or the \
             authority itself does not hold: put a new certificate there before `start`"
        ));
        return;
    };
    if !about.reissue {
        plan.warnings.push(format!(
            "{path} {wrong}: give --reissue-certificates to have it issued anew by its authority, \
             whose key was found"
        ));
        return;
    }
    let (names, addresses) = if serving {
        own_names(expected, about)
    } else {
        (Vec::new(), Vec::new())
    };
    let now = about.now.as_second();
    let until = x509_parser::parse_x509_certificate(authority).map_or(now, |(_, authority)| {
        authority
            .validity()
            .not_after
            .timestamp()
            .min(now + LIFETIME)
    });
    let fresh = Fresh {
        from: now - LEEWAY,
        until,
        names: &names,
        addresses: &addresses,
    };
    let made = issue::anew(certificate, authority, key, fresh).and_then(|pem| {
        let bytes = plan.files.get(path).map(|bytes| bytes.0.as_slice());
        bytes
            .and_then(|bytes| held::replaced(held, bytes, &pem))
            .ok_or_else(|| "its file has a form that is not known".to_owned())
    });
    match made {
        Ok(bytes) => {
            plan.files.insert(path.clone(), Bytes(bytes));
            plan.changes
                .push(format!("{path} {wrong}: issued anew, until {}", day(until)));
        }
        Err(why) => plan
            .warnings
            .push(format!("{path} {wrong}, and cannot be issued anew: {why}")),
    }
}

/// The host that a kubeconfig leads to.
fn server(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.contains("kind: Config") {
        return None;
    }
    let (_, url) = text.split_once("server:")?;
    let url = url.trim_start_matches([' ', '"', '\'']);
    let end = url.find(|c: char| c.is_whitespace() || "\"',}".contains(c));
    let url: http::Uri = url.get(..end.unwrap_or(url.len()))?.parse().ok()?;
    let host = url.host()?.trim_matches(['[', ']']).to_owned();
    Some(host)
}

/// What is wrong with the dates of the certificates in the file `path`, a sentence for each.
#[must_use]
pub fn out_of_date(path: &str, bytes: &[u8], now: Timestamp) -> Vec<String> {
    let held = held::certificates(path, bytes);
    let said = held.iter().filter_map(|held| {
        let (_, certificate) = x509_parser::parse_x509_certificate(&held.der).ok()?;
        let wrong = dates(&certificate, now);
        (!wrong.is_empty()).then(|| format!("{path} {}", wrong.join(" and ")))
    });
    said.collect()
}

fn dates(certificate: &X509Certificate<'_>, now: Timestamp) -> Vec<String> {
    let validity = certificate.validity();
    let (from, until) = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    let mut wrong = Vec::new();
    if now.as_second() > until {
        wrong.push(format!("expired on {}", day(until)));
    }
    if now.as_second() < from {
        wrong.push(format!("holds only from {}", day(from)));
    }
    wrong
}

/// What a serving certificate does not name and clients will ask for.
fn misnamed(
    certificate: &X509Certificate<'_>,
    expected: &BTreeSet<String>,
    about: &About<'_>,
) -> Vec<String> {
    let mut names = BTreeSet::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => {
                    names.insert(name.to_lowercase());
                }
                GeneralName::IPAddress(bytes) => {
                    names.extend(address(bytes).map(|address| address.to_string()));
                }
                _ => {}
            }
        }
    }
    let mut missing: Vec<String> = expected
        .iter()
        .filter(|host| !named(&names, host))
        .cloned()
        .collect();
    match about.node_address {
        Some(address) => {
            let address = address.to_string();
            if !names.contains(&address) && !missing.contains(&address) {
                missing.push(address);
            }
        }
        None if about.host.addresses.is_empty() => {}
        None => {
            let own = |address: &IpAddr| names.contains(&address.to_string());
            if !about.host.addresses.iter().any(own) && !named(&names, &about.host.name) {
                let all = about.host.addresses.iter().map(IpAddr::to_string);
                missing.push(format!(
                    "this host ({})",
                    all.collect::<Vec<_>>().join(", ")
                ));
            }
        }
    }
    if missing.is_empty() {
        Vec::new()
    } else {
        vec![format!("does not name {}", missing.join(", "))]
    }
}

fn named(names: &BTreeSet<String>, host: &str) -> bool {
    let host = host.to_lowercase();
    let wild = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    names.contains(&host) || wild.is_some_and(|wild| names.contains(&wild))
}

/// What is added to a serving certificate.
fn own_names(expected: &BTreeSet<String>, about: &About<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let mut names = vec!["localhost".to_owned()];
    let mut addresses = vec![IpAddr::from([127, 0, 0, 1])];
    if !about.host.name.is_empty() {
        names.push(about.host.name.clone());
    }
    match about.node_address {
        Some(address) => addresses.push(address),
        None => addresses.extend(&about.host.addresses),
    }
    for host in expected {
        match host.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => names.push(host.clone()),
        }
    }
    (names, addresses)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_| "a day beyond the calendar".to_owned(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}

/// Authorities and keys in everything that was found.
struct Pool {
    authorities: Vec<CertificateDer<'static>>,
    keys: Vec<PrivateKeyDer<'static>>,
}

impl Pool {
    fn of(plan: &Plan, found: &Found) -> Self {
        let stored = found.secrets.values().chain(found.config_maps.values());
        let objects = stored.filter_map(|stored| match stored {
            Stored::Plain(object) => Some(object),
            Stored::Unreadable(_) => None,
        });
        let values =
            objects.flat_map(|object| object.data.values().chain(object.binary_data.values()));
        let mut pool = Self {
            authorities: Vec::new(),
            keys: Vec::new(),
        };
        for bytes in values.chain(plan.files.values().map(|file| &file.0)) {
            pool.authorities.extend(held::every(bytes));
            pool.keys.extend(held::keys(bytes));
        }
        for (path, bytes) in &plan.files {
            let all = held::certificates(path, &bytes.0);
            pool.authorities
                .extend(all.into_iter().map(|held| held.der));
        }
        pool
    }

    /// Who signed `leaf`, with the key, where both are there and it still holds.
    fn authority_of(
        &self,
        leaf: &X509Certificate<'_>,
        now: Timestamp,
    ) -> Option<(&CertificateDer<'static>, AuthorityKey)> {
        self.authorities.iter().find_map(|der| {
            let (_, authority) = x509_parser::parse_x509_certificate(der).ok()?;
            let signed = authority.subject().as_raw() == leaf.issuer().as_raw()
                && authority.public_key().raw != leaf.public_key().raw
                && leaf.verify_signature(Some(authority.public_key())).is_ok();
            if !signed || !dates(&authority, now).is_empty() {
                return None;
            }
            let spki = authority.public_key().raw;
            let key = self
                .keys
                .iter()
                .find_map(|key| AuthorityKey::matching(key, spki))?;
            Some((der, key))
        })
    }
}
