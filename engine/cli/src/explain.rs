//! `watchfire explain`: why an alert was told, or why not.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;
use watchfire_host::visible;
use watchfire_model::{ALERT_NAME_LABEL, Fingerprint};

use crate::args::Explain;
use crate::client::Client;
use crate::matchers::labels;
use crate::output::say;

pub(crate) async fn run(options: &Explain) -> Result<ExitCode> {
    let client = Client::of(&options.server)?;
    let path = "api/watchfire/v1/explain";
    let answer = match &options.alert[..] {
        [one] if Fingerprint::parse(one).is_some() => client.get(path, &[("fingerprint", one)]).await?,
        [first, rest @ ..] => {
            let name = (!first.contains('=')).then(|| format!("{ALERT_NAME_LABEL}={first}"));
            let rest = labels(if name.is_some() { rest } else { &options.alert })?;
            let pairs = rest.iter().map(|label| format!("{}={}", label.name, label.value));
            let pairs: Vec<String> = name.into_iter().chain(pairs).collect();
            client.get(path, &pairs.iter().map(|pair| ("label", pair.as_str())).collect::<Vec<_>>()).await?
        }
        [] => Value::Null,
    };
    if options.json {
        say!("{answer}")
    } else {
        crate::output::write(format_args!("{}", told(&answer)))
    }
    Ok(ExitCode::SUCCESS)
}

/// The explanation for people: the sentence first, then what it follows from.
fn told(answer: &Value) -> String {
    let mut out = format!("{}\n", show(&answer["labels"]));
    out.push_str(&format!("{}.\n", answer["verdict"].as_str().unwrap_or_default()));
    let mut section = |title: &str, key: &str, line: &dyn Fn(&Value) -> String| {
        let lines: Vec<String> = list(&answer[key]).map(line).collect();
        if !lines.is_empty() {
            out.push_str(&format!("\n{title}\n  {}\n", lines.join("\n  ")));
        }
    };
    section("Rules", "rules", &|rule| {
        let evaluated = rule["lastEvaluation"]
            .as_str()
            .map_or("not evaluated by this engine".to_owned(), |at| format!("evaluated at {at}"));
        let state = match &rule["instance"] {
            Value::Null => "no result with these labels".to_owned(),
            instance => {
                format!(
                    "{} since {}, value {}",
                    text(&instance["state"]),
                    text(&instance["activeSince"]),
                    text(&instance["value"])
                )
            }
        };
        let error = rule["error"].as_str().map(|error| format!(", with an error: {error}")).unwrap_or_default();
        format!("{}: {evaluated}{error}, {state}", text(&rule["name"]))
    });
    section("Routes", "routes", &|route| {
        format!(
            "{{{}}} -> {}",
            list(&route["matchers"]).map(text).collect::<Vec<_>>().join(", "),
            text(&route["receiver"])
        )
    });
    section("Groups", "groups", &|group| {
        let quiet = group["notToldBecause"].as_str().map(|why| format!(", not told: {why}")).unwrap_or_default();
        format!(
            "{} {} looked at next at {}{quiet}",
            text(&group["receiver"]),
            show(&group["labels"]),
            text(&group["nextFlush"])
        )
    });
    section("Silences", "silences", &|silence| {
        format!(
            "{} by {} until {}: {}",
            text(&silence["id"]),
            text(&silence["createdBy"]),
            text(&silence["endsAt"]),
            text(&silence["comment"])
        )
    });
    section("Told", "told", &|row| {
        format!(
            "{} ({}) at {}: {}",
            text(&row["receiver"]),
            text(&row["integration"]),
            text(&row["at"]),
            text(&row["receipt"])
        )
    });
    section("Waiting", "waiting", &|row| {
        format!(
            "{} ({}), attempt {}, next at {}: {}",
            text(&row["receiver"]),
            text(&row["integration"]),
            row["attempt"],
            text(&row["nextAttempt"]),
            text(&row["error"])
        )
    });
    section("Alerts of that name", "similar", &show);
    section("History", "history", &|entry| {
        let to = entry["to"].as_str().map(|to| format!("  [{}]", visible(to))).unwrap_or_default();
        format!("{}  {}{to}", text(&entry["at"]), text(&entry["why"]))
    });
    out
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What stands there, which others may have written.
fn text(value: &Value) -> String {
    visible(value.as_str().unwrap_or_default())
}

/// Labels as they are written in PromQL.
fn show(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
    visible(&format!("{{{}}}", pairs.collect::<Vec<_>>().join(", ")))
}
