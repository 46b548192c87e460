//! `watchfire silence` and `watchfire alert`: a running server's, or those of an Alertmanager.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use watchfire::{Clock, SystemClock};
use watchfire_model::{ALERT_NAME_LABEL, Anchoring, MatchOp, Matcher, Timestamp};

use crate::args::{AlertCommand, SilenceAdd, SilenceCommand};
use crate::client::Client;
use crate::matchers::{labels, matchers};
use crate::output::say;
use crate::table::Table;

pub(crate) async fn silence(command: SilenceCommand) -> Result<ExitCode> {
    match command {
        SilenceCommand::Add(add) => {
            let silence = draft(&add)?;
            let answer = Client::of(&add.server)?.post("api/v2/silences", &silence).await?;
            say!("{}", answer["silenceID"].as_str().unwrap_or_default());
        }
        SilenceCommand::Query { server, expired, quiet, json, matchers: given } => {
            let matchers: Vec<String> = matchers(&given)?.iter().map(ToString::to_string).collect();
            let query: Vec<(&str, &str)> = matchers.iter().map(|matcher| ("filter", matcher.as_str())).collect();
            let answer = Client::of(&server)?.get("api/v2/silences", &query).await?;
            let wanted = |silence: &&Value| (silence["status"]["state"] == "expired") == expired;
            let silences: Vec<&Value> = answer.as_array().into_iter().flatten().filter(wanted).collect();
            print_silences(&silences, quiet, json);
        }
        SilenceCommand::Expire { server, ids } => {
            let client = Client::of(&server)?;
            for id in &ids {
                client.delete(&format!("api/v2/silence/{id}")).await.with_context(|| id.clone())?;
            }
        }
        SilenceCommand::Import { server, force, file } => {
            let text = match &file {
                Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
                None => std::io::read_to_string(std::io::stdin().take(64 << 20))?,
            };
            return import(&Client::of(&server)?, &text, force).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn draft(add: &SilenceAdd) -> Result<Value> {
    let matchers = matchers(&add.matchers)?;
    if matchers.is_empty() {
        bail!("a silence needs a matcher: say which alerts, such as alertname=Disk instance=~web.*");
    }
    if matchers.iter().all(Matcher::demands_nothing) {
        bail!("these matchers let every alert pass; at least one must not match the empty text");
    }
    let starts = add.start.unwrap_or_else(|| SystemClock.now());
    let ends = add.end.unwrap_or(starts + add.duration);
    if ends <= starts {
        bail!("the silence would end before it begins: {} to {}", starts.to_rfc3339(), ends.to_rfc3339());
    }
    Ok(json!({
        "matchers": matchers.iter().map(matcher_json).collect::<Vec<_>>(),
        "startsAt": starts.to_rfc3339(),
        "endsAt": ends.to_rfc3339(),
        "createdBy": add.author,
        "comment": add.comment,
    }))
}

fn matcher_json(matcher: &Matcher) -> Value {
    json!({
        "name": matcher.name(),
        "value": matcher.value(),
        "isRegex": matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
        "isEqual": matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
    })
}

fn print_silences(silences: &[&Value], quiet: bool, json: bool) {
    if json {
        say!("{}", json!(silences));
        return;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if quiet {
        for silence in silences {
            say!("{}", text(&silence["id"]));
        }
        return;
    }
    let mut table = Table::new(["ID", "MATCHERS", "STATE", "ENDS AT", "CREATED BY", "COMMENT"]);
    for silence in silences {
        // Only an engine knows several sets, of which any suffices.
        let sets = silence["matcherSets"].as_array().cloned().unwrap_or_else(|| vec![silence["matchers"].clone()]);
        let mut matchers = sets.iter().map(matchers_text).collect::<Vec<_>>().join(" or ");
        if let Some(cron) = silence["recurrence"]["cron"].as_str() {
            matchers.push_str(&format!(" (for {} at each {cron})", text(&silence["recurrence"]["lasts"])));
        }
        table.row([
            text(&silence["id"]),
            matchers,
            text(&silence["status"]["state"]),
            text(&silence["endsAt"]),
            text(&silence["createdBy"]),
            text(&silence["comment"]),
        ]);
    }
    if !table.is_empty() {
        crate::output::write(format_args!("{table}"));
    }
}

/// A set of matchers as they are typed.
fn matchers_text(set: &Value) -> String {
    let typed = set.as_array().into_iter().flatten().map(|matcher| {
        let op = match (matcher["isEqual"] != false, matcher["isRegex"] == true) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (false, true) => MatchOp::NotRegex,
        };
        let text = |key: &str| matcher[key].as_str().unwrap_or_default();
        Matcher::new(text("name"), op, text("value"), Anchoring::Alertmanager)
            .map_or_else(|error| error.to_string(), |matcher| matcher.to_string())
    });
    typed.collect::<Vec<_>>().join(" ")
}

/// Each silence of a list, as `query --json` writes it. One that is refused does not stop the rest, and one that the server
/// takes for another, as an Alertmanager does that knows no recurrence, does not stay.
async fn import(client: &Client, text: &str, force: bool) -> Result<ExitCode> {
    let silences: Vec<Value> = serde_json::from_str(text).context("this is no list of silences in JSON")?;
    let mut failed = 0;
    for mut silence in silences {
        // Without its id it is a new one, because the server may never have had the old.
        if let Some(fields) = silence.as_object_mut().filter(|_| !force) {
            fields.remove("id");
        }
        match imported(client, &silence).await {
            Ok(id) => say!("{id}"),
            Err(error) => {
                eprintln!("error: {error:#}: {silence}");
                failed += 1;
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sets a silence and gives its id.
async fn imported(client: &Client, silence: &Value) -> Result<String> {
    let answer = client.post("api/v2/silences", silence).await?;
    let id = answer["silenceID"].as_str().unwrap_or_default().to_owned();
    // What only an engine knows.
    let several = silence["matcherSets"].as_array().is_some_and(|sets| sets.len() > 1);
    let own = [("recurrence", !silence["recurrence"].is_null()), ("matcherSets", several)];
    if own.iter().any(|(_, has)| *has) {
        let set = client.get(&format!("api/v2/silence/{id}"), &[]).await?;
        if let Some((name, _)) = own.into_iter().find(|(name, has)| *has && set[name].is_null()) {
            client.delete(&format!("api/v2/silence/{id}")).await.with_context(|| id.clone())?;
            bail!("the server knows no `{name}`, without which this would silence something else");
        }
    }
    Ok(id)
}

pub(crate) async fn alert(command: AlertCommand) -> Result<ExitCode> {
    match command {
        AlertCommand::Add { server, annotations, start, end, generator_url, labels: given } => {
            // A first word without an operator is the alert's name.
            let named = given.first().filter(|first| !first.contains('='));
            let rest = if named.is_some() { &given[1..] } else { &given[..] };
            let mut all = labels(rest)?;
            if let Some(name) = named {
                all = all
                    .iter()
                    .map(|label| (label.name, label.value))
                    .chain([(ALERT_NAME_LABEL, name.as_str())])
                    .collect();
            }
            if all.is_empty() {
                bail!("an alert needs labels, such as `Disk instance=web1 severity=critical`");
            }
            let annotations = labels(&annotations)?;
            let map =
                |labels: &watchfire_model::Labels| -> Value { labels.iter().map(|l| (l.name, l.value)).collect() };
            let mut alert = json!({ "labels": map(&all), "annotations": map(&annotations) });
            let now = SystemClock.now();
            // Of an alert with an end alone servers take that as the beginning too.
            let start = start.or_else(|| end.is_some_and(|end| end > now).then_some(now));
            for (key, time) in [("startsAt", start), ("endsAt", end)] {
                if let Some(time) = time {
                    alert[key] = json!(Timestamp::to_rfc3339(time));
                }
            }
            if let Some(url) = generator_url {
                alert["generatorURL"] = json!(url);
            }
            Client::of(&server)?.post("api/v2/alerts", &json!([alert])).await?;
        }
        AlertCommand::Query { server, silenced, inhibited, active, unprocessed, receiver, json, matchers: given } => {
            let matchers: Vec<String> = matchers(&given)?.iter().map(ToString::to_string).collect();
            let mut query: Vec<(&str, &str)> = matchers.iter().map(|matcher| ("filter", matcher.as_str())).collect();
            // Asked for nothing in particular, those that are told are shown.
            let nothing = !silenced && !inhibited && !active && !unprocessed;
            for (name, wanted) in [
                ("silenced", silenced),
                ("inhibited", inhibited),
                ("active", active || nothing),
                ("unprocessed", unprocessed),
            ] {
                query.push((name, if wanted { "true" } else { "false" }));
            }
            query.extend(receiver.iter().map(|receiver| ("receiver", receiver.as_str())));
            let answer = Client::of(&server)?.get("api/v2/alerts", &query).await?;
            print_alerts(&answer, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_alerts(alerts: &Value, json: bool) {
    if json {
        say!("{alerts}");
        return;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut table = Table::new(["ALERT", "STARTS AT", "STATE", "LABELS", "SUMMARY"]);
    for alert in alerts.as_array().into_iter().flatten() {
        let labels = alert["labels"].as_object().into_iter().flatten().filter(|(name, _)| *name != ALERT_NAME_LABEL);
        table.row([
            text(&alert["labels"][ALERT_NAME_LABEL]),
            text(&alert["startsAt"]),
            text(&alert["status"]["state"]),
            labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
            text(&alert["annotations"]["summary"]),
        ]);
    }
    if !table.is_empty() {
        crate::output::write(format_args!("{table}"));
    }
}
