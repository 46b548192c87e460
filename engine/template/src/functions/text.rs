//! Texts: case, space, hosts, links.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use std::net::IpAddr;

use super::escape::{query_escape, query_unescape};
use super::{Context, Function, Param, TEXT_BYTES_MAX, safe, text, too_long};
use crate::value::{Safe, Value};

const TEXT: &[Param] = &[Param::Text];

/// What both Prometheus and Alertmanager have.
pub(super) const COMMON: &[Function] = &[
    Function { name: "toUpper", params: TEXT, variadic: false, call: |_, a| Ok(text(a, 0).to_uppercase().into()) },
    Function { name: "toLower", params: TEXT, variadic: false, call: |_, a| Ok(text(a, 0).to_lowercase().into()) },
    Function { name: "safeHtml", params: TEXT, variadic: false, call: |_, a| Ok(safe(Safe::Html, text(a, 0))) },
];

/// What only rule templates have.
pub(super) const PROMETHEUS: &[Function] = &[
    Function { name: "title", params: TEXT, variadic: false, call: |_, a| Ok(title(text(a, 0), false).into()) },
    Function { name: "stripPort", params: TEXT, variadic: false, call: |_, a| Ok(strip_port(text(a, 0)).into()) },
    Function { name: "stripDomain", params: TEXT, variadic: false, call: |_, a| Ok(strip_domain(text(a, 0)).into()) },
    Function { name: "graphLink", params: TEXT, variadic: false, call: |_, a| Ok(link(text(a, 0), 0)) },
    Function { name: "tableLink", params: TEXT, variadic: false, call: |_, a| Ok(link(text(a, 0), 1)) },
    Function {
        name: "urlQueryEscape",
        params: TEXT,
        variadic: false,
        call: |_, a| Ok(query_escape(text(a, 0)).into()),
    },
    Function { name: "externalURL", params: &[], variadic: false, call: |c, _| Ok(c.external_url.into()) },
    Function { name: "pathPrefix", params: &[], variadic: false, call: |c, _| Ok(path_prefix(c)) },
];

/// What only notification templates have.
pub(super) const ALERTMANAGER: &[Function] = &[
    // The alphabet that needs no escaping in an address, because that is what these are for.
    Function {
        name: "base64encode",
        params: TEXT,
        variadic: false,
        call: |_, a| Ok(URL_SAFE.encode(text(a, 0)).into()),
    },
    Function {
        name: "base64decode",
        params: TEXT,
        variadic: false,
        call: |_, a| {
            let text = text(a, 0);
            let decoded = URL_SAFE.decode(text).map_err(|_| {
                // Either something that is no digit, or the end of the text within a group of four.
                let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                let at = text.bytes().position(|byte| !is_digit(byte)).unwrap_or(text.len() / 4 * 4);
                format!("illegal base64 data at input byte {at}")
            })?;
            Ok(String::from_utf8_lossy(&decoded).into_owned().into())
        },
    },
    Function {
        name: "routeLabels",
        params: TEXT,
        variadic: false,
        call: |context, a| match context.route_label.as_mut() {
            Some(value) => value(text(a, 0)).map(Value::from),
            None => Ok("".into()),
        },
    },
    Function { name: "title", params: TEXT, variadic: false, call: |_, a| Ok(title(text(a, 0), true).into()) },
    Function { name: "trimSpace", params: TEXT, variadic: false, call: |_, a| Ok(text(a, 0).trim().into()) },
    Function { name: "safeUrl", params: TEXT, variadic: false, call: |_, a| Ok(safe(Safe::Url, text(a, 0))) },
    Function {
        name: "urlUnescape",
        params: TEXT,
        variadic: false,
        call: |_, a| query_unescape(text(a, 0)).map(Value::from),
    },
    Function {
        name: "stringSlice",
        params: TEXT,
        variadic: true,
        call: |_, a| Ok(Value::texts(a.iter().filter_map(Value::shared_text))),
    },
    Function { name: "join", params: &[Param::Text, Param::TextList], variadic: false, call: |_, a| join(a) },
];

fn join(arguments: &[Value]) -> Result<Value, String> {
    let Some(Value::List(list)) = arguments.get(1) else {
        return Ok("".into());
    };
    let separator = text(arguments, 0);
    let texts: Vec<&str> = list.items.iter().filter_map(Value::as_text).collect();
    if texts.iter().map(|text| text.len() + separator.len()).sum::<usize>() > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(texts.join(separator).into())
}

/// Upper case for the first letter of each word, also where digits come before it; the other letters stay unless `lower`.
pub(crate) fn title(text: &str, lower: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // Whether the word has had its first letter.
    let mut begun = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            if begun && lower {
                out.extend(c.to_lowercase());
            } else if begun {
                out.push(c);
            } else {
                out.extend(c.to_uppercase());
                begun = c.is_alphabetic();
            }
        } else {
            // An apostrophe or point in its midst does not end a word.
            let joins = matches!(c, '\'' | '’' | '.' | ':' | '·') && chars.peek().is_some_and(|n| n.is_alphanumeric());
            begun = begun && joins;
            out.push(c);
        }
    }
    out
}

/// Host and port of `host:port` or `[v6]:port`; `None` if it is neither (`net.SplitHostPort`).
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return (!inner.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((inner, port));
    }
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or("");
    match (port, host.contains(':')) {
        ("", _) => host.to_owned(),
        (port, true) => format!("[{host}]:{port}"),
        (port, false) => format!("{host}:{port}"),
    }
}

fn link(expression: &str, tab: u8) -> Value {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expression)).into()
}

/// The path of the external URL.
fn path_prefix(context: &Context<'_>) -> Value {
    let url = context.external_url;
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
    path.split(['?', '#']).next().unwrap_or("").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_port_or_domain() {
        for (given, without_port, without_domain) in [
            ("host:9090", "host", "host:9090"),
            ("[::1]:80", "::1", "[::1]:80"),
            ("1.2.3.4", "1.2.3.4", "1.2.3.4"),
            ("a.b.c:80", "a.b.c", "a:80"),
            ("::1", "::1", "::1"),
            ("a:b:c", "a:b:c", "a:b:c"),
        ] {
            assert_eq!(strip_port(given), without_port, "{given}");
            assert_eq!(strip_domain(given), without_domain, "{given}");
        }
    }

    #[test]
    fn titles() {
        assert_eq!(title("hello wORLD foo-bar it's a_b", false), "Hello WORLD Foo-Bar It's A_b");
        assert_eq!(title("hELLO", true), "Hello");
    }

    #[test]
    fn the_path_of_the_external_url() {
        for (url, path) in [("http://a.example/prom/x?y=1", "/prom/x"), ("http://a.example", ""), ("", "")] {
            let context = Context::new(watchfire_model::Timestamp::EPOCH, url);
            assert_eq!(path_prefix(&context).as_text(), Some(path));
        }
    }
}
