//! bbolt databases, read only: the file format of etcd's `member/snap/db` and of its snapshots.
//!
//! Reads by `pread` in constant memory (one bit for each page), without recursion, and believes
//! nothing: every number of the file is checked before it is used. What is checked is what bbolt's
//! own `Tx.Check` checks, and more: bbolt lays a page out without gaps (`node.write`), so each
//! element must begin where the one before it ended. Damage is said with its page and byte.
//!
//! Format version 2, as bbolt writes it since its beginning: `page.go`, `meta.go`, `bucket.go`,
//! `node.go`, `freelist.go` of go.etcd.io/bbolt. What the values mean is not known here. It takes
//! no lock: the caller sees to it that nobody writes.

mod bucket;
mod damage;
mod freelist;
mod layout;
mod leaf;
mod leaves;
mod meta;
mod node;
mod order;
mod scan;
mod seen;
mod source;
mod value;
mod walk;

pub use self::bucket::Bucket;
pub use self::damage::{BoltError, Damage};
pub use self::meta::{Meta, Metas};
pub use self::scan::scan;
pub use self::source::Source;
pub use self::value::Value;
pub use self::walk::{Entry, Pages, Walk};
