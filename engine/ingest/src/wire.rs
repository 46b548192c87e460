//! The protobuf wire format: read without copying, and the little of it that is written.

use crate::DecodeError;

/// One field's value as the wire has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// Read past; no message here has a field of this type.
    Fixed32,
}

/// Reads the fields of one message.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// What is wrong with the bytes; becomes a [`DecodeError`] where the item is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireError(pub(crate) &'static str);

impl From<WireError> for DecodeError {
    fn from(error: WireError) -> DecodeError {
        DecodeError::malformed(format!("not a valid protobuf message: {}", error.0))
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Bytes that are still to be read.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly all tags and lengths have one byte.
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (i, byte) in self.rest.iter().enumerate().take(10) {
            if i == 9 && (2..0x80).contains(byte) {
                return Err(WireError("a number has more than 64 bits"));
            }
            // The tenth byte has room for one bit; what a longer number would shift out is an error below.
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(WireError(if self.rest.len() < 10 { "it ends inside a number" } else { "a number has more than 10 bytes" }))
    }

    #[inline]
    fn take(&mut self, count: u64) -> Result<&'a [u8], WireError> {
        match usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(WireError("it ends inside a field")),
        }
    }

    /// The next field's number and value, or `None` at the end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError("a field number is too large"))?;
        if number == 0 {
            return Err(WireError("a field has the number 0"));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            3 | 4 => return Err(WireError("groups are not supported")),
            _ => return Err(WireError("a field has an unknown wire type")),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn fixed64(&mut self) -> Result<u64, WireError> {
        Ok(self.take(8)?.try_into().map(u64::from_le_bytes).unwrap_or_default())
    }
}

const WRONG_TYPE: WireError = WireError("a field has the wrong wire type");

impl<'a> Value<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], WireError> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub(crate) fn varint(self) -> Result<u64, WireError> {
        if let Value::Varint(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub(crate) fn double(self) -> Result<f64, WireError> {
        if let Value::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(WRONG_TYPE) }
    }
}

/// A number whose sign is in its lowest bit.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads repeated numbers, packed or one by one.
pub(crate) fn varints(field: Value<'_>, mut take: impl FnMut(u64)) -> Result<(), WireError> {
    match field {
        Value::Varint(value) => take(value),
        Value::Bytes(bytes) => {
            let mut reader = Reader::new(bytes);
            while reader.left() > 0 {
                take(reader.varint()?);
            }
        }
        Value::Fixed32 | Value::Fixed64(_) => return Err(WRONG_TYPE),
    }
    Ok(())
}

/// The same for doubles.
pub(crate) fn doubles(field: Value<'_>, out: &mut Vec<f64>) -> Result<(), WireError> {
    match field {
        Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
        Value::Bytes(bytes) => {
            let (whole, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(WireError("a list of doubles ends inside one"));
            }
            out.extend(whole.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        }
        Value::Fixed32 | Value::Varint(_) => return Err(WRONG_TYPE),
    }
    Ok(())
}

/// The same for unsigned numbers of 64 bits.
pub(crate) fn fixed64s(field: Value<'_>, out: &mut Vec<u64>) -> Result<(), WireError> {
    let mut numbers = Vec::new();
    doubles(field, &mut numbers)?;
    out.extend(numbers.into_iter().map(f64::to_bits));
    Ok(())
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field with a number.
pub(crate) fn write_number(out: &mut Vec<u8>, field: u32, value: u64) {
    write_varint(out, u64::from(field) << 3);
    write_varint(out, value);
}

/// Writes a field with a number of eight bytes.
pub(crate) fn write_fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    write_varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Writes a field with a text or a message.
pub(crate) fn write_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    write_varint(out, u64::from(field) << 3 | 2);
    write_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_bytes_are_errors_that_say_where_it_ends() {
        let table: &[(&[u8], &str)] = &[
            (&[0x80], "it ends inside a number"),
            (&[0x80; 11], "a number has more than 10 bytes"),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "a number has more than 64 bits"),
            (&[0x0a], "it ends inside a number"),
            (&[0x0a, 5, 1], "it ends inside a field"),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "it ends inside a field"),
            (&[0x09, 1, 2], "it ends inside a field"),
            (&[0x0d, 1, 2], "it ends inside a field"),
            (&[0x02, 0], "a field has the number 0"),
            (&[0x0b], "groups are not supported"),
            (&[0x0f], "a field has an unknown wire type"),
        ];
        for (bytes, message) in table {
            let error = Reader::new(bytes).field().unwrap_err();
            // An empty rest after a tag is the end inside a number only where a number must follow.
            assert_eq!(error.0, *message, "{bytes:?}");
        }
    }
}
