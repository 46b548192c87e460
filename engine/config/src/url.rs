//! Checks addresses as Alertmanager does, without a library for the rest of what an address can be.

/// Whether `text` is an `http` or `https` address with a host. What is wrong is told without quoting any of it, since
/// an address may be a secret.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    check_with(text, &["http", "https"], "the scheme is not http or https")
}

/// The same for the address of a proxy.
pub(crate) fn check_proxy(text: &str) -> Result<(), &'static str> {
    let schemes = ["http", "https", "socks5", "socks5h"];
    check_with(text, &schemes, "the scheme is not http, https, socks5 or socks5h")
}

fn check_with(text: &str, schemes: &[&str], wrong_scheme: &'static str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err("it has no scheme such as https://");
    };
    if !schemes.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(wrong_scheme);
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("it contains a control character");
    }
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("it has no host");
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host_and_port.rfind(':') {
        Some(at) if !host_and_port[at..].contains(']') => (&host_and_port[..at], &host_and_port[at + 1..]),
        _ => (host_and_port, ""),
    };
    if host_and_port.is_empty() {
        return Err("it has no host");
    }
    if host.contains([' ', '<', '>', '"', '{', '}', '\\', '^', '`', '|']) {
        return Err("the host has a character that no host has");
    }
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !port.is_empty() && port.parse::<u16>().is_err() {
        return Err("the port is not a number below 65536");
    }
    let path = path.split(['?', '#']).next().unwrap_or("");
    for (at, _) in path.match_indices('%') {
        let escape = path.get(at + 1..at + 3).unwrap_or("");
        if escape.len() < 2 || !escape.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a % must be followed by two hexadecimal digits");
        }
    }
    Ok(())
}

/// A port by number, or by one of the names that mail servers are configured with.
pub(crate) fn port(text: &str) -> Option<u16> {
    match text {
        "smtp" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, check_proxy};

    #[test]
    fn addresses() {
        for text in ["http://a", "https://a:80/b?c=%d", "http://u:p@[::1]:9/", "HTTPS://x/a b", "http://a/%20"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "a",
            "ftp://a",
            "http:a",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a:x/",
            "http://a:+1",
            "http://a:65536",
            "http://a/%2",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        assert_eq!(check_proxy("socks5://u:p@proxy:1080"), Ok(()));
        assert!(check_proxy("proxy:3128").is_err() && check_proxy("ftp://proxy").is_err());
    }
}
