//! Signing requests for Amazon's services: Signature Version 4, from its published description.

use sha2::{Digest, Sha256};
use watchfire_model::Timestamp;

use crate::Request;
use crate::notification::hex;
use crate::signature::hmac_sha256;

/// Whose request it is.
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// Of temporary keys; empty for others.
    pub(crate) session_token: String,
    pub(crate) region: String,
}

/// Adds the date and the signature. The body is final from then on; the path has no characters that need encoding.
pub(crate) fn sign(request: &mut Request, keys: &Keys, service: &str, now: Timestamp) {
    let date = now.to_chrono().format("%Y%m%d").to_string();
    let time = now.to_chrono().format("%Y%m%dT%H%M%SZ").to_string();
    let rest = request.url.split_once("://").map_or(request.url.as_str(), |(_, rest)| rest);
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = if path.is_empty() { "/" } else { path };
    let mut query: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    query.sort_unstable();
    let mut headers = vec![
        ("content-type", request.header("Content-Type").unwrap_or_default().to_owned()),
        ("host", host.to_owned()),
        ("x-amz-date", time.clone()),
    ];
    if !keys.session_token.is_empty() {
        headers.push(("x-amz-security-token", keys.session_token.clone()));
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = format!(
        "{}\n{path}\n{}\n{lines}\n{names}\n{}",
        request.method.as_str(),
        query.join("&"),
        hex(&Sha256::digest(&request.body))
    );
    let scope = format!("{date}/{}/{service}/aws4_request", keys.region);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let parts = [date.as_str(), keys.region.as_str(), service, "aws4_request"];
    let key = parts
        .iter()
        .fold(format!("AWS4{}", keys.secret_key).into_bytes(), |key, part| hmac_sha256(&key, part.as_bytes()).to_vec());
    let signature = hex(&hmac_sha256(&key, text.as_bytes()));
    request.set_header("X-Amz-Date", time);
    if !keys.session_token.is_empty() {
        request.set_header("X-Amz-Security-Token", keys.session_token.clone());
    }
    request.set_header(
        "Authorization",
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            keys.access_key
        ),
    );
}
