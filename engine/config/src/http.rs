//! `http_config`: how a request to a receiver is made.

use std::collections::BTreeMap;

use crate::decode::{Decoder, Fields};
use crate::secret::{Credential, Secret};
use crate::tree::Tree;
use crate::url;

/// How to make HTTP requests.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header; `bearer_token` ends here too.
    pub authorization: Option<Authorization>,
    /// How to get a token first.
    pub oauth2: Option<Box<OAuth2>>,
    /// Certificates.
    pub tls: TlsConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered.
    pub enable_http2: bool,
    /// Through which proxy.
    pub proxy: ProxyConfig,
    /// Headers to add.
    pub headers: BTreeMap<String, HeaderValues>,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            headers: BTreeMap::new(),
        }
    }
}

/// User and password.
#[derive(Clone, Debug, PartialEq)]
pub struct BasicAuth {
    /// The user; it may stand in a file too.
    pub username: Option<Credential>,
    /// The password.
    pub password: Option<Credential>,
}

/// The `Authorization` header.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorization {
    /// The scheme, `Bearer` by default.
    pub kind: String,
    /// What follows it.
    pub credentials: Option<Credential>,
}

/// How to get a token from an OAuth 2 server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OAuth2 {
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<Credential>,
    /// `client_credentials`, or `urn:ietf:params:oauth:grant-type:jwt-bearer`.
    pub grant_type: String,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Where tokens are made.
    pub token_url: String,
    /// Parameters to add to the request for a token.
    pub endpoint_params: BTreeMap<String, String>,
    /// Certificates for that server.
    pub tls: TlsConfig,
    /// The proxy to it.
    pub proxy: ProxyConfig,
    /// For the JWT grant: the key that signs.
    pub certificate_key: Option<Credential>,
    /// For the JWT grant: that key's id.
    pub certificate_key_id: String,
    /// For the JWT grant: `RS256` (the default), `RS384` or `RS512`.
    pub signature_algorithm: String,
    /// For the JWT grant: the issuer; the client by default.
    pub issuer: String,
    /// For the JWT grant: the audience; the token's address by default.
    pub audience: String,
    /// For the JWT grant: claims to add.
    pub claims: Option<Tree>,
}

/// Certificates and versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Whom to trust, instead of the system's roots; PEM.
    pub ca: Option<Credential>,
    /// The own certificate; PEM.
    pub cert: Option<Credential>,
    /// Its key; PEM.
    pub key: Option<Credential>,
    /// The name to expect in the server's certificate.
    pub server_name: String,
    /// Whether anything is trusted.
    pub insecure_skip_verify: bool,
    /// The oldest version.
    pub min_version: Option<TlsVersion>,
    /// The newest version.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0; not spoken any more.
    Tls10,
    /// 1.1; not spoken any more.
    Tls11,
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// Through which proxy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    /// The proxy; hidden, since it may contain a password.
    pub url: Option<Secret>,
    /// Hosts that are reached without it, separated by commas.
    pub no_proxy: String,
    /// Whether the environment says which (`HTTPS_PROXY`, ...).
    pub from_environment: bool,
    /// Headers for the proxy.
    pub connect_headers: BTreeMap<String, Vec<Secret>>,
}

/// The values of one header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderValues {
    /// Values that may be seen.
    pub values: Vec<String>,
    /// Values that may not, from the configuration and from files.
    pub secrets: Vec<Credential>,
}

const NO_SECRET_MANAGER: &str =
    "secrets by reference need a secret manager, which Alertmanager and Watchfire do not have";

/// Headers that the client sets itself.
const RESERVED_HEADERS: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// The value of `http_config`.
pub(crate) fn http_config(fields: &mut Fields<'_, '_>) -> Option<HttpConfig> {
    fields.object("http_config", "http_config", read)
}

/// The keys of `http_config`, where they stand among others.
pub(crate) fn read(fields: &mut Fields<'_, '_>) -> HttpConfig {
    let basic_auth = fields.object("basic_auth", "basic_auth", |f| {
        let auth = BasicAuth {
            username: f.credential("username", "username_file"),
            password: f.credential("password", "password_file"),
        };
        references(f, &["username_ref", "password_ref"]);
        auth
    });
    let authorization = fields.object("authorization", "authorization", |f| {
        let kind = f.text_or("type", "").trim().to_owned();
        if kind.eq_ignore_ascii_case("basic") {
            f.error("type", "conflict", "the authorization type cannot be `basic`").help("use `basic_auth` instead");
        }
        let credentials = f.credential("credentials", "credentials_file");
        references(f, &["credentials_ref"]);
        Authorization { kind: if kind.is_empty() { "Bearer".to_owned() } else { kind }, credentials }
    });
    let oauth2 = fields.object("oauth2", "oauth2", oauth2);
    let bearer = fields.credential("bearer_token", "bearer_token_file");
    let ways = [
        ("basic_auth", basic_auth.is_some()),
        ("authorization", authorization.is_some()),
        ("oauth2", oauth2.is_some()),
        (if fields.has("bearer_token") { "bearer_token" } else { "bearer_token_file" }, bearer.is_some()),
    ];
    let used: Vec<&str> = ways.iter().filter(|(_, used)| *used).map(|(key, _)| *key).collect();
    if let [_, second, ..] = used[..] {
        fields
            .error(second, "conflict", format!("more than one way to authenticate: {}", used.join(", ")))
            .help("keep one of them");
    }
    let authorization = authorization
        .or_else(|| bearer.map(|token| Authorization { kind: "Bearer".to_owned(), credentials: Some(token) }));
    let tls = tls_config(fields, "tls_config").unwrap_or_default();
    let config = HttpConfig {
        basic_auth,
        authorization,
        oauth2: oauth2.map(Box::new),
        tls,
        follow_redirects: fields.boolean("follow_redirects").unwrap_or(true),
        enable_http2: fields.boolean("enable_http2").unwrap_or(true),
        proxy: proxy_config(fields),
        headers: headers(fields, "http_headers"),
    };
    for name in config.headers.keys().filter(|name| RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str())) {
        fields
            .error("http_headers", "bad-value", format!("the header {name} cannot be set here"))
            .help("credentials have keys of their own; the rest the client sets itself");
    }
    config
}

fn references(fields: &mut Fields<'_, '_>, keys: &[&'static str]) {
    for key in keys {
        if fields.filled(key).is_some() {
            fields.warning(key, "unsupported", format!("`{key}` is ignored")).help(NO_SECRET_MANAGER);
        }
    }
}

/// The keys of `oauth2`.
pub(crate) fn oauth2(fields: &mut Fields<'_, '_>) -> OAuth2 {
    let jwt = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let config = OAuth2 {
        client_id: fields.required("client_id", "give the id of the client at the OAuth 2 server").unwrap_or_default(),
        client_secret: fields.credential("client_secret", "client_secret_file"),
        token_url: token_url(fields),
        grant_type: fields.text_or("grant_type", "client_credentials"),
        scopes: fields.texts("scopes").unwrap_or_default(),
        endpoint_params: fields.text_map("endpoint_params"),
        tls: tls_config(fields, "tls_config").unwrap_or_default(),
        proxy: proxy_config(fields),
        certificate_key: fields.credential("client_certificate_key", "client_certificate_key_file"),
        certificate_key_id: fields.text_or("client_certificate_key_id", ""),
        signature_algorithm: fields.text_or("signature_algorithm", "RS256"),
        issuer: fields.text_or("iss", ""),
        audience: fields.text_or("audience", ""),
        claims: fields.tree("claims"),
    };
    references(fields, &["client_secret_ref", "client_certificate_key_ref"]);
    if config.grant_type == jwt && !matches!(config.signature_algorithm.as_str(), "RS256" | "RS384" | "RS512") {
        fields
            .error("signature_algorithm", "bad-value", "unknown signature algorithm")
            .help("possible: RS256, RS384, RS512");
    }
    config
}

/// Alertmanager looks at it when it needs a token, so that it is told here and not refused.
fn token_url(fields: &mut Fields<'_, '_>) -> String {
    let text = fields.required("token_url", "give the address where tokens are made").unwrap_or_default();
    if let Some(Err(reason)) = Some(&text).filter(|text| !text.is_empty()).map(|text| url::check(text)) {
        fields
            .warning("token_url", "bad-url", format!("token_url is not an address: {reason}"))
            .help("write it like https://example.com/token, or no token can be got");
    }
    text
}

/// A `tls_config`.
pub(crate) fn tls_config(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<TlsConfig> {
    fields.object(key, "tls_config", |f| {
        let config = TlsConfig {
            ca: f.credential("ca", "ca_file"),
            cert: f.credential("cert", "cert_file"),
            key: f.credential("key", "key_file"),
            server_name: f.text_or("server_name", ""),
            insecure_skip_verify: f.boolean("insecure_skip_verify").unwrap_or(false),
            min_version: tls_version(f, "min_version"),
            max_version: tls_version(f, "max_version"),
        };
        let referenced = |f: &Fields<'_, '_>, key| f.has(key);
        let (cert, private) =
            (config.cert.is_some() || referenced(f, "cert_ref"), config.key.is_some() || referenced(f, "key_ref"));
        references(f, &["ca_ref", "cert_ref", "key_ref"]);
        if cert && !private {
            f.missing("key").help("a client certificate needs its key: give `key` or `key_file`");
        } else if private && !cert {
            f.missing("cert").help("a client key needs its certificate: give `cert` or `cert_file`");
        }
        config
    })
}

fn tls_version(fields: &mut Fields<'_, '_>, key: &'static str) -> Option<TlsVersion> {
    match fields.word(key, &["TLS13", "TLS12", "TLS11", "TLS10"])? {
        "TLS13" => Some(TlsVersion::Tls13),
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS11" => Some(TlsVersion::Tls11),
        _ => Some(TlsVersion::Tls10),
    }
}

fn proxy_config(fields: &mut Fields<'_, '_>) -> ProxyConfig {
    let url = fields.filled("proxy_url");
    if let Some(text) = url.as_deref().filter(|text| *text != "<secret>") {
        let told = |reason| format!("proxy_url is not the address of a proxy: {reason}");
        if let Err(reason) = url::parse(text) {
            fields.error("proxy_url", "bad-url", told(reason)).help("write it like http://proxy.example:3128");
        } else if let Err(reason) = url::check_proxy(text) {
            // Alertmanager takes it.
            fields
                .warning("proxy_url", "bad-url", told(reason))
                .help("write it like http://proxy.example:3128, or nothing can be sent through it");
        }
    }
    let config = ProxyConfig {
        url: url.map(Secret::new),
        no_proxy: fields.text_or("no_proxy", ""),
        from_environment: fields.boolean("proxy_from_environment").unwrap_or(false),
        connect_headers: proxy_headers(fields),
    };
    let needs_url = "give `proxy_url` too";
    if !config.connect_headers.is_empty() && !config.from_environment && config.url.is_none() {
        fields.error("proxy_connect_header", "conflict", "`proxy_connect_header` without a proxy").help(needs_url);
    }
    if config.from_environment && config.url.is_some() {
        fields
            .error("proxy_from_environment", "conflict", "both `proxy_url` and `proxy_from_environment`")
            .help("keep one of the two");
    }
    if config.from_environment && !config.no_proxy.is_empty() {
        fields
            .error("no_proxy", "conflict", "both `no_proxy` and `proxy_from_environment`")
            .help("set NO_PROXY in the environment instead");
    } else if config.url.is_none() && !config.no_proxy.is_empty() {
        fields.error("no_proxy", "conflict", "`no_proxy` without a proxy").help(needs_url);
    }
    config
}

fn proxy_headers(fields: &mut Fields<'_, '_>) -> BTreeMap<String, Vec<Secret>> {
    let pairs = fields.read("proxy_connect_header", |decoder, node| {
        Some(decoder.entries(node, "proxy_connect_header", |decoder, entry| {
            Some(decoder.list(&entry.value, "the header's values", |decoder, node| secret(decoder, node)))
        }))
    });
    pairs.unwrap_or_default().into_iter().collect()
}

fn secret(decoder: &mut Decoder<'_>, node: &crate::yaml::Node) -> Option<Secret> {
    decoder.text(node, "the value").map(Secret::new)
}

/// Headers by name.
pub(crate) fn headers(fields: &mut Fields<'_, '_>, key: &'static str) -> BTreeMap<String, HeaderValues> {
    let pairs = fields.read(key, |decoder, node| {
        Some(decoder.entries(node, key, |decoder, entry| {
            decoder.mapping(&entry.value, "a header", |f| {
                let values = f.texts("values").unwrap_or_default();
                let mut secrets: Vec<Credential> = f.list("secrets", |d, n| secret(d, n).map(Credential::Inline));
                secrets.extend(f.list("files", |decoder, node| {
                    let path = decoder.text(node, "the path")?;
                    let path = decoder.resolve_path(&path);
                    let content = decoder.read_secret_file(node.start, &path).map(Secret::new);
                    Some(Credential::File { path, content })
                }));
                HeaderValues { values, secrets }
            })
        }))
    });
    pairs.unwrap_or_default().into_iter().collect()
}
