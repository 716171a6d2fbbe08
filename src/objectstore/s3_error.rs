//! What an error of an S3-compatible store means.
//!
//! Source: Amazon S3 API Reference, "Error responses": the element `Code` of the body.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use super::StoreError;
use super::http::{Skew, apart};

/// A difference of clocks in seconds from which on a refusal without a reason is taken as one of
/// the time. The stores allow 15 minutes.
const SKEWED: u64 = 14 * 60;
/// Longest message of a store that is repeated.
const SAID: usize = 300;

/// The failure in our words.
pub(super) fn tell(place: &str, skew: &Skew, error: &Error) -> StoreError {
    let place = place.to_owned();
    let text = error.to_string();
    let code = element(&text, "Code").unwrap_or_default();
    let ahead = skew.seconds();
    let skewed = ahead.filter(|ahead| ahead.unsigned_abs() > SKEWED);
    match code {
        "RequestTimeTooSkewed" => StoreError::Clock {
            place,
            by: ahead.map_or_else(|| "more than it allows".to_owned(), apart),
        },
        "NoSuchBucket" => StoreError::NoBucket { place },
        "NoSuchUpload" => StoreError::UploadGone { place },
        "SlowDown"
        | "Throttling"
        | "TooManyRequests"
        | "ServiceUnavailable"
        | "RequestLimitExceeded" => StoreError::Throttled {
            place,
            code: code.to_owned(),
        },
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "AccountProblem"
        | "NotSignedUp"
        | "AllAccessDisabled" => StoreError::Refused {
            place,
            code: code.to_owned(),
        },
        _ => match (error, skewed) {
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, Some(ahead)) => {
                let by = apart(ahead);
                StoreError::Clock { place, by }
            }
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, None) => {
                let code = if code.is_empty() { "403" } else { code }.to_owned();
                StoreError::Refused { place, code }
            }
            _ => other(place, error, &text, code),
        },
    }
}

fn other(place: String, error: &Error, text: &str, code: &str) -> StoreError {
    if let Some(why) = transport(error) {
        return StoreError::Unreachable { place, why };
    }
    if text.contains("403 Forbidden") || text.contains("401 Unauthorized") {
        let code = if code.is_empty() { "403" } else { code }.to_owned();
        return StoreError::Refused { place, code };
    }
    if text.contains("503 Service Unavailable") || text.contains("429 Too Many Requests") {
        let code = "503".to_owned();
        return StoreError::Throttled { place, code };
    }
    let said = match (code, element(text, "Message")) {
        ("", _) => text.to_owned(),
        (code, None) => code.to_owned(),
        (code, Some(message)) => format!("{code}: {message}"),
    };
    StoreError::Other {
        place,
        said: said.chars().take(SAID).collect(),
    }
}

/// The innermost cause, where no HTTP answer came at all.
fn transport(error: &Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    let mut http = None;
    let mut last = None;
    while let Some(error) = cause {
        http = http.or(error.downcast_ref::<HttpError>());
        last = Some(error.to_string());
        cause = error.source();
    }
    let kind = http?.kind();
    (kind != HttpErrorKind::Decode).then(|| last.unwrap_or_default())
}

/// Whether what is missing is the bucket.
pub(super) fn is_no_bucket(error: &Error) -> bool {
    element(&error.to_string(), "Code") == Some("NoSuchBucket")
}

/// The text of the first element `name`.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &str, code: &str) -> StoreError {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Words of it</Message></Error>"
        );
        let said = format!("Server returned non-2xx status code: {status}: {body}");
        let error = Error::Generic {
            store: "S3",
            source: said.into(),
        };
        tell("https://store/bucket", &Skew::unknown(), &error)
    }

    #[test]
    fn codes_become_what_they_mean() {
        let no_bucket = told("404 Not Found", "NoSuchBucket");
        assert!(
            matches!(no_bucket, StoreError::NoBucket { .. }),
            "{no_bucket:?}"
        );
        let slow = told("503 Service Unavailable", "SlowDown");
        assert!(matches!(slow, StoreError::Throttled { .. }), "{slow:?}");
        let gone = told("404 Not Found", "NoSuchUpload");
        assert!(matches!(gone, StoreError::UploadGone { .. }), "{gone:?}");
        let late = told("403 Forbidden", "RequestTimeTooSkewed");
        assert!(matches!(late, StoreError::Clock { .. }), "{late:?}");
        let refused = told("403 Forbidden", "SomethingNew");
        assert!(matches!(&refused, StoreError::Refused { code, .. } if code == "SomethingNew"));
        let other = told("400 Bad Request", "InvalidRequest");
        assert_eq!(
            other.to_string(),
            "https://store/bucket answered with an error: InvalidRequest: Words of it"
        );
    }
}
