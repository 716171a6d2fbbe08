//! Kubernetes' encryption at rest: reads an `EncryptionConfiguration` and opens values that an API
//! server stored with it.
//!
//! ```text
//! k8s:enc:aescbc:v1:<key's name>:<16 bytes IV><AES-CBC, PKCS#7>
//! k8s:enc:aesgcm:v1:<key's name>:<12 bytes nonce><AES-GCM, tag at the end; additional data: the etcd key>
//! k8s:enc:secretbox:v1:<key's name>:<24 bytes nonce><XSalsa20-Poly1305, tag in front>
//! ```
//!
//! Source: Kubernetes 1.20 to 1.34, `apiserver/pkg/storage/value/encrypt/{aes,secretbox}` and
//! `apiserver/pkg/server/options/encryptionconfig`; the vectors of the tests were stored by a real
//! kube-apiserver.
//!
//! Nothing is encrypted here. What a KMS plug-in encrypted is refused by the plug-in's name: its
//! key is not in the configuration.

mod document;
mod open;
mod scheme;

pub use self::document::{EncryptionConfiguration, Unreadable};
pub use self::open::Refusal;
pub use self::scheme::{ENCRYPTED, Scheme};
