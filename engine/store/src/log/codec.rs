//! Numbers and texts of the log's own binary form.

/// Why bytes that passed their checksum cannot be read: they were written by a newer version, or by a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

const SHORT: Unreadable = Unreadable("it is shorter than it says");

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign take few bytes.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

pub(super) fn put_length(out: &mut Vec<u8>, value: usize) {
    put_varint(out, value as u64);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads what the `put_` functions wrote.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unreadable> {
        let (byte, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable("a number has more than 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Unreadable> {
        self.varint().map(unzigzag)
    }

    /// A count of things of which each takes at least one byte, so that it can be reserved for.
    pub(super) fn count(&mut self) -> Result<usize, Unreadable> {
        let count = usize::try_from(self.varint()?).map_err(|_| SHORT)?;
        if count > self.rest.len() { Err(SHORT) } else { Ok(count) }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Unreadable> {
        let count = self.count()?;
        std::str::from_utf8(self.take(count)?).map_err(|_| Unreadable("a text is not valid UTF-8"))
    }

    pub(super) fn f64(&mut self) -> Result<f64, Unreadable> {
        let bytes = self.take(8)?.try_into().map_err(|_| SHORT)?;
        Ok(f64::from_bits(u64::from_le_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read(a in any::<u64>(), b in any::<i64>(), text in ".*", bits in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, a);
            put_signed(&mut bytes, b);
            put_text(&mut bytes, &text);
            put_f64(&mut bytes, f64::from_bits(bits));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(a));
            prop_assert_eq!(reader.signed(), Ok(b));
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert_eq!(reader.f64().map(f64::to_bits), Ok(bits));
            prop_assert!(reader.is_empty());
            for end in 0..bytes.len() {
                let mut reader = Reader::new(&bytes[..end]);
                let all = reader.varint().and_then(|_| reader.signed()).and_then(|_| reader.text()).and_then(|_| reader.f64());
                prop_assert!(all.is_err());
            }
        }
    }
}
