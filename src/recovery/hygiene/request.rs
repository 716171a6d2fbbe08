//! What a request for a certificate (PKCS#10, RFC 2986) asks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension};

use crate::core::recovery::hygiene::facts::Subject;

/// Largest request that is read, in bytes.
const LIMIT: usize = 64 << 10; // 64 KiB

/// What the PEM of a request asks for; `None`: it cannot be read, or is not signed by its own key.
pub(super) fn subject(pem: &[u8]) -> Option<Subject> {
    if pem.len() > LIMIT {
        return None;
    }
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let (rest, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    if !rest.is_empty() || request.verify_signature().is_err() {
        return None;
    }
    let info = &request.certification_request_info;
    let mut subject = Subject::default();
    for attribute in info.subject.iter_attributes() {
        let text = attribute.as_str().ok()?.to_owned();
        if attribute.attr_type() == &OID_X509_COMMON_NAME {
            subject.common_names.push(text);
        } else if attribute.attr_type() == &OID_X509_ORGANIZATION_NAME {
            subject.organizations.push(text);
        } else {
            subject.more = true;
        }
    }
    for extension in request.requested_extensions().into_iter().flatten() {
        match extension {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    take(name, &mut subject);
                }
            }
            // What a kubelet asks for has names and nothing else.
            _ => subject.more = true,
        }
    }
    Some(subject)
}

fn take(name: &GeneralName<'_>, subject: &mut Subject) {
    match name {
        GeneralName::DNSName(name) => subject.dns.push((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match address(bytes) {
            Some(address) => subject.addresses.push(address.to_string()),
            None => subject.more = true,
        },
        _ => subject.more = true,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(four)));
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(sixteen)))
}
