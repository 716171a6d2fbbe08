//! TLS configurations, all with the same provider and protocol versions.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Whether and how a server's certificate is checked.
#[derive(Debug)]
pub enum Trust {
    /// By these authorities, and for the name or address that was asked for.
    Authorities(RootCertStore),
    /// Not at all: whoever answers is believed. No token may be sent then.
    Anyone,
}

/// Who we are to a server.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why PEM text is not what it should be. Holds nothing of the text.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// No certificate in it, or a broken one.
    #[error("it holds no readable certificate")]
    Certificate,
    /// No private key in it, or a broken one.
    #[error("it holds no readable private key")]
    Key,
}

/// The authorities in PEM text.
///
/// # Errors
/// Where there is none, or one cannot be read.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, PemError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store.add(certificate).map_err(|_| PemError::Certificate)?;
    }
    Ok(store)
}

/// A client certificate with its chain, and its key; both may be the same text, as the kubelet
/// writes `kubelet-client-current.pem`.
///
/// # Errors
/// Where one is missing or cannot be read.
pub fn identity(certificate: &[u8], key: &[u8]) -> Result<Identity, PemError> {
    Ok(Identity {
        chain: certificates(certificate)?,
        key: PrivateKeyDer::from_pem_slice(key).map_err(|_| PemError::Key)?,
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok()
        .filter(|all| !all.is_empty())
        .ok_or(PemError::Certificate)
}

/// A client configuration.
///
/// # Errors
/// Where certificate and key do not fit together.
pub fn config(trust: Trust, identity: Option<Identity>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Authorities(roots) => builder.with_root_certificates(roots),
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Believes every certificate; still requires that the server has its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
