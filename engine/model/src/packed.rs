//! Texts with their lengths, one behind the other: names and values in few allocations.

/// Appends a number as text that is also bytes: six bits a character, all but the last with the seventh set.
pub(crate) fn put_length(out: &mut String, mut length: usize) {
    while length >= 64 {
        out.push(char::from(64 | (length & 63) as u8));
        length >>= 6;
    }
    out.push(char::from(length as u8));
}

/// Takes a number off the front of what [`put_length`] wrote.
pub(crate) fn take_length(text: &mut &str) -> usize {
    let (mut length, mut shift, mut read) = (0, 0, 0);
    for byte in text.bytes() {
        read += 1;
        length |= usize::from(byte & 63) << shift;
        shift += 6;
        if byte & 64 == 0 {
            break;
        }
    }
    *text = &text[read..];
    length
}

/// Takes a text with its length before it off the front.
pub(crate) fn take_text<'a>(text: &mut &'a str) -> &'a str {
    let length = take_length(text);
    let (taken, rest) = text.split_at(length);
    *text = rest;
    taken
}

/// Bytes that [`put_text`] makes of a text, and rarely one more.
pub(crate) fn text_bytes(text: &str) -> usize {
    // Lengths below 64 take one byte, which is nearly all of them.
    text.len() + 1 + text.len() / 64
}

pub(crate) fn put_text(out: &mut String, text: &str) {
    put_length(out, text.len());
    out.push_str(text);
}
