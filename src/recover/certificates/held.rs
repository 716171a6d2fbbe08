//! Certificates and keys among recovered files: in PEM, and embedded in kubeconfigs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How a certificate stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// As the first of a PEM file.
    Pem,
    /// As PEM in base64, in a kubeconfig.
    Embedded(String),
}

/// A certificate in a file.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) path: String,
    pub(super) form: Form,
    pub(super) der: CertificateDer<'static>,
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates in the file `path`, leaves before what stands behind them in a chain.
pub(super) fn certificates(path: &str, bytes: &[u8]) -> Vec<Held> {
    let held = |form: Form, der| Held {
        path: path.to_owned(),
        form,
        der,
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Vec::new();
    };
    if text.contains(BEGIN) {
        let first = first_of(bytes).map(|der| held(Form::Pem, der));
        return first.into_iter().collect();
    }
    let mut found = Vec::new();
    for key in ["client-certificate-data:", "certificate-authority-data:"] {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(key) {
            let value = after.trim_start_matches([' ', '"', '\'']);
            let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
            let value = value.get(..end.unwrap_or(value.len())).unwrap_or_default();
            if let Some(der) = STANDARD.decode(value).ok().and_then(|pem| first_of(&pem)) {
                found.push(held(Form::Embedded(value.to_owned()), der));
            }
            rest = after;
        }
    }
    found
}

/// Every certificate of PEM text: for finding authorities, which may stand in any place.
pub(super) fn every(bytes: &[u8]) -> Vec<CertificateDer<'static>> {
    if !looks_like(bytes, BEGIN) {
        return Vec::new();
    }
    CertificateDer::pem_slice_iter(bytes)
        .filter_map(Result::ok)
        .collect()
}

/// Every private key of PEM text.
pub(super) fn keys(bytes: &[u8]) -> Vec<PrivateKeyDer<'static>> {
    if !looks_like(bytes, "PRIVATE KEY-----") {
        return Vec::new();
    }
    PrivateKeyDer::pem_slice_iter(bytes)
        .filter_map(Result::ok)
        .collect()
}

fn looks_like(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|part| part == word.as_bytes())
}

fn first_of(pem: &[u8]) -> Option<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).next()?.ok()
}

/// The file with `pem` in place of the certificate that `held` found.
pub(super) fn replaced(held: &Held, bytes: &[u8], pem: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let new = match &held.form {
        Form::Pem => first_replaced(text, pem)?,
        Form::Embedded(old) => {
            let inner = String::from_utf8(STANDARD.decode(old).ok()?).ok()?;
            text.replace(old, &STANDARD.encode(first_replaced(&inner, pem)?))
        }
    };
    Some(new.into_bytes())
}

fn first_replaced(text: &str, pem: &str) -> Option<String> {
    let begin = text.find(BEGIN)?;
    let end = begin + text.get(begin..)?.find(END)? + END.len();
    Some(format!(
        "{}{}{}",
        text.get(..begin)?,
        pem.trim_end().replace('\r', ""),
        text.get(end..)?
    ))
}
