//! The HTTP APIs by their documents. Every answer of this engine's own API that any test gets is held against its
//! document already (`Engine::judged`); here is what that leaves open.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Case;
use crate::support::{Engine, OWN_DOCUMENT, OpenApi, Tool, block_on, client, variable};

/// The program of this name is a validator from PyPI; the Python beside it can read YAML.
const VALIDATOR: Tool = Tool::Program("openapi-spec-validator");

pub(crate) const CASES: &[Case] = &[
    Case { name: "api::own_document_is_valid", needs: &[Tool::Binary, VALIDATOR], run: document },
    Case {
        name: "api::answers_fit_alertmanagers_document",
        needs: &[Tool::Binary, Tool::Data, VALIDATOR],
        run: alertmanager,
    },
    Case { name: "api::roles_say_who_may_do_what", needs: &[Tool::Binary], run: roles },
    Case { name: "api::everything_moves_below_a_prefix", needs: &[Tool::Binary], run: prefix },
];

const NOBODY: &str = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n";

fn document() -> Result<()> {
    block_on(async {
        let engine = Engine::start(&[("watchfire.yml", NOBODY)]).await?;
        let text = engine.text(OWN_DOCUMENT).await?;
        let mut validator =
            Command::new("openapi-spec-validator").arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        validator.stdin.take().context("it reads")?.write_all(text.as_bytes())?;
        let output = validator.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && said.contains("OK"), "{said}");
        let document: Value = serde_json::from_str(&text)?;
        let paths = document["paths"].as_object().context("it has paths")?;
        ensure!(paths.contains_key("/api/watchfire/v1/explain") && paths.len() >= 15, "{:?}", paths.keys());
        ensure!(document["paths"]["/v1/alerting/clear-history"]["post"]["x-role"] == "administrator", "{document}");
        Ok(())
    })
}

/// A document in YAML.
fn read_yaml(path: &Path) -> Result<Value> {
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout, default=str)";
    let output = Command::new("python3").args(["-c", program]).arg(path).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Each path with what it may answer: alerts in every state, groups, silences of both kinds, and refusals.
fn alertmanager() -> Result<()> {
    const CONFIG: &str = "route: {receiver: none, group_wait: 0s, group_by: [alertname], routes: [\
         {matchers: [team=\"night\"], receiver: other, mute_time_intervals: [always]}]}\n\
         receivers: [{name: none}, {name: other}]\n\
         inhibit_rules: [{source_matchers: [alertname=\"Source\"], target_matchers: [alertname=\"Target\"]}]\n\
         time_intervals: [{name: always, time_intervals: [{times: [{start_time: '00:00', end_time: '24:00'}]}]}]\n";
    block_on(async {
        let data = variable("WATCHFIRE_TEST_DATA").context("WATCHFIRE_TEST_DATA is not set")?;
        let document = OpenApi(read_yaml(&Path::new(&data).join("alertmanager/head/api/v2/openapi.yaml"))?);
        let engine = Engine::start(&[("watchfire.yml", CONFIG)]).await?;
        let client = client()?;
        let ask = async |method: &str, path: &str, body: Value| -> Result<Value> {
            let path = format!("/api/v2{path}");
            let mut request = client.request(method.parse()?, engine.url(&path));
            if !body.is_null() {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let answer = request.send().await?;
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            document.check(method, &path, status, &text)?;
            Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
        };
        let named = |name: &str, team: &str| {
            let generator = "http://prometheus.example/graph";
            json!({"labels": {"alertname": name, "team": team}, "annotations": {"summary": "x"}, "generatorURL": generator})
        };
        let alerts = [named("Source", "a"), named("Target", "a"), named("Silenced", "b"), named("Muted", "night")];
        ask("POST", "/alerts", json!(alerts)).await?;
        let silence = |name: &str| {
            json!({
                "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
                "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
                "createdBy": "Ada", "comment": "planned", "annotations": {"ticket": "OPS-1"},
            })
        };
        let set = ask("POST", "/silences", silence("Silenced")).await?;
        let id = set["silenceID"].as_str().context("a silence has an id")?.to_owned();
        let mut either = silence("X");
        either["matcherSets"] = json!([either["matchers"], [{"name": "team", "value": "z", "isRegex": false}]]);
        ask("POST", "/silences", either).await?;
        ask("POST", "/silences", silence("")).await?;
        ask("POST", "/alerts", json!([{"labels": {}}])).await?;
        let listed = ask("GET", "/alerts", Value::Null).await?;
        let states: Vec<_> = listed.as_array().into_iter().flatten().map(|alert| &alert["status"]).collect();
        let some = |key: &str| states.iter().any(|status| status[key].as_array().is_some_and(|by| !by.is_empty()));
        ensure!(some("silencedBy") && some("inhibitedBy"), "{listed:#}");
        for path in [
            "/status",
            "/receivers",
            "/alerts/groups",
            "/alerts/groups?receiver=other&muted=false",
            "/alerts?filter=team%3Da&active=true&silenced=false",
            "/alerts?filter=%7B%7B",
            "/alerts?active=maybe",
            "/silences",
            "/silences?filter=alertname%3DSilenced",
            &format!("/silence/{id}"),
            "/silence/00000000-0000-4000-8000-000000000000",
        ] {
            ask("GET", path, Value::Null).await?;
        }
        let silence = ask("GET", &format!("/silence/{id}"), Value::Null).await?;
        ensure!(silence["annotations"]["ticket"] == "OPS-1", "{silence}");
        ask("DELETE", &format!("/silence/{id}"), Value::Null).await?;
        ask("DELETE", &format!("/silence/{id}"), Value::Null).await?;
        ask("DELETE", "/silence/00000000-0000-4000-8000-000000000000", Value::Null).await?;
        for method in ["GET", "DELETE"] {
            let answer = client.request(method.parse()?, engine.url("/api/v2/silence/a%22b%0A")).send().await?;
            let (status, text) = (answer.status().as_u16(), answer.text().await?);
            let said = r#"{"code":601,"message":"silenceID in path must be of type uuid: \"a\\\"b\\n\""}"#;
            ensure!(status == 422 && text == said, "{method}: {status}: {text}");
        }
        Ok(())
    })
}

fn roles() -> Result<()> {
    let config = format!(
        "{NOBODY}server: {{auth: {{bearer_tokens: [{{token: look, role: viewer}}, {{token: act, role: operator}}], \
         basic: {{root: rule}}}}}}\n"
    );
    block_on(async {
        let mut engine = Engine::prepare(&[("watchfire.yml", &config)])?;
        engine.run(&[]).await?;
        let logins = ["Bearer look", "Bearer act", "Basic cm9vdDpydWxl"];
        for (method, path, body, statuses) in [
            ("GET", "/api/v2/alerts", "", [200, 200, 200]),
            ("POST", "/api/v1/query", "query=1", [200, 200, 200]),
            ("POST", "/api/v2/alerts", "[]", [403, 200, 200]),
            ("POST", "/v1/alerting/clear-history", "", [403, 403, 200]),
            ("POST", "/-/reload", "", [403, 403, 200]),
        ] {
            for (login, expected) in logins.iter().zip(statuses) {
                let request = client()?.request(method.parse()?, engine.url(path)).header("authorization", *login);
                let kind = if body.starts_with('[') { "json" } else { "x-www-form-urlencoded" };
                let answer = request.header("content-type", format!("application/{kind}")).body(body).send().await?;
                let (status, text) = (answer.status().as_u16(), answer.text().await?);
                ensure!(status == expected, "{login}: {method} {path}: {status} and not {expected}: {text}");
                ensure!(status != 403 || text.contains("needs the role"), "{text}");
            }
        }
        Ok(())
    })
}

fn prefix() -> Result<()> {
    let config = format!("{NOBODY}server: {{route_prefix: /fire}}\n");
    block_on(async {
        let mut engine = Engine::prepare(&[("watchfire.yml", &config)])?;
        engine.run_below("/fire", &[]).await?;
        for (path, part) in [
            ("/fire", "href=\"/fire/rules\""),
            ("/fire/", "href=\"/fire/rules\""),
            ("/", "href=\"/fire/rules\""),
            ("/fire/silences", "action=\"/fire/silences\""),
            ("/fire/assets/watchfire.css", "--accent"),
            ("/fire/api/v2/status", "versionInfo"),
        ] {
            let text = client()?.get(engine.url(path)).send().await?.error_for_status()?.text().await?;
            ensure!(text.contains(part), "{path} has no {part}: {text}");
        }
        Ok(())
    })
}
