//! Protocol buffers written by hand, so that what is sent does not depend on the code under test:
//! <https://protobuf.dev/programming-guides/encoding/>.

/// A message that is put together field by field. What is zero is written too.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proto(pub(crate) Vec<u8>);

impl Proto {
    /// `uint32`, `uint64`, `int64`, `bool` and enums.
    pub(crate) fn varint(mut self, field: u64, value: u64) -> Proto {
        varint(&mut self.0, field << 3);
        varint(&mut self.0, value);
        self
    }

    /// `sint32`.
    pub(crate) fn zigzag(self, field: u64, value: i64) -> Proto {
        self.varint(field, zigzag(value))
    }

    /// `double`.
    pub(crate) fn double(self, field: u64, value: f64) -> Proto {
        self.fixed(field, value.to_bits())
    }

    /// `fixed64`.
    pub(crate) fn fixed(mut self, field: u64, value: u64) -> Proto {
        varint(&mut self.0, field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// `string` and `bytes`, messages and packed lists.
    pub(crate) fn bytes(mut self, field: u64, content: &[u8]) -> Proto {
        varint(&mut self.0, field << 3 | 2);
        varint(&mut self.0, content.len() as u64);
        self.0.extend_from_slice(content);
        self
    }

    /// A message within this one.
    pub(crate) fn message(self, field: u64, message: &Proto) -> Proto {
        self.bytes(field, &message.0)
    }

    /// Several messages of a repeated field.
    pub(crate) fn messages(self, field: u64, messages: impl IntoIterator<Item = Proto>) -> Proto {
        messages.into_iter().fold(self, |out, message| out.message(field, &message))
    }

    /// A packed list of `double`.
    pub(crate) fn doubles(self, field: u64, values: impl IntoIterator<Item = f64>) -> Proto {
        let content: Vec<u8> = values.into_iter().flat_map(f64::to_le_bytes).collect();
        self.bytes(field, &content)
    }

    /// A packed list of `fixed64`.
    pub(crate) fn fixeds(self, field: u64, values: impl IntoIterator<Item = u64>) -> Proto {
        let content: Vec<u8> = values.into_iter().flat_map(u64::to_le_bytes).collect();
        self.bytes(field, &content)
    }

    /// A packed list of `uint32` or `uint64`.
    pub(crate) fn varints(self, field: u64, values: impl IntoIterator<Item = u64>) -> Proto {
        let mut content = Vec::new();
        for value in values {
            varint(&mut content, value);
        }
        self.bytes(field, &content)
    }

    /// A packed list of `sint64`.
    pub(crate) fn zigzags(self, field: u64, values: impl IntoIterator<Item = i64>) -> Proto {
        self.varints(field, values.into_iter().map(zigzag))
    }

    /// In Snappy's block format, all of it literals.
    pub(crate) fn snappy(&self) -> Vec<u8> {
        let content = &self.0;
        let mut out = Vec::with_capacity(content.len() + content.len() / 1000 + 16);
        varint(&mut out, content.len() as u64);
        for chunk in content.chunks(1 << 16) {
            // A literal whose length less one stands in the two bytes behind the tag.
            out.push(61 << 2);
            out.extend_from_slice(&((chunk.len() - 1) as u16).to_le_bytes());
            out.extend_from_slice(chunk);
        }
        out
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
