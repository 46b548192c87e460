//! What the templates work on, as in `peer.go`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use watchfire_model::{AlertStatus, Annotations, Duration, Labels, Timestamp};
use watchfire_template::alertmanager::{AlertData, Data, Templates};
use watchfire_template::functions::{BUILTIN, Context};
use watchfire_template::go::Template;
use watchfire_template::prometheus::{RuleData, RuleTemplate};
use watchfire_template::value::ANY_LIST;
use watchfire_template::{GoDuration, GoTime, Value};

/// The text, or the error's.
pub(super) type Answer = Result<String, String>;

/// What kind of template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of the language alone, over nested data.
    Language,
    /// Of a rule, as Prometheus has them.
    Rule,
    /// Of a notification's text, as Alertmanager has them.
    Message,
    /// Of a notification's HTML.
    Page,
}

impl Kind {
    pub(super) const ALL: [Kind; 4] = [Kind::Language, Kind::Rule, Kind::Message, Kind::Page];

    /// By which `peer.go` knows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Language => "language",
            Kind::Rule => "rule",
            Kind::Message => "message",
            Kind::Page => "page",
        }
    }
}

const URL: &str = "https://watch.example.org/fire";

/// 2024-01-02T03:04:05.678Z
const AT: Timestamp = Timestamp::from_millis(1_704_164_645_678);

/// Renders as Watchfire does.
pub(super) fn render(kind: Kind, value: &str, template: &str) -> Result<Answer> {
    Ok(match kind {
        Kind::Language => {
            let mut context = Context::new(AT, "");
            Template::parse("t", template, BUILTIN)
                .and_then(|parsed| parsed.execute(&nested(), &mut context))
                .map_err(|error| error.to_string())
        }
        Kind::Rule => {
            let labels =
                [("__name__", "requests"), ("instance", "host.example.org:9090"), ("job", "api"), ("num", "42")];
            let data = RuleData {
                labels: &Labels::from_pairs(labels),
                value: value.parse().with_context(|| format!("{value} is no number"))?,
                external_labels: &Labels::from_pairs([("region", "eu-1")]),
                external_url: URL,
                at: AT,
            };
            RuleTemplate::parse("A", template)
                .map_err(|error| error.to_string())
                .and_then(|parsed| parsed.expand(&data, &mut query).map_err(|error| error.error.to_string()))
        }
        Kind::Message => Templates::new().render_text(template, &message(), AT).map_err(|error| error.to_string()),
        Kind::Page => Templates::new().render_html(template, &message(), AT).map_err(|error| error.to_string()),
    })
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn nested() -> Value {
    let inner = [("k", "v".into()), ("num", Value::Int(7)), ("a", Value::texts(["q"]))];
    let members = [
        ("s", "héllo <b>&'\"".into()),
        ("n", Value::Int(3)),
        ("f", Value::Float(2.5)),
        ("b", Value::Bool(true)),
        ("neg", Value::Int(-7)),
        ("z", Value::Int(0)),
        ("e", "".into()),
        ("l", Value::list(&ANY_LIST, vec![Value::Int(1), "two".into(), Value::Float(3.5), Value::Nil])),
        ("sl", Value::texts(["x", "y z"])),
        ("el", Value::texts(Vec::<&str>::new())),
        ("m", Value::map(inner.map(|(name, value)| (name.to_owned(), value)))),
        ("sm", Value::from(&texts([("a", "1"), ("b", "2")]))),
        ("nil", Value::Nil),
        ("t", Value::Time(GoTime::from_timestamp(AT))),
        ("d", Value::Duration(GoDuration::from_nanos(3_500))),
        ("big", Value::Float(1e21)),
    ];
    Value::map(members.map(|(name, value)| (name.to_owned(), value)))
}

fn query(text: &str) -> Result<Vec<(Labels, f64)>, String> {
    match text {
        "up" => Ok(["db", "api", "web"]
            .iter()
            .zip([0.5, 1.5, 2.5])
            .map(|(job, value)| {
                let quoted = format!("<{job}>");
                (Labels::from_pairs([("__name__", "up"), ("job", job), ("__value__", &quoted)]), value)
            })
            .collect()),
        "none" => Ok(Vec::new()),
        _ => Err("no such query".to_owned()),
    }
}

fn message() -> Data {
    let team = "<infra> & \"co\"";
    let summary = Annotations::from([("summary", "it's <slow>")]);
    let alert = |name: &str, status, starts_at, ends_at, generator_url: &str, fingerprint: &str| AlertData {
        status,
        labels: Labels::from_pairs([("alertname", name), ("job", "api"), ("team", team)]),
        annotations: summary.clone(),
        starts_at,
        ends_at,
        generator_url: generator_url.into(),
        fingerprint: fingerprint.to_owned(),
    };
    let source = "http://prometheus/graph?g0.expr=up+%3D%3D+0&x='y'";
    Data {
        receiver: "all".to_owned(),
        status: AlertStatus::Firing,
        alerts: vec![
            alert("Slow", AlertStatus::Firing, AT, None, source, "00d1c2b3a4958677"),
            alert("Gone", AlertStatus::Resolved, AT - Duration::from_secs(3_600), Some(AT), "", "10d1c2b3a4958677"),
        ],
        notification_reason: "first notification".to_owned(),
        group_labels: Labels::from_pairs([("job", "api")]),
        common_labels: Labels::from_pairs([("job", "api"), ("team", team)]),
        common_annotations: summary.clone(),
        route_labels: texts([("tier", "1")]),
        external_url: URL.to_owned(),
    }
}
