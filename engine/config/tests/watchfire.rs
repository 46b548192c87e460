//! A whole `watchfire.yml`, its schema, and what must never be seen of it.

use serde_json::Value;
use watchfire_alerting::GroupBy;
use watchfire_config::{Channel, Config, FixedEnvironment, Source, config_schema, load_config, rules_schema};
use watchfire_model::{Duration, Labels};
use watchfire_plugin::Limits;

const WHOLE: &str = r##"
server:
  listen: ${LISTEN:-127.0.0.1:9494}
  external_url: https://alerts.example.com/
  auth:
    bearer_tokens: ['${TOKEN}', {token: secret-view, role: viewer}]
    basic: {admin: {password_file: secrets/admin, role: operator}}
  limits: {body_bytes_max: 8MiB}
storage: {path: data, history: 90d}
tracing:
  client_type: http
  endpoint: collector:4318
  sampling_fraction: 0.1
  compression: gzip
  headers: {Authorization: {secrets: ['${TOKEN}']}}
  tls_config: {server_name: traces}
rules: {paths: ['rules/**/*.yml', /etc/watchfire/*.yml]}
plugins:
  dir: plugins
  lock: plugins.lock
  limits: {memory_bytes_max: 32MiB}
  settings:
    oncall:
      digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
      limits: {call_timeout: 50ms, calls_max: 2}
      grant: [state, log]
evaluation: {interval: 15s, on_ingest: no, external_labels: {region: eu}}
limits: {series_max: 10_000}
global:
  resolve_timeout: 3m
  smtp_smarthost: mail.example.com:587
  smtp_from: watchfire@example.com
  smtp_auth_password_file: secrets/smtp
templates: [templates/*.tmpl]
route:
  receiver: pages
  group_by: [alertname]
  group_wait: 0s
  labels: {owner: a}
  routes:
    - matchers: [severity=~"info|warning", '"a.b"!=""']
      receiver: chat
      group_by: ['...']
      continue: true
      mute_time_intervals: [nights]
      labels: {tier: b}
      routes:
        - match: {team: x}
          router: {plugin: oncall, config: {shift: 8h}}
receivers:
  - name: pages
    pagerduty_configs: [{routing_key: '${PAGERDUTY}', details: {n: 1, tree: {a: ['{{ .Status }}']}}}]
    email_configs: [{to: ops@example.com, headers: {subject: x}}]
  - name: chat
    slack_configs:
      - {api_url: https://hooks.example.com/T/secret-hook, channel: '#ops', template: messages/slack.hbs}
    webhook_configs:
      - url: https://user:secret-hook@example.com/{{ .GroupLabels.x }}
        timeout: 1.5s
        http_config: {authorization: {credentials: secret-hook}, http_headers: {X-A: {secrets: [secret-hook]}}}
time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}], location: Europe/Berlin}]
"##;

fn load() -> Config {
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let environment = FixedEnvironment {
        variables: text(&[("TOKEN", "secret-token"), ("PAGERDUTY", "secret-key")]),
        files: text(&[("/etc/wf/secrets/admin", "secret-admin\n"), ("/etc/wf/secrets/smtp", "secret-smtp")]),
        zone: None,
    };
    let (config, diagnostics) = load_config(Source { name: "/etc/wf/watchfire.yml", text: WHOLE }, &environment);
    assert_eq!(diagnostics, []);
    config.unwrap()
}

#[test]
fn a_whole_configuration_is_read() {
    let config = load();
    assert_eq!(config.server.listen, ["127.0.0.1:9494"]);
    assert_eq!(config.server.external_url.as_deref(), Some("https://alerts.example.com"));
    assert_eq!(config.server.auth.bearer_tokens[0].credential.expose(), "secret-token");
    assert_eq!(config.server.auth.basic["admin"].credential.expose(), "secret-admin");
    let roles = config.server.auth.bearer_tokens.iter().map(|login| login.role.as_str());
    assert_eq!(roles.collect::<Vec<_>>(), ["administrator", "viewer"]);
    assert_eq!(config.server.auth.basic["admin"].role.as_str(), "operator");
    assert_eq!(config.server.limits.body_bytes_max, 8 << 20);
    assert_eq!(config.storage.path.as_deref(), Some("/etc/wf/data"));
    assert_eq!(config.rules.paths, ["/etc/wf/rules/**/*.yml", "/etc/watchfire/*.yml"]);
    assert_eq!(config.plugins.dir.as_deref(), Some("/etc/wf/plugins"));
    let plugins = &config.plugins;
    assert_eq!(plugins.lock.as_deref(), Some("/etc/wf/plugins.lock"));
    assert_eq!((plugins.limits.memory_bytes, plugins.limits.calls), (32 << 20, Limits::STANDARD.calls));
    let oncall = &plugins.settings["oncall"];
    assert_eq!(oncall.digest.as_deref(), Some("0".repeat(64).as_str()));
    assert_eq!(oncall.limits, Limits { call_time: Duration::from_millis(50), calls: 2, ..Limits::UNLIMITED });
    assert_eq!(
        oncall.grant.as_ref().map(|grant| grant.iter().cloned().collect::<Vec<_>>().join(" ")),
        Some("log state".to_owned())
    );
    assert_eq!((config.evaluation.interval, config.evaluation.on_ingest), (Duration::from_secs(15), false));
    assert_eq!(config.evaluation.external_labels, Labels::from_pairs([("region", "eu")]));
    assert_eq!(config.limits.series_max, 10_000);
    assert_eq!(config.templates, ["/etc/wf/templates/*.tmpl"]);
    assert_eq!(config.dispatch.resolve_timeout, Duration::from_mins(3));
    let tracing = config.tracing.unwrap();
    assert_eq!((tracing.url.as_str(), tracing.sampling_fraction), ("https://collector:4318/v1/traces", 0.1));
    assert_eq!((tracing.gzip, tracing.timeout), (true, Duration::from_secs(5)));
    assert_eq!(tracing.http.headers["Authorization"].secrets[0].expose(), "secret-token");
    assert_eq!(tracing.http.tls.server_name, "traces");
}

#[test]
fn local_time_is_that_of_the_machine() {
    let text = "route: {receiver: a}\nreceivers: [{name: a}]\n\
                time_intervals: [{name: n, time_intervals: [{location: Local}]}]\n";
    for (zone, location, told) in [
        (Some("America/New_York"), "America/New_York", None),
        (Some("UTC"), "UTC", None),
        (
            Some("Mars/Phobos"),
            "UTC",
            Some("`Local` means UTC here: the zone of the machine, \"Mars/Phobos\", is not known"),
        ),
        (None, "UTC", Some("`Local` means UTC here: it is not known in which zone the machine is")),
    ] {
        let environment = FixedEnvironment { zone: zone.map(str::to_owned), ..FixedEnvironment::default() };
        let (config, diagnostics) = load_config(Source { name: "wf.yml", text }, &environment);
        let interval = &config.unwrap().dispatch.time_intervals[0];
        assert_eq!(interval.specs[0].location.map(|zone| zone.name()), Some(location), "{zone:?}");
        let messages = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str());
        assert_eq!(messages.collect::<Vec<_>>(), told.into_iter().collect::<Vec<_>>(), "{zone:?}");
    }
}

#[test]
fn alertmanagers_are_written_as_in_prometheus() {
    let text = "route: {receiver: a}\nreceivers: [{name: a}]\nalerting:\n  resend_delay: 30s\n  alertmanagers:\n\
                \x20   - {static_configs: [{targets: ['am-0:9093', '[::1]:9093']}]}\n\
                \x20   - {scheme: https, path_prefix: /am/, timeout: 3s, basic_auth: {username: u, password: p},\n\
                \x20      static_configs: [{targets: [am.example.com]}]}\n";
    let (config, diagnostics) = load_config(Source { name: "wf.yml", text }, &FixedEnvironment::default());
    assert_eq!(diagnostics, []);
    let alerting = config.unwrap().alerting;
    assert_eq!(alerting.resend_delay, Duration::from_secs(30));
    let urls: Vec<&str> = alerting.alertmanagers.iter().map(|alertmanager| alertmanager.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "http://am-0:9093/api/v2/alerts",
            "http://[::1]:9093/api/v2/alerts",
            "https://am.example.com/am/api/v2/alerts"
        ]
    );
    let last = &alerting.alertmanagers[2];
    assert_eq!((last.timeout, last.http.basic_auth.is_some()), (Duration::from_secs(3), true));
}

#[test]
fn sources_are_servers_by_name() {
    let text = "route: {receiver: a}\nreceivers: [{name: a}]\nstorage: {fill: {from: mimir}}\nsources:\n\
                \x20 mimir: {url: 'https://mimir/prometheus/', bearer_token: t, params: {a: b}, answer_bytes_max: 1MiB}\n";
    let (config, diagnostics) = load_config(Source { name: "wf.yml", text }, &FixedEnvironment::default());
    assert_eq!(diagnostics, []);
    let config = config.unwrap();
    let mimir = &config.sources["mimir"];
    assert_eq!((mimir.url.as_str(), mimir.answer_bytes_max), ("https://mimir/prometheus", 1 << 20));
    assert_eq!((mimir.timeout, mimir.queries_max), (Duration::from_secs(30), 8));
    assert!(mimir.http.authorization.is_some() && mimir.params["a"] == "b");
    assert_eq!(config.storage.fill.unwrap().timeout, Duration::from_secs(30));
}

#[test]
fn routes_inherit_what_is_inherited() {
    let config = load();
    let child = &config.dispatch.route.routes[0];
    let grandchild = &child.routes[0];
    assert_eq!(config.dispatch.route.group_wait, Duration::ZERO);
    assert_eq!((child.group_by.clone(), grandchild.group_by.clone()), (GroupBy::All, GroupBy::All));
    assert_eq!((&*grandchild.receiver, grandchild.group_wait), ("chat", Duration::ZERO));
    assert_eq!((child.mute_time_intervals.len(), grandchild.mute_time_intervals.len()), (1, 0));
    assert!(child.continue_matching && !grandchild.continue_matching);
    assert_eq!(grandchild.router.as_ref().map(|r| r.config_json.as_str()), Some(r#"{"shift":"8h"}"#));
    let labels: Vec<&str> = config.route.routes[0].routes[0].labels.values().map(String::as_str).collect();
    assert_eq!(labels, ["a", "b"]);
    let alert = Labels::from_pairs([("severity", "info"), ("a.b", "1"), ("team", "y")]);
    assert_eq!(config.dispatch.route(&alert), [child]);
}

#[test]
fn receivers_have_what_delivery_needs() {
    let config = load();
    let kinds: Vec<(&str, bool)> = config.receivers[0]
        .integrations
        .iter()
        .map(|integration| (integration.channel.kind(), integration.send_resolved))
        .collect();
    assert_eq!(kinds, [("email", false), ("pagerduty", true)]);
    let Channel::Email(email) = &config.receivers[0].integrations[0].channel else { panic!() };
    assert_eq!(
        (email.smarthost.clone(), email.from.as_str()),
        (("mail.example.com".to_owned(), 587), "watchfire@example.com")
    );
    assert_eq!(email.auth_password.as_ref().unwrap().expose(), "secret-smtp");
    assert!(email.headers.contains_key("Subject") && email.require_tls);
    let Channel::PagerDuty(pagerduty) = &config.receivers[0].integrations[1].channel else { panic!() };
    assert_eq!(pagerduty.routing_key.as_ref().unwrap().expose(), "secret-key");
    assert_eq!(pagerduty.details[1].1.to_json(), r#"{"a":["{{ .Status }}"]}"#);
    let Channel::Webhook(webhook) = &config.receivers[1].integrations[0].channel else { panic!() };
    assert_eq!(webhook.timeout, Some(Duration::from_millis(1_500)));
    let slack = &config.receivers[1].integrations[1];
    assert_eq!((slack.channel.kind(), slack.template.as_deref()), ("slack", Some("/etc/wf/messages/slack.hbs")));
    assert_eq!(config.dispatch.receivers[1].integrations.len(), 2);
}

#[test]
fn secrets_are_never_printed() {
    let printed = format!("{:?}", load());
    assert!(!printed.contains("secret-"), "{printed}");
    assert!(printed.contains("<secret>"));
}

#[test]
fn the_schema_has_every_key() {
    let schema: Value = serde_json::from_str(&config_schema()).unwrap();
    let object = |name: &str| &schema["$defs"][name]["properties"];
    for key in
        ["global", "route", "receivers", "inhibit_rules", "time_intervals", "server", "sources", "evaluation", "ingest"]
    {
        assert!(object("the_configuration").get(key).is_some(), "{key}");
    }
    assert_eq!(object("a_route")["routes"]["items"]["$ref"], "#/$defs/a_route");
    assert!(object("a_Slack_config").get("http_config").is_some());
    assert!(object("a_Jira_config").get("reopen_duration").is_some());
    let rules: Value = serde_json::from_str(&rules_schema()).unwrap();
    let rule = &rules["$defs"]["a_rule"]["properties"];
    for key in ["alert", "expr", "events", "condition", "for", "labels", "annotations"] {
        assert!(rule.get(key).is_some(), "{key}");
    }
    assert_eq!(rules["$defs"]["events"]["properties"]["count"]["$ref"], "#/$defs/count");
}

#[test]
fn the_policy_of_a_route_is_inherited_and_overridden_key_by_key() {
    let text = r#"
route:
  receiver: ops
  repeat: exact
  rate_limit: true
  escalation: [{after: 15m, receiver: lead}]
  routes:
    - matchers: [team="a"]
      notify: changes
      rate_limit: {warning: 1m, page: 2m}
      flap_damping: {times: 4, within: 30m}
      routes:
        - matchers: [severity="critical"]
          repeat: compatible
          rate_limit: false
          escalation: []
          flap_damping: false
receivers: [{name: ops}, {name: lead}]
"#;
    let (config, diagnostics) = load_config(Source { name: "watchfire.yml", text }, &FixedEnvironment::default());
    let route = config.unwrap_or_else(|| panic!("{diagnostics:?}")).dispatch.route;
    let told = |route: &watchfire_alerting::Route| {
        let policy = &route.policy;
        let limits: Vec<String> = policy.rate_limits.0.iter().map(|(name, limit)| format!("{name}={limit}")).collect();
        let steps: Vec<&str> = policy.escalation.iter().map(|step| &*step.receiver).collect();
        let damping = policy.flap_damping.map(|damping| (damping.times, damping.within.to_string()));
        format!("{:?} {:?} {limits:?} {steps:?} {damping:?}", policy.repeat, policy.notify)
    };
    let child = &route.routes[0];
    let got = [told(&route), told(child), told(&child.routes[0])];
    let expected = [
        r#"Exact All ["error=5m", "info=1h", "warning=15m"] ["lead"] None"#,
        r#"Exact Changes ["error=5m", "info=1h", "page=2m", "warning=1m"] ["lead"] Some((4, "30m"))"#,
        r#"Compatible Changes [] [] None"#,
    ];
    assert_eq!(got, expected);
}

#[test]
fn integrations_are_known_by_what_is_written_for_them() {
    let digests = |integrations: &str| -> Vec<_> {
        let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r, webhook_configs: [{integrations}]}}]\n");
        let environment =
            FixedEnvironment { variables: [("KEY".to_owned(), "k".to_owned())].into(), ..FixedEnvironment::default() };
        let (config, diagnostics) = load_config(Source { name: "watchfire.yml", text: &text }, &environment);
        let config = config.unwrap_or_else(|| panic!("{diagnostics:?}"));
        config.dispatch.receivers[0].integrations.iter().map(|integration| integration.settings).collect()
    };
    let own = |integration: &str| digests(integration)[0];
    let plain = own("{url: 'http://a/${KEY}', max_alerts: 3}");
    assert_eq!(own("{'max_alerts': 3, url: \"http://a/${KEY}\"}"), plain, "order and quotes do not matter");
    assert_eq!(digests("{url: http://b/}, {url: 'http://a/${KEY}', max_alerts: 3}")[1], plain, "nor does the place");
    for other in
        ["{url: http://a/k, max_alerts: 3}", "{url: 'http://a/${KEY}'}", "{url: 'http://a/${KEY}', max_alerts: 4}"]
    {
        assert_ne!(own(other), plain, "{other}");
    }
    let alike = digests("{url: http://a/}, {url: http://a/}, {url: http://a/}");
    assert_eq!(alike.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{alike:?}");
}

#[test]
fn no_key_of_an_integration_is_listed_twice() {
    for kind in ["discord", "incidentio", "jira", "mattermost", "opsgenie", "rocketchat", "sns", "telegram", "webex"] {
        let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r, {kind}_configs: [{{unheard_of: 1}}]}}]\n");
        let source = Source { name: "watchfire.yml", text: &text };
        let (_, diagnostics) = load_config(source, &FixedEnvironment::default());
        let unknown = diagnostics.iter().find(|diagnostic| diagnostic.code == "unknown-key");
        let help = unknown.and_then(|diagnostic| diagnostic.help.clone()).unwrap_or_default();
        let keys: Vec<&str> = help.trim_start_matches("known keys: ").split(", ").collect();
        let twice: Vec<_> = keys.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(keys.len() > 1 || help.is_empty(), "{kind}: {help}");
        assert_eq!(twice, Vec::<&[&str]>::new(), "{kind}: {help}");
    }
    let text = "route: {receiver: r}\nreceivers: [{name: r, incidentio_configs: [{url: 'http://a/', \
                alert_source_token: a, max_alerts: -1}]}]\n";
    let (_, diagnostics) = load_config(Source { name: "watchfire.yml", text }, &FixedEnvironment::default());
    let told: Vec<&str> = diagnostics.iter().map(|diagnostic| &*diagnostic.message).collect();
    assert_eq!(told, ["max_alerts must be a whole number from 0, not \"-1\""]);
}

#[test]
fn a_template_in_a_file_is_looked_at_and_not_shown() {
    let text = "route: {receiver: r}\nchannels: [{name: own, settings: {k: {kind: secret}}, requests: [{url: '{{ .k }}'}]}]\n\
                receivers:\n- name: r\n  webhook_configs: [{url_file: f}]\n  pagerduty_configs: [{routing_key_file: f}]\n  \
                telegram_configs: [{bot_token_file: f, chat_id: 1}]\n  channel_configs: [{channel: own, settings: {k_file: f}}]\n";
    let environment =
        FixedEnvironment { files: [("f".to_owned(), "{{ s3cret }}".to_owned())].into(), ..FixedEnvironment::default() };
    let (config, diagnostics) = load_config(Source { name: "wf.yml", text }, &environment);
    assert!(config.is_some(), "{diagnostics:?}");
    let told: Vec<(usize, &str)> = diagnostics.iter().map(|told| (told.line, &*told.message)).collect();
    assert_eq!(told, [5, 6, 7, 8].map(|line| (line, "the template in f cannot be parsed")));
}
