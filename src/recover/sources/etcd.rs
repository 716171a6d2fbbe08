//! A running etcd as the source. The names of keys are read first, in pages, then each value by
//! itself: memory is bounded by one value, and all of it is of one revision.

use std::path::PathBuf;

use super::collect::Collector;
use super::error::SourceError;
use super::unseal::Unseal;
use super::wanted::Wanted;
use super::{Source, Want};
use crate::core::recover::found::Found;
use crate::etcd::{Etcd, Reader, Settings, Silent};

/// Reads it.
pub(super) async fn read(source: &Source, want: &Want) -> Result<Found, SourceError> {
    let settings = settings(source, want)?;
    let etcd = Etcd::connect(&settings).await;
    let etcd = etcd.map_err(|error| SourceError::Etcd(vec![error]))?;
    let unseal = Unseal::new(want.encryption.clone(), None);
    let mut collector = Collector::new(&want.namespace, unseal);
    let mut reader = etcd.reader();
    let read = all(&mut reader, &Wanted::new(want), &mut collector).await;
    match read {
        Ok(()) => Ok(collector.finish()),
        Err(errors) => {
            let endpoints = etcd.leaderless().await;
            Err(if endpoints.is_empty() {
                SourceError::Etcd(errors)
            } else {
                SourceError::NoQuorum { endpoints }
            })
        }
    }
}

async fn all(
    reader: &mut Reader<'_>,
    wanted: &Wanted,
    collector: &mut Collector,
) -> Result<(), Silent> {
    for (_, range) in wanted.ranges() {
        for key in reader.keys(range).await? {
            let Some((resource, name)) = wanted.of(&key) else {
                continue;
            };
            if let Some(value) = reader.value(&key).await? {
                collector.take(resource, name, &key, &value);
            }
        }
    }
    for key in wanted.single() {
        let Some((resource, name)) = wanted.of(key.as_bytes()) else {
            continue;
        };
        if let Some(value) = reader.value(key.as_bytes()).await? {
            collector.take(resource, name, key.as_bytes(), &value);
            break;
        }
    }
    Ok(())
}

/// How it is asked, from what the user said.
fn settings(source: &Source, want: &Want) -> Result<Settings, SourceError> {
    let Source::Etcd {
        endpoints,
        ca,
        certificate,
        key,
    } = source
    else {
        return Err(SourceError::EndedEarly);
    };
    if certificate.is_some() != key.is_some() {
        return Err(SourceError::HalfIdentity);
    }
    let secure = ca.is_some() || certificate.is_some();
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|endpoint| endpoint.trim().trim_end_matches('/'))
        .filter(|endpoint| !endpoint.is_empty())
        .map(|endpoint| match endpoint.contains("://") {
            true => endpoint.to_owned(),
            false if secure => format!("https://{endpoint}"),
            false => format!("http://{endpoint}"),
        })
        .collect();
    let https = endpoints
        .iter()
        .find(|endpoint| endpoint.starts_with("https://"));
    let ca_file = match (ca, https) {
        (Some(ca), _) => ca.clone(),
        (None, Some(endpoint)) => {
            let endpoint = endpoint.clone();
            return Err(SourceError::NoAuthority { endpoint });
        }
        (None, None) => PathBuf::new(),
    };
    Ok(Settings {
        endpoints,
        ca_file,
        cert_file: certificate.clone(),
        key_file: key.clone(),
        deadline: want.deadline,
        ..Settings::default()
    })
}
