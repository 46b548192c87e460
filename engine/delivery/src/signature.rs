//! Message authentication: what services sign, and what they want signed.

use ring::hmac;

/// HMAC with SHA-256.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// Whether `digits` are the hexadecimal HMAC-SHA256 of a message; takes as long for a wrong one as for the right one.
pub(crate) fn is_hmac_sha256(key: &[u8], message: &[u8], digits: &str) -> bool {
    let digits = digits.as_bytes();
    let pairs = digits.chunks_exact(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    let whole = digits.len() == 64;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    bytes.filter(|_| whole).is_some_and(|bytes| hmac::verify(&key, message, &bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::hex;

    #[test]
    fn a_signature_fits_its_message_and_key_only() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")), expected);
        assert!(is_hmac_sha256(b"Jefe", b"what do ya want for nothing?", expected));
        for (key, message, digits) in [
            ("Jefe", "what do ya want for something?", expected),
            ("Jeff", "what do ya want for nothing?", expected),
            ("Jefe", "what do ya want for nothing?", &expected[..62]),
            ("Jefe", "what do ya want for nothing?", ""),
            ("Jefe", "what do ya want for nothing?", "zz"),
        ] {
            assert!(!is_hmac_sha256(key.as_bytes(), message.as_bytes(), digits), "{key} {message} {digits}");
        }
    }
}
