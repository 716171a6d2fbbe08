//! Why a connection did not come about, read from the causes of an error: of HTTP and of gRPC alike.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError};

use crate::core::recovery::evidence::{Distrust, DoorAnswer};

/// What a failed connection says of who should have answered: [`DoorAnswer::Untrusted`],
/// [`DoorAnswer::Refused`], [`DoorAnswer::TimedOut`] or [`DoorAnswer::Unreachable`].
#[must_use]
pub fn silence(error: &(dyn Error + 'static)) -> DoorAnswer {
    let mut found = DoorAnswer::Unreachable;
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(fault) = cause.downcast_ref::<rustls::Error>() {
            return handshake(fault);
        }
        next = cause.source();
        // An `io::Error` hides what it wraps from `source()`.
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match io.kind() {
                ErrorKind::ConnectionRefused => return DoorAnswer::Refused,
                ErrorKind::TimedOut => found = DoorAnswer::TimedOut,
                _ => {}
            }
            let inner = io.get_ref().map(|inner| inner as &(dyn Error + 'static));
            next = inner.or(next);
        }
    }
    found
}

/// A handshake that failed: somebody is there.
fn handshake(fault: &rustls::Error) -> DoorAnswer {
    use CertificateError as E;
    let why = match fault {
        rustls::Error::InvalidCertificate(
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. },
        )
        | rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => Distrust::Expired,
        rustls::Error::InvalidCertificate(
            E::NotValidForName | E::NotValidForNameContext { .. },
        ) => Distrust::WrongName,
        rustls::Error::InvalidCertificate(E::UnknownIssuer | E::BadSignature) => {
            Distrust::WrongAuthority
        }
        rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_) => Distrust::Other,
        // No TLS at all.
        _ => return DoorAnswer::Unreadable,
    };
    DoorAnswer::Untrusted(why)
}
