//! Message authentication: what services sign, and what they want signed.

use ring::hmac;

use crate::notification::hex;

/// HMAC with SHA-256.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// Whether one of `signatures` is the HMAC-SHA256 of a message in hexadecimal digits. The message is read once however many
/// there are, and a wrong one takes as long as the right one.
pub(crate) fn is_hmac_sha256<'a>(key: &[u8], message: &[u8], signatures: impl IntoIterator<Item = &'a str>) -> bool {
    let expected = hex(&hmac_sha256(key, message));
    signatures.into_iter().fold(false, |found, given| found | equal(&expected, &given.to_ascii_lowercase()))
}

/// Compares without stopping at the first difference.
fn equal(expected: &str, given: &str) -> bool {
    let difference = expected.bytes().zip(given.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b));
    expected.len() == given.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_message_and_key_only() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")), expected);
        let message = b"what do ya want for nothing?";
        assert!(is_hmac_sha256(b"Jefe", message, [expected]));
        assert!(is_hmac_sha256(b"Jefe", message, ["", expected.to_uppercase().as_str()]));
        assert!(!is_hmac_sha256(b"Jefe", message, []));
        for (key, message, digits) in [
            ("Jefe", "what do ya want for something?", expected),
            ("Jeff", "what do ya want for nothing?", expected),
            ("Jefe", "what do ya want for nothing?", &expected[..62]),
            ("Jefe", "what do ya want for nothing?", ""),
            ("Jefe", "what do ya want for nothing?", "zz"),
        ] {
            assert!(!is_hmac_sha256(key.as_bytes(), message.as_bytes(), [digits]), "{key} {message} {digits}");
        }
    }
}
