//! The wire format of protobuf, field by field and within bounds.
//!
//! Source: protobuf.dev, "Encoding". Groups are of proto2 and nothing of Kubernetes'.

use crate::objects::Malformed;

/// A field's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed width, which no field of ours has.
    Other,
}

/// The fields of a message, in the order they are written.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field with its number; `None`: the message ends.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(varint(&mut self.0)?).map_err(|_| Malformed::Protobuf)?;
        if tag < 8 {
            return Err(Malformed::Protobuf);
        }
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut self.0)?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = varint(&mut self.0)?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return Err(Malformed::Protobuf),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Protobuf)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Protobuf)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// A number of up to ten bytes, seven bits in each.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0_u64;
    for shift in (0..70_u32).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed::Protobuf)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Protobuf)
}
