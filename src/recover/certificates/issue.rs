//! Issuing a leaf anew: same subject, usages and key, fresh dates, and names added.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, SubjectPublicKeyInfo,
};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{ASN1Time, GeneralName, ParsedExtension, X509Certificate};

/// The key of an authority, of any kind that Kubernetes' installers make: RSA or ECDSA, in PKCS#8
/// or the older forms, which the issuing library alone does not read.
pub(super) struct AuthorityKey {
    key: Arc<dyn rustls::sign::SigningKey>,
    public: SubjectPublicKeyInfo,
    algorithm: &'static SignatureAlgorithm,
    scheme: SignatureScheme,
}

impl AuthorityKey {
    /// The key, if it is that of the public key `spki` (DER).
    pub(super) fn matching(key: &PrivateKeyDer<'_>, spki: &[u8]) -> Option<Self> {
        let key = any_supported_type(key).ok()?;
        if key.public_key()?.as_ref() != spki {
            return None;
        }
        let known: [(SignatureScheme, &'static SignatureAlgorithm); 4] = [
            (SignatureScheme::RSA_PKCS1_SHA256, &rcgen::PKCS_RSA_SHA256),
            (
                SignatureScheme::ECDSA_NISTP256_SHA256,
                &rcgen::PKCS_ECDSA_P256_SHA256,
            ),
            (
                SignatureScheme::ECDSA_NISTP384_SHA384,
                &rcgen::PKCS_ECDSA_P384_SHA384,
            ),
            (SignatureScheme::ED25519, &rcgen::PKCS_ED25519),
        ];
        let (scheme, algorithm) = known
            .into_iter()
            .find(|(scheme, _)| key.choose_scheme(&[*scheme]).is_some())?;
        Some(Self {
            public: SubjectPublicKeyInfo::from_der(spki).ok()?,
            key,
            algorithm,
            scheme,
        })
    }
}

impl PublicKeyData for AuthorityKey {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for AuthorityKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self.key.choose_scheme(&[self.scheme]);
        let signed = signer.and_then(|signer| signer.sign(message).ok());
        signed.ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// What is new in a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh<'a> {
    /// Unix seconds from which it holds.
    pub(super) from: i64,
    /// Unix seconds until which it holds.
    pub(super) until: i64,
    /// Names to add.
    pub(super) names: &'a [String],
    /// Addresses to add.
    pub(super) addresses: &'a [IpAddr],
}

/// Issues `leaf` anew. The result is PEM.
///
/// # Errors
/// A sentence: what in it cannot be kept.
pub(super) fn anew(
    leaf: &X509Certificate<'_>,
    authority: &CertificateDer<'_>,
    key: AuthorityKey,
    fresh: Fresh<'_>,
) -> Result<String, String> {
    let mut params = CertificateParams::default();
    params.not_before = time(fresh.from)?.to_datetime();
    params.not_after = time(fresh.until)?.to_datetime();
    params.distinguished_name = subject(leaf)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    usages(leaf, &mut params);
    names(leaf, fresh, &mut params)?;
    let mut unique = Sha256::new();
    unique.update(leaf.tbs_certificate.as_ref());
    unique.update(fresh.from.to_be_bytes());
    // 16 bytes, positive and not zero: RFC 5280 4.1.2.2.
    let mut serial = unique.finalize()[..16].to_vec();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let public = SubjectPublicKeyInfo::from_der(leaf.public_key().raw)
        .map_err(|_| "its key is of a kind that is not known".to_owned())?;
    let broken = |_| "it cannot be signed".to_owned();
    let issuer = Issuer::from_ca_cert_der(authority, key).map_err(broken)?;
    let made = params.signed_by(&public, &issuer).map_err(broken)?;
    // Verifiers compare both names byte by byte.
    let same = x509_parser::parse_x509_certificate(made.der()).is_ok_and(|(_, made)| {
        made.subject().as_raw() == leaf.subject().as_raw()
            && made.issuer().as_raw() == leaf.issuer().as_raw()
            && made.public_key().raw == leaf.public_key().raw
    });
    if !same {
        return Err("its subject or issuer has a form that cannot be kept".to_owned());
    }
    Ok(made.pem())
}

fn time(seconds: i64) -> Result<ASN1Time, String> {
    ASN1Time::from_timestamp(seconds).map_err(|_| "its dates are out of range".to_owned())
}

fn subject(leaf: &X509Certificate<'_>) -> Result<DistinguishedName, String> {
    let odd = || "its subject has a form that cannot be kept".to_owned();
    let mut name = DistinguishedName::new();
    for attribute in leaf.subject().iter_attributes() {
        let oid: Vec<u64> = attribute.attr_type().iter().ok_or_else(odd)?.collect();
        let text = attribute.as_str().map_err(|_| odd())?;
        let value = match attribute.attr_value().header.tag().0 {
            12 => DnValue::Utf8String(text.to_owned()),
            19 => DnValue::PrintableString(text.try_into().map_err(|_| odd())?),
            22 => DnValue::Ia5String(text.try_into().map_err(|_| odd())?),
            _ => return Err(odd()),
        };
        name.push(DnType::from_oid(&oid), value);
    }
    Ok(name)
}

fn usages(leaf: &X509Certificate<'_>, params: &mut CertificateParams) {
    if let Ok(Some(usage)) = leaf.key_usage() {
        let usage = usage.value;
        let all = [
            (usage.digital_signature(), KeyUsagePurpose::DigitalSignature),
            (usage.non_repudiation(), KeyUsagePurpose::ContentCommitment),
            (usage.key_encipherment(), KeyUsagePurpose::KeyEncipherment),
            (usage.data_encipherment(), KeyUsagePurpose::DataEncipherment),
            (usage.key_agreement(), KeyUsagePurpose::KeyAgreement),
        ];
        let set = all.into_iter().filter(|(set, _)| *set);
        params.key_usages = set.map(|(_, usage)| usage).collect();
    }
    if let Ok(Some(usage)) = leaf.extended_key_usage() {
        let usage = usage.value;
        let all = [
            (usage.any, ExtendedKeyUsagePurpose::Any),
            (usage.server_auth, ExtendedKeyUsagePurpose::ServerAuth),
            (usage.client_auth, ExtendedKeyUsagePurpose::ClientAuth),
            (usage.code_signing, ExtendedKeyUsagePurpose::CodeSigning),
            (
                usage.email_protection,
                ExtendedKeyUsagePurpose::EmailProtection,
            ),
            (usage.time_stamping, ExtendedKeyUsagePurpose::TimeStamping),
            (usage.ocsp_signing, ExtendedKeyUsagePurpose::OcspSigning),
        ];
        let set = all.into_iter().filter(|(set, _)| *set);
        params.extended_key_usages = set.map(|(_, usage)| usage).collect();
        let other = usage
            .other
            .iter()
            .filter_map(|oid| Some(oid.iter()?.collect()));
        let other = other.map(ExtendedKeyUsagePurpose::Other);
        params.extended_key_usages.extend(other);
    }
}

/// Alternative names, old and new. Kinds that no component of Kubernetes looks at would be lost,
/// so a certificate with one is left alone.
fn names(
    leaf: &X509Certificate<'_>,
    fresh: Fresh<'_>,
    params: &mut CertificateParams,
) -> Result<(), String> {
    let odd = || "it has an alternative name of a kind that is not known".to_owned();
    let mut all = Vec::new();
    for extension in leaf.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                for name in &names.general_names {
                    all.push(match name {
                        GeneralName::DNSName(name) => {
                            SanType::DnsName((*name).try_into().map_err(|_| odd())?)
                        }
                        GeneralName::URI(uri) => {
                            SanType::URI((*uri).try_into().map_err(|_| odd())?)
                        }
                        GeneralName::RFC822Name(name) => {
                            SanType::Rfc822Name((*name).try_into().map_err(|_| odd())?)
                        }
                        GeneralName::IPAddress(bytes) => {
                            SanType::IpAddress(super::address(bytes).ok_or_else(odd)?)
                        }
                        _ => return Err(odd()),
                    });
                }
            }
            // Written anew by the library, from the dates and keys of now.
            ParsedExtension::KeyUsage(_)
            | ParsedExtension::ExtendedKeyUsage(_)
            | ParsedExtension::BasicConstraints(_)
            | ParsedExtension::AuthorityKeyIdentifier(_)
            | ParsedExtension::SubjectKeyIdentifier(_) => {}
            _ => {
                let oid = extension.oid.iter().ok_or_else(odd)?.collect::<Vec<u64>>();
                let mut kept = CustomExtension::from_oid_content(&oid, extension.value.to_vec());
                kept.set_criticality(extension.critical);
                params.custom_extensions.push(kept);
            }
        }
    }
    for name in fresh.names {
        all.push(SanType::DnsName(
            name.as_str().try_into().map_err(|_| odd())?,
        ));
    }
    all.extend(fresh.addresses.iter().copied().map(SanType::IpAddress));
    params.subject_alt_names = Vec::new();
    for name in all {
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    Ok(())
}
