//! The API v2 beside a real Alertmanager: the same configuration, alerts and silences in both, and the same lists out of
//! both, whatever is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use watchfire_model::Timestamp;

use crate::Case;
use crate::commands::watchfire_in;
use crate::support::{Engine, Tool, block_on, client, eventually};

const ALERTMANAGER: Tool = Tool::Program("alertmanager");

pub(crate) const CASES: &[Case] = &[
    Case { name: "alertmanager::lists_are_the_same_in_both", needs: &[Tool::Binary, ALERTMANAGER], run: lists },
    Case {
        name: "alertmanager::silences_are_taken_and_refused_by_both",
        needs: &[Tool::Binary, ALERTMANAGER],
        run: silences,
    },
    Case {
        name: "alertmanager::bodies_of_another_type_are_refused_by_both",
        needs: &[Tool::Binary, ALERTMANAGER],
        run: types,
    },
    Case {
        name: "alertmanager::metrics_of_one_name_are_of_one_kind",
        needs: &[Tool::Binary, ALERTMANAGER],
        run: metrics,
    },
    Case {
        name: "alertmanager::a_silence_that_it_takes_for_another_does_not_stay",
        needs: &[Tool::Binary, ALERTMANAGER],
        run: imported,
    },
    Case { name: "alertmanager::times_are_the_same_in_both", needs: &[Tool::Binary, ALERTMANAGER], run: times },
];

const CONFIG: &str = r#"
route:
  receiver: none
  group_wait: 0s
  group_by: [alertname]
  routes:
    - {matchers: [team="night"], receiver: night, mute_time_intervals: [always], continue: true}
    - {matchers: [team="night"], receiver: loud}
    - {matchers: [team="office"], receiver: night, active_time_intervals: [never]}
receivers:
  - {name: none}
  - {name: night, labels: {owner: ops, kind: mail}}
  - {name: loud, labels: {owner: ops}}
inhibit_rules: [{source_matchers: [alertname="Source"], target_matchers: [alertname="Target"]}]
time_intervals:
  - {name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}
  - {name: never, time_intervals: [{years: ['1999']}]}
"#;

/// What both are asked for.
const QUESTIONS: &[&str] = &[
    "/receivers",
    "/receivers?receiver_matchers=owner%3Dops",
    "/receivers?receiver_matchers=owner%3Dops&receiver_matchers=kind%21%3Dmail",
    "/receivers?receiver_matchers=kind%3D",
    "/receivers?receiver_matchers=x",
    "/alerts",
    "/alerts?active=false",
    "/alerts?active=TRUE&silenced=f",
    "/alerts?active=maybe",
    "/alerts?inhibited=false",
    "/alerts?silenced=false&inhibited=0",
    "/alerts?muted=false",
    "/alerts?receiver=night",
    "/alerts?receiver=n.*",
    "/alerts?receiver=(",
    "/alerts?receiver_matchers=kind%3D%22mail%22",
    "/alerts?receiver_matchers=kind%3Dmail&receiver=loud",
    "/alerts?filter=team%3Dnight",
    "/alerts?filter=team%21%3D%22%22&filter=alertname%3D~%22M.*%22",
    "/alerts?filter=team%3D%22%22",
    "/alerts?filter=",
    "/alerts?filter=%7Bteam%3D%22night%22%7D",
    "/alerts?unknown=1",
    "/alerts/groups",
    "/alerts/groups?muted=false",
    "/alerts/groups?active=false",
    "/alerts/groups?silenced=false&inhibited=false",
    "/alerts/groups?receiver=loud",
    "/alerts/groups?receiver=loud&receiver_matchers=kind%3Dmail",
    "/alerts/groups?receiver_matchers=owner%3Dops&muted=false",
    "/alerts/groups?filter=alertname%3DMuted",
    "/silences",
    "/silences?active=false",
    "/silences?expired=false",
    "/silences?pending=false&expired=0",
    "/silences?filter=team%3Dprod",
    "/silences?filter=team%21%3Dprod",
    "/silences?filter=team%3D~%22prod.*%22",
    "/silences?filter=team%3Dprod&filter=alertname%3Dx",
    "/silences?filter=team%3D~prod",
    "/silences?filter=",
];

/// What a filter is, asked of each of the lists.
const FILTERS: &[&str] = &[
    "filter=a%3Db%2Cc%3Dd",
    "filter=alertname%3DPlain%2C",
    "filter=alertname%3D%22Plain%22%2C",
    "filter=alertname%3D%22Plain%22%2Cteam%3D%22c%22",
    "filter=alertname%3DPlain%2Cteam%3Dc",
    "filter=alertname%3D~Plain%2CMuted",
    "filter=alertname%3D~%22Plain%7C%2C%22",
    "filter=team%3D%22a%2Cb%22",
    "filter=team!%3Dc%2C",
    "filter=team%3D%22c%22%2C%20",
    "filter=%20team%20%3D%20c%20",
    "filter=team%3Dc%7D",
    "filter=%2Cteam%3Dc",
    "filter=%2C",
    "filter=team",
    "filter=team%3D",
    "filter=%22team%22%3Dc%2C",
    "filter=%22team%22%3Dc%2Cb%3Dd",
    "filter=team%3D%22c",
    "filter=team%3D~(",
    "filter=team%3D~%22(%22",
    "filter=team%3Dc&filter=alertname%3DPlain",
];

fn lists() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", CONFIG)]).await?;
        let peer = Alertmanager::start(&engine).await?;
        let both = [engine.url("/api/v2"), peer.url.clone()];
        let alert = |name: &str, team: &str| json!({"labels": {"alertname": name, "team": team}, "generatorURL": "http://a.example/", "endsAt": "2099-01-01T00:00:00Z"});
        let alerts = [
            ("Source", "a"),
            ("Target", "a"),
            ("Silenced", "b"),
            ("Muted", "night"),
            ("Outside", "office"),
            ("Plain", "c"),
        ];
        let alerts: Vec<Value> = alerts.map(|(name, team)| alert(name, team)).into();
        for url in &both {
            for (sets, starts) in [
                (json!([["alertname", "Silenced", false, true]]), "2020-01-01T00:00:00Z"),
                (json!([["team", "prod", false, true]]), "2020-01-01T00:00:00Z"),
                (json!([["team", "prod", false, false], ["alertname", "x", false, true]]), "2020-01-01T00:00:00Z"),
                (json!([["team", "prod.*", true, true]]), "2090-01-01T00:00:00Z"),
                (json!([["team", "gone", false, false]]), "2090-01-01T00:00:00Z"),
            ] {
                let answer = post(&format!("{url}/silences"), &silence(&sets, starts)).await?;
                ensure!(answer.0 == 200, "{url}: {answer:?}");
                if sets[0][1] == "gone" {
                    let id = answer.1["silenceID"].as_str().context("it has an id")?.to_owned();
                    client()?.delete(format!("{url}/silence/{id}")).send().await?.error_for_status()?;
                }
            }
            let answer = post(&format!("{url}/alerts"), &json!(alerts)).await?;
            ensure!(answer.0 == 200, "{url}: {answer:?}");
        }
        let ask = async |question: &str| -> Result<[(u16, Value); 2]> {
            let mut answers = [(0, Value::Null), (0, Value::Null)];
            for (url, to) in both.iter().zip(&mut answers) {
                let answer = client()?.get(format!("{url}{question}")).send().await?;
                to.0 = answer.status().as_u16();
                let text = answer.text().await?;
                if to.0 == 200 {
                    to.1 = comparable(&serde_json::from_str(&text)?);
                }
            }
            Ok(answers)
        };
        // Alertmanager learns that a group is muted when it would have told somebody of it.
        eventually("both have told of all groups", async || {
            let [here, there] = ask("/alerts/groups").await?;
            Ok((here == there).then_some(()))
        })
        .await?;
        let mut differences = String::new();
        let filters = |list: &'static str| FILTERS.iter().map(move |filter| format!("{list}?{filter}"));
        let filters = ["/alerts", "/alerts/groups", "/silences"].into_iter().flat_map(filters);
        for question in QUESTIONS.iter().map(|question| (*question).to_owned()).chain(filters) {
            let [here, there] = ask(&question).await?;
            if here != there {
                writeln!(differences, "{question}:\nhere  {here:?}\nthere {there:?}")?;
            }
        }
        ensure!(differences.is_empty(), "{differences}");
        Ok(())
    })
}

/// Bodies that both take or both refuse, with the status and what a refusal by the framework says.
fn silences() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", CONFIG)]).await?;
        let peer = Alertmanager::start(&engine).await?;
        let whole = |sets: Value| silence(&sets, "2020-01-01T00:00:00Z");
        let without = |key: &str| {
            let mut body = whole(json!([["a", "b", false, true]]));
            body.as_object_mut().expect("an object").remove(key);
            body
        };
        for body in [
            whole(json!([["team", "b", false, false]])),
            whole(json!([["team", "b|c", true, false]])),
            whole(json!([["team", "", false, true]])),
            whole(json!([["team", ".*", true, true]])),
            whole(json!([["team", ".*", true, true], ["x", "", false, false]])),
            whole(json!([["", "b", false, true]])),
            whole(json!([["a", "(", true, true]])),
            whole(json!([])),
            without("comment"),
            without("createdBy"),
            without("startsAt"),
            without("endsAt"),
            without("matchers"),
            json!({}),
            json!([]),
            json!({"matchers": [{"name": "a"}], "comment": "c", "createdBy": "a",
                "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"}),
        ] {
            let here = post(&engine.url("/api/v2/silences"), &body).await?;
            let there = post(&format!("{}/silences", peer.url), &body).await?;
            ensure!(here.0 == there.0, "{body}: here {here:?}, there {there:?}");
            ensure!(here.0 != 422 || here.1 == there.1, "{body}: here {here:?}, there {there:?}");
        }
        Ok(())
    })
}

fn silence(matchers: &Value, starts: &str) -> Value {
    let matcher = |m: &Value| json!({"name": m[0], "value": m[1], "isRegex": m[2], "isEqual": m[3]});
    json!({
        "matchers": matchers.as_array().into_iter().flatten().map(matcher).collect::<Vec<_>>(),
        "startsAt": starts, "endsAt": "2099-01-01T00:00:00Z", "createdBy": "Ada", "comment": "planned",
    })
}

async fn post(url: &str, body: &Value) -> Result<(u16, Value)> {
    let request = client()?.post(url).header("content-type", "application/json").body(body.to_string());
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), serde_json::from_str(&answer.text().await?).unwrap_or(Value::Null)))
}

/// Bodies under several names of their type: both take them, or both answer the same.
fn types() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", CONFIG)]).await?;
        let peer = Alertmanager::start(&engine).await?;
        let alerts = json!([{"labels": {"alertname": "Typed"}}]).to_string();
        let silence = silence(&json!([["a", "b", false, true]]), "2020-01-01T00:00:00Z").to_string();
        for (path, body) in
            [("alerts", alerts), ("silences", silence), ("alerts", String::new()), ("silences", String::new())]
        {
            for (kind, exact) in [
                (None, true),
                (Some("application/json"), true),
                (Some("application/json; charset=utf-8"), true),
                (Some("Application/JSON;"), true),
                (Some("text/plain"), true),
                (Some("text/json; charset=utf-8"), true),
                (Some("application/x-www-form-urlencoded"), true),
                (Some("application/problem+json"), true),
                (Some("json"), false),
                (Some("application/json; charset"), false),
                (Some("application/json, text/plain"), false),
            ] {
                let mut answers = Vec::new();
                for url in [engine.url("/api/v2"), peer.url.clone()] {
                    let request = client()?.post(format!("{url}/{path}")).body(body.clone());
                    let request = kind.iter().fold(request, |request, kind| request.header("content-type", *kind));
                    let answer = request.send().await?;
                    answers.push((answer.status().as_u16(), answer.text().await?));
                }
                let [(here, said_here), (there, said_there)] = &answers[..] else { bail!("there are two answers") };
                ensure!(here == there, "{path} as {kind:?}: {answers:?}");
                ensure!(!exact || *here == 200 || said_here == said_there, "{path} as {kind:?}: {answers:?}");
            }
        }
        Ok(())
    })
}

/// What only an engine knows of silences would be left out by Alertmanager, and more than was meant silenced.
fn imported() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", CONFIG)]).await?;
        let peer = Alertmanager::start(&engine).await?;
        let matcher = json!({"name": "a", "value": "b", "isRegex": false, "isEqual": true});
        let plain = json!({"matchers": [matcher], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
            "createdBy": "me", "comment": "plain"});
        let with = |name: &str, value: Value| {
            let mut silence = plain.clone();
            silence[name] = value;
            silence["comment"] = json!(name);
            silence
        };
        let other = json!({"name": "a", "value": "c", "isRegex": false, "isEqual": true});
        let sets = with("matcherSets", json!([[matcher], [other]]));
        let recurring = with("recurrence", json!({"cron": "0 2 * * *", "lasts": "1h"}));
        engine.write("silences.json", &json!([sets, recurring, plain]).to_string())?;
        let import = |url: &str| watchfire_in(engine.folder(), &["silence", "import", "silences.json", "--url", url]);
        let here = import(&engine.url(""))?;
        ensure!(here.code == 0 && here.out.lines().count() == 3, "{}{}", here.out, here.err);
        let there = import(peer.url.trim_end_matches("/api/v2"))?;
        ensure!(there.code == 1 && there.out.lines().count() == 1, "{}{}", there.out, there.err);
        for name in ["matcherSets", "recurrence"] {
            ensure!(there.err.contains(&format!("the server knows no `{name}`")), "{}", there.err);
        }
        let silences = get(&format!("{}/silences", peer.url)).await?;
        let active = silences.as_array().into_iter().flatten().filter(|one| one["status"]["state"] == "active");
        let active: Vec<&Value> = active.map(|silence| &silence["comment"]).collect();
        ensure!(active == ["plain"], "{active:?}");
        Ok(())
    })
}

/// Times in the forms that clients write: both read the same times, or both refuse.
fn times() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", CONFIG)]).await?;
        let peer = Alertmanager::start(&engine).await?;
        let both = [engine.url("/api/v2"), peer.url.clone()];
        for (index, time) in [
            "2090-01-02",
            "2090-01-02T03:04",
            "2090-01-02T03:04Z",
            "2090-01-02T03:04:05",
            "2090-01-02 03:04:05",
            "2090-01-02T03:04:05.678Z",
            "2090-01-02T03:04:05.678901+02:00",
            "2090-01-02T03:04:05.678+0200",
            "2090-02-30",
            "2090-01",
            "2090-1-2",
            "20900102",
            "tomorrow",
            "3786912000",
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("Timed{index}");
            let alert = json!([{"labels": {"alertname": name}, "endsAt": time}]);
            let mut body = silence(&json!([["a", name, false, true]]), time);
            body["endsAt"] = json!("2099-01-01");
            let mut answers = Vec::new();
            for url in &both {
                let statuses =
                    [post(&format!("{url}/alerts"), &alert).await?.0, post(&format!("{url}/silences"), &body).await?.0];
                // In whatever zone it is shown.
                let point = |time: &Value| time.as_str().map(Timestamp::parse_rfc3339).transpose();
                let ends = point(&get(&format!("{url}/alerts?filter=alertname%3D{name}")).await?[0]["endsAt"])?;
                let silenced = &get(&format!("{url}/silences?filter=a%3D{name}")).await?[0];
                answers.push((statuses, ends, point(&silenced["startsAt"])?, point(&silenced["endsAt"])?));
            }
            ensure!(answers[0] == answers[1], "{time}: here {:?}, there {:?}", answers[0], answers[1]);
        }
        Ok(())
    })
}

/// Both have told a webhook at which nobody answers: what has a name of Alertmanager's has its type and its labels too, and
/// what people watch is there.
fn metrics() -> Result<()> {
    const WATCHED: &[&str] = &[
        "alertmanager_alerts_invalid",
        "alertmanager_alerts_received",
        "alertmanager_build_info",
        "alertmanager_config_hash",
        "alertmanager_config_last_reload_success_timestamp_seconds",
        "alertmanager_config_last_reload_successful",
        "alertmanager_dispatcher_aggregation_groups",
        "alertmanager_inhibition_rules",
        "alertmanager_integrations",
        "alertmanager_notification_latency_seconds",
        "alertmanager_notification_requests",
        "alertmanager_notification_requests_failed",
        "alertmanager_notifications",
        "alertmanager_notifications_failed",
        "alertmanager_receivers",
        "alertmanager_silences",
    ];
    const HOOK: &str = "route: {receiver: hook, group_wait: 0s, group_interval: 1s}\n\
                        receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}]\n";
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", HOOK)]).await?;
        let peer = Alertmanager::start(&engine).await?;
        for url in [engine.url("/api/v2"), peer.url.clone()] {
            let over = json!({"labels": {"alertname": "Over"}, "endsAt": "2020-01-01"});
            let answer = post(&format!("{url}/alerts"), &json!([{"labels": {"alertname": "Told"}}, over])).await?;
            ensure!(answer.0 == 200, "{url}: {answer:?}");
            let answer = post(&format!("{url}/alerts"), &json!([{"labels": {}}])).await?;
            ensure!(answer.0 == 400, "{url}: {answer:?}");
        }
        let there = format!("{}/metrics", peer.url.trim_end_matches("/api/v2"));
        let read = async |url: String| anyhow::Ok(client()?.get(url).send().await?.text().await?);
        eventually("both have tried", async || {
            let mut tried = 0;
            for url in [engine.url("/metrics"), there.clone()] {
                let line = "alertmanager_notification_requests_failed_total{integration=\"webhook\"} ";
                let counts = |text: &str| text.strip_prefix(line).is_some_and(|count| count != "0");
                tried += usize::from(read(url).await?.lines().any(counts));
            }
            Ok((tried == 2).then_some(()))
        })
        .await?;
        let (here, there) = (read(engine.url("/metrics")).await?, read(there).await?);
        for text in [&here, &there] {
            ensure!(text.contains("\nalertmanager_alerts_invalid_total{version=\"v2\"} 1\n"), "{text}");
        }
        let (here, there) = (families(&here), families(&there));
        for name in WATCHED {
            ensure!(here.contains_key(*name), "there is no {name}: {here:?}");
        }
        for (name, found) in here.iter().filter(|(name, _)| name.starts_with("alertmanager_")) {
            ensure!(there.get(name) == Some(found), "{name}: here {found:?}, there {:?}", there.get(name));
        }
        Ok(())
    })
}

/// The metrics of a text by name: their type, and the names of the labels that their series have.
fn families(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            // In one of the two formats the suffix of counters is a part of the name.
            last = if kind == "counter" { name.trim_end_matches("_total") } else { name }.to_owned();
            families.entry(last.clone()).or_default().0 = kind.to_owned();
        } else if let (Some((_, labels)), Some(family)) = (line.split_once('{'), families.get_mut(&last)) {
            let names = labels.split("\",").filter_map(|label| label.split_once('='));
            family.1.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
    families
}

async fn get(url: &str) -> Result<Value> {
    let answer = client()?.get(url).send().await?.error_for_status()?;
    Ok(serde_json::from_str(&answer.text().await?)?)
}

/// A list in an order of its own, without ids and times.
fn comparable(value: &Value) -> Value {
    const OWN: [&str; 6] = ["id", "fingerprint", "startsAt", "endsAt", "updatedAt", "annotations"];
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(comparable).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(key, _)| !OWN.contains(&key.as_str())).map(|(key, value)| {
                let by_id = matches!(key.as_str(), "silencedBy" | "inhibitedBy");
                let count = || json!(value.as_array().map(Vec::len));
                (key.clone(), if by_id { count() } else { comparable(value) })
            });
            json!(kept.collect::<BTreeMap<String, Value>>())
        }
        other => other.clone(),
    }
}

/// A real Alertmanager that runs until the value ends.
struct Alertmanager {
    process: Child,
    /// Of its API v2.
    url: String,
}

impl Alertmanager {
    /// Starts it with the engine's configuration, in the engine's folder.
    async fn start(engine: &Engine) -> Result<Alertmanager> {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = engine.folder();
        let process = Command::new("alertmanager")
            .arg(format!("--config.file={}", folder.join("watchfire.yml").display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("alertmanager.log"))?)
            .spawn()
            .context("cannot start alertmanager")?;
        let peer = Alertmanager { process, url: format!("http://{address}/api/v2") };
        eventually("alertmanager answers", async || {
            Ok(client()?.get(format!("{}/status", peer.url)).send().await.ok())
        })
        .await?;
        Ok(peer)
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // The test is over either way; a process that is gone already is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
