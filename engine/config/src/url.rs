//! Checks addresses as Alertmanager does, without a library for the rest of what an address can be.

use std::net::Ipv6Addr;

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
    let Address { scheme, host, port } = parse(text)?;
    if scheme.is_empty() {
        return Err("it has no scheme such as https://");
    }
    if !schemes.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(wrong_scheme);
    }
    if host.is_empty() && port.is_empty() {
        return Err("it has no host");
    }
    if host.contains(['<', '>', '"']) {
        return Err("the host has a character that no host has");
    }
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Err("the port is not a number below 65536");
    }
    Ok(())
}

/// The parts of an address that say where to; empty where it has none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
}

/// Takes an address apart as Go's `url.Parse` does, which is what Alertmanager refuses by.
pub(crate) fn parse(text: &str) -> Result<Address<'_>, &'static str> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("it contains a control character");
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    check_escapes(fragment)?;
    let (scheme, rest) = match text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.')) {
        Some(0) if text.starts_with(':') => return Err("the scheme is missing before the colon"),
        Some(at) if text[at..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (&text[..at], &text[at + 1..])
        }
        _ => ("", text),
    };
    let rest = rest.split('?').next().unwrap_or("");
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            return Ok(Address { scheme, host: "", port: "" });
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("it has a colon and no scheme such as https:// before it");
        }
    }
    let after_slashes = rest.strip_prefix("//").filter(|_| !scheme.is_empty() || !rest.starts_with("///"));
    let (authority, path) = match after_slashes {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    check_escapes(path)?;
    let (user, host_and_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(|c: char| !c.is_ascii_alphanumeric() && !"-._:~!$&'()*+,;=%@".contains(c)) {
        return Err("the user or the password has a character that must be written as % and two digits");
    }
    check_escapes(user)?;
    let (host, port) = split_port(host_and_port)?;
    Ok(Address { scheme, host, port })
}

/// The host, with the brackets of an IPv6 address, and the port.
fn split_port(text: &str) -> Result<(&str, &str), &'static str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let end = inner.rfind(']').ok_or("the ] is missing")?;
            let (address, zone) = inner[..end].split_once("%25").unwrap_or((&inner[..end], "no zone"));
            if address.parse::<Ipv6Addr>().is_err() || zone.is_empty() {
                return Err("between [ and ] there is no IPv6 address");
            }
            text.split_at(end + 2)
        }
        None if text.contains('[') => return Err("there is something before the ["),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let digits = match port.strip_prefix(':') {
        Some(digits) => digits,
        None if port.is_empty() => "",
        None => return Err("behind the ] there is no port"),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number below 65536");
    }
    if host.contains([' ', '{', '}', '\\', '^', '`', '|']) {
        return Err("the host has a character that no host has");
    }
    check_escapes(host)?;
    // Go takes the escapes of what is no ASCII only.
    let ascii = host
        .match_indices('%')
        .any(|(at, _)| host[at + 1..].starts_with(|c| c < '8') && !host[at..].starts_with("%25"));
    if ascii {
        return Err("the host has a character that no host has");
    }
    Ok((host, digits))
}

fn check_escapes(text: &str) -> Result<(), &'static str> {
    for (at, _) in text.match_indices('%') {
        let escape = text.get(at + 1..at + 3).unwrap_or("");
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
    use super::{check, check_proxy, parse};

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
            "http://a<b/",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        assert_eq!(check_proxy("socks5://u:p@proxy:1080"), Ok(()));
        assert!(check_proxy("proxy:3128").is_err() && check_proxy("ftp://proxy").is_err());
    }
    /// The verdicts of `amtool check-config` on a `proxy_url`.
    #[test]
    fn what_go_takes_apart() {
        for text in [
            "",
            "h",
            "a b",
            "/path",
            "//h",
            "?x",
            "proxy.h:3128",
            "x:y",
            "a:b/c",
            "mailto:x",
            "ftp://h",
            "http:h",
            "http://",
            "http://h:99999",
            "http://a<b/",
            "http://[::1]:9/",
            "http://[fe80::1%25en0]/",
            "http://h?%zz",
            "HTTP://H",
            "http://h:",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            "://u:x@p",
            ":3128",
            "1.2.3.4:3128",
            "1http://h",
            "é:x",
            "%zz",
            "#%zz",
            "http://h:x",
            "http://h:-1",
            "http://a:b:80/",
            "http://a b/",
            "http://{{h}}/",
            "http://a|b/",
            "http://h\\x/",
            "http://h/%zz",
            "http://h%41/",
            "http://h%zz/",
            "http://[::1",
            "http://[::1]x/",
            "http://[abc]/",
            "http://u:p%zz@h",
            "http://u p@h/",
            "http://a\u{7f}/",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
