//! The few protobuf messages of an etcd database, read field by field within bounds, as etcd
//! writes them: fields ascending, each once, numbers in their shortest form. Anything else is
//! damage, or the work of another program.

use crate::bolt::{BoltError, Value};

/// Why a message could not be read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is none that etcd writes.
    Bad(String),
    /// The file cannot be read.
    Read(BoltError),
}

impl From<BoltError> for Fault {
    fn from(error: BoltError) -> Self {
        Self::Read(error)
    }
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field<'v> {
    /// A number.
    Number(u64),
    /// Bytes: how many, and as many of them as are in memory.
    Bytes(u64, &'v [u8]),
}

/// Reads a message's fields one after the other.
#[derive(Debug)]
pub(super) struct Fields<'v> {
    value: &'v Value<'v>,
    at: u64,
    last: u64,
    repeats: bool,
}

impl<'v> Fields<'v> {
    pub(super) fn of(value: &'v Value<'v>) -> Self {
        Self {
            value,
            at: 0,
            last: 0,
            repeats: false,
        }
    }

    /// A message in which a field may come several times in a row.
    pub(super) fn with_repeats(value: &'v Value<'v>) -> Self {
        Self {
            repeats: true,
            ..Self::of(value)
        }
    }

    /// The next field with its number; `None` at the message's end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'v>)>, Fault> {
        if self.at == self.value.len() {
            return Ok(None);
        }
        let tag = self.number()?;
        let field = tag >> 3;
        if field < self.last || field == self.last && !self.repeats || field == 0 {
            return Err(Fault::Bad(format!(
                "field {field} of the message comes after field {}",
                self.last
            )));
        }
        self.last = field;
        match tag & 7 {
            0 => Ok(Some((field, Field::Number(self.number()?)))),
            2 => {
                let length = self.number()?;
                let end = self.at.checked_add(length);
                let Some(end) = end.filter(|end| *end <= self.value.len()) else {
                    return Err(Fault::Bad(format!(
                        "field {field} of the message has {length} bytes, more than there are"
                    )));
                };
                let held = self.value.head();
                let from = usize::try_from(self.at).unwrap_or(usize::MAX);
                let to = usize::try_from(end).unwrap_or(usize::MAX).min(held.len());
                self.at = end;
                let held = held.get(from..to).unwrap_or_default();
                Ok(Some((field, Field::Bytes(length, held))))
            }
            other => Err(Fault::Bad(format!(
                "field {field} of the message has wire type {other}"
            ))),
        }
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut ahead = [0; 24];
        let from = usize::try_from(self.at).unwrap_or(usize::MAX);
        let held = self.value.head();
        let bytes = match self.value.whole() {
            Some(whole) => whole.get(from..).unwrap_or_default(),
            None if from.saturating_add(ahead.len()) <= held.len() => {
                held.get(from..).unwrap_or_default()
            }
            None => {
                let count = self.value.peek(self.at, &mut ahead)?;
                ahead.get(..count).unwrap_or_default()
            }
        };
        let mut number = 0_u64;
        for (index, byte) in (0_u32..10).zip(bytes) {
            let bits = u64::from(byte & 0x7F);
            if index == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * index);
            if byte & 0x80 == 0 {
                if *byte == 0 && index > 0 {
                    break;
                }
                self.at += u64::from(index) + 1;
                return Ok(number);
            }
        }
        Err(Fault::Bad(format!(
            "a number at byte {} of the message is none",
            self.at
        )))
    }
}

/// A record of the `key` bucket (`mvccpb.KeyValue`), but for its value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyValue<'v> {
    /// As much of the key as is in memory.
    pub(crate) key: &'v [u8],
    /// Bytes of the key.
    pub(crate) key_length: u64,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
}

impl<'v> KeyValue<'v> {
    /// Reads one.
    pub(crate) fn read(value: &'v Value<'v>) -> Result<Self, Fault> {
        let mut record = Self::default();
        let mut fields = Fields::of(value);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, Field::Bytes(length, key)) => {
                    record.key = key;
                    record.key_length = length;
                }
                (2, Field::Number(number)) => record.create_revision = number.cast_signed(),
                (3, Field::Number(number)) => record.mod_revision = number.cast_signed(),
                (4, Field::Number(number)) => record.version = number.cast_signed(),
                // The value and the lease: their frames are read, there is nothing to compare.
                (5, Field::Bytes(..)) | (6, Field::Number(_)) => {}
                (number, _) => {
                    return Err(Fault::Bad(format!(
                        "field {number} is none of a stored key: damaged, or of a newer etcd"
                    )));
                }
            }
        }
        Ok(record)
    }
}
