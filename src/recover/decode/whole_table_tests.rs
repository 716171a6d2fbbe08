//! Every field of the table, written and read back: its name and type are those of the types that
//! a recovery uses.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};

use super::super::typed;
use super::*;
use crate::recover::decode::schema::message;

fn bytes_field(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | 2), out);
    varint(content.len() as u64, out);
    out.extend(content);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn write(number: u32, kind: Kind, out: &mut Vec<u8>) {
    match kind {
        Kind::Integer | Kind::Boolean => {
            varint(u64::from(number << 3), out);
            varint(1, out);
        }
        Kind::Text => bytes_field(number, b"text", out),
        Kind::Bytes => bytes_field(number, b"\xff\0", out),
        Kind::Message("Time") => bytes_field(number, &[8, 1], out),
        Kind::Message("Quantity") => bytes_field(number, b"\x0a\x021M", out),
        Kind::Message("IntOrString") => bytes_field(number, b"\x08\x01\x1a\x025%", out),
        Kind::Message(name) => bytes_field(number, &whole(name), out),
        Kind::Skipped => bytes_field(number, b"anything", out),
    }
}

/// The message with every field that it has.
fn whole(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, known) in message(name) {
        if known.shape == Shape::Map {
            let mut entry = Vec::new();
            bytes_field(1, b"key", &mut entry);
            write(2, known.kind, &mut entry);
            bytes_field(*number, &entry, &mut out);
        } else {
            write(*number, known.kind, &mut out);
        }
    }
    out
}

/// What of a message with every field has no place in its type.
fn left<K: crate::recover::decode::KnownKind>(kind: &str) -> Vec<String> {
    let mut reader = Reader::default();
    let object = reader.read(kind, &whole(kind)).unwrap();
    assert_eq!(reader.lost, Vec::<String>::new());
    let (_, left) = typed::<K>(object, Vec::new()).unwrap();
    left
}

#[test]
fn names_and_types_of_all_fields_are_those_of_the_types() {
    // Of Kubernetes 1.19 and 1.20, behind a feature that was off.
    let gone = ["spec.template.spec.volumes[0].ephemeral.readOnly"];
    assert_eq!(left::<Deployment>("Deployment"), gone);
    assert_eq!(left::<DaemonSet>("DaemonSet"), gone);
}
