//! A message of Kubernetes as the JSON that an API server makes of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::schema::{self, Kind, Known, Shape};
use super::wire::{Field, Fields};
use crate::objects::Malformed;

/// Deeper than any message of the table.
const DEEPEST: usize = 32;
/// Fields that are told to be left out; behind them it is only said that there are more.
const TOLD: usize = 20;

/// Reads messages, and keeps what it had to leave out.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// As `field 99 of PodSpec`.
    pub(super) lost: Vec<String>,
}

impl Reader {
    /// The message `name` as JSON.
    pub(super) fn read(&mut self, name: &str, bytes: &[u8]) -> Result<Value, Malformed> {
        let mut object = Map::new();
        self.into(&mut object, name, bytes, 0)?;
        Ok(Value::Object(object))
    }

    fn into(
        &mut self,
        object: &mut Map<String, Value>,
        name: &str,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(Malformed::Protobuf);
        }
        let known = schema::message(name);
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next()? {
            match known.get(&number) {
                Some(known) => self.field(object, known, field, depth)?,
                None => self.lose(format!("field {number} of {name}")),
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        object: &mut Map<String, Value>,
        known: &Known,
        field: Field<'_>,
        depth: usize,
    ) -> Result<(), Malformed> {
        match (known.shape, known.kind, field) {
            (_, Kind::Skipped, _) => {}
            (Shape::Inline, Kind::Message(inner), Field::Bytes(bytes)) => {
                self.into(object, inner, bytes, depth + 1)?;
            }
            (Shape::One, ..) => {
                let value = self.value(known.kind, field, depth)?;
                if let Some(value) = value.filter(|value| known.zero || !is_zero(value)) {
                    // Kubernetes writes a field once.
                    if object.insert(known.name.to_owned(), value).is_some() {
                        return Err(Malformed::Protobuf);
                    }
                }
            }
            (Shape::Repeated, Kind::Integer, Field::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    let number = super::wire::varint(&mut packed)?;
                    list(object, known.name)?.push(number.cast_signed().into());
                }
            }
            (Shape::Repeated, ..) => {
                let value = self.value(known.kind, field, depth)?;
                list(object, known.name)?.push(value.unwrap_or_default());
            }
            (Shape::Map, kind, Field::Bytes(bytes)) => {
                let (key, value) = self.entry(kind, bytes, depth)?;
                let map = object
                    .entry(known.name)
                    .or_insert_with(|| Map::new().into());
                map.as_object_mut()
                    .ok_or(Malformed::Protobuf)?
                    .insert(key, value);
            }
            (Shape::Inline | Shape::Map, ..) => return Err(Malformed::Protobuf),
        }
        Ok(())
    }

    /// Key and value of a map.
    fn entry(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(String, Value), Malformed> {
        let (mut key, mut value) = (String::new(), None);
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, Field::Bytes(bytes)) => key = text(bytes)?,
                (2, field) => value = self.value(kind, field, depth)?,
                _ => return Err(Malformed::Protobuf),
            }
        }
        // Not written where it is empty.
        let value = value.map_or_else(
            || self.value(kind, Field::Bytes(&[]), depth),
            |v| Ok(Some(v)),
        );
        Ok((key, value?.unwrap_or_default()))
    }

    /// `None`: a time that is not set.
    fn value(
        &mut self,
        kind: Kind,
        field: Field<'_>,
        depth: usize,
    ) -> Result<Option<Value>, Malformed> {
        Ok(Some(match (kind, field) {
            (Kind::Text, Field::Bytes(bytes)) => text(bytes)?.into(),
            (Kind::Bytes, Field::Bytes(bytes)) => STANDARD.encode(bytes).into(),
            (Kind::Integer, Field::Number(number)) => number.cast_signed().into(),
            (Kind::Boolean, Field::Number(number)) => (number != 0).into(),
            (Kind::Message("Quantity"), Field::Bytes(bytes)) => quantity(bytes)?,
            (Kind::Message("IntOrString"), Field::Bytes(bytes)) => int_or_string(bytes)?,
            (Kind::Message("Time"), Field::Bytes(bytes)) => return time(bytes),
            (Kind::Message(name), Field::Bytes(bytes)) => {
                let mut object = Map::new();
                self.into(&mut object, name, bytes, depth + 1)?;
                object.into()
            }
            _ => return Err(Malformed::Protobuf),
        }))
    }

    fn lose(&mut self, what: String) {
        if self.lost.len() < TOLD && !self.lost.contains(&what) {
            self.lost.push(what);
        } else if self.lost.len() == TOLD {
            self.lost.push("more".to_owned());
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    }
}

fn list<'o>(
    object: &'o mut Map<String, Value>,
    name: &str,
) -> Result<&'o mut Vec<Value>, Malformed> {
    let list = object
        .entry(name)
        .or_insert_with(|| Value::Array(Vec::new()));
    list.as_array_mut().ok_or(Malformed::Protobuf)
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Protobuf)?;
    Ok(text.to_owned())
}

/// `resource.Quantity`: its text. Go writes one that is not set as `0`.
fn quantity(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut written = "0".to_owned();
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes([])) => {}
            (1, Field::Bytes(bytes)) => written = text(bytes)?,
            _ => return Err(Malformed::Protobuf),
        }
    }
    Ok(written.into())
}

/// `intstr.IntOrString`: type (0: integer, 1: text), the integer, the text.
fn int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    let (mut kind, mut integer, mut string) = (0, 0, String::new());
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(number)) => kind = number,
            (2, Field::Number(number)) => integer = number.cast_signed(),
            (3, Field::Bytes(bytes)) => string = text(bytes)?,
            _ => return Err(Malformed::Protobuf),
        }
    }
    match kind {
        0 => Ok(integer.into()),
        1 => Ok(string.into()),
        _ => Err(Malformed::Protobuf),
    }
}

/// `metav1.Time`: seconds and nanoseconds since 1970; JSON has whole seconds.
fn time(bytes: &[u8]) -> Result<Option<Value>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut seconds = 0;
    let mut fields = Fields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(number)) => seconds = number.cast_signed(),
            (2, Field::Number(_)) => {}
            _ => return Err(Malformed::Protobuf),
        }
    }
    let time = Timestamp::from_second(seconds).map_err(|_| Malformed::Protobuf)?;
    Ok(Some(time.to_string().into()))
}

#[cfg(test)]
#[path = "whole_table_tests.rs"]
mod tests;
