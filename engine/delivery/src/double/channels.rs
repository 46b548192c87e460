//! The channels that are data: what their services' published references say that they take.

use serde_json::{Map, Value, json};

/// A request as a double sees it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) header: &'a dyn Fn(&str) -> String,
    pub(super) body: &'a [u8],
}

impl Asked<'_> {
    fn json(&self) -> Option<Map<String, Value>> {
        let json = (self.header)("content-type").starts_with("application/json");
        serde_json::from_slice(self.body).ok().filter(|_| json)
    }

    fn form(&self) -> Map<String, Value> {
        let text = std::str::from_utf8(self.body).unwrap_or("");
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (decode(name), decode(value).into())).collect()
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = (*first == b'%').then(|| more.get(..2)).flatten();
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is wrong with an object: a field that is not known, is missing, or has the wrong type or too many characters.
/// A field is written `name:type:max`, with `!` behind the name if it must be there.
fn wrong(object: &Map<String, Value>, fields: &[&str]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut known = Vec::new();
    for field in fields {
        let mut parts = field.split(':');
        let (name, kind) = (parts.next().unwrap_or(""), parts.next().unwrap_or("text"));
        let max = parts.next().and_then(|max| max.parse().ok()).unwrap_or(usize::MAX);
        let needed = name.ends_with('!');
        let name = name.trim_end_matches('!');
        known.push(name);
        let Some(value) = object.get(name) else {
            if needed {
                errors.push(format!("{name} is missing"));
            }
            continue;
        };
        let fits = match kind {
            "text" => {
                value.as_str().is_some_and(|text| text.encode_utf16().count() <= max && !(needed && text.is_empty()))
            }
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "list" => value.is_array(),
            "object" => value.is_object(),
            "texts" => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
            _ => true,
        };
        if !fits {
            errors.push(format!("{name} is no {kind} of at most {max}"));
        }
    }
    errors
        .extend(object.keys().filter(|name| !known.contains(&name.as_str())).map(|name| format!("{name} is unknown")));
    errors
}

fn refused(errors: &[String]) -> (u16, String) {
    (400, json!({"message": errors.join("; ")}).to_string())
}

pub(super) fn answer(service: &str, asked: &Asked<'_>) -> (u16, String) {
    match service {
        "opsgenie" => opsgenie(asked),
        "wechat" => wechat(asked),
        "pushover" => pushover(asked),
        "sns" => sns(asked),
        "jira" => jira(asked),
        "matrix" => matrix(asked),
        _ => posted(service, asked),
    }
}

fn opsgenie(asked: &Asked<'_>) -> (u16, String) {
    if (asked.header)("authorization") != "GenieKey opsgenie-key" {
        return (401, json!({"message": "Could not authenticate"}).to_string());
    }
    let Some(body) = asked.json() else { return refused(&["no JSON".to_owned()]) };
    let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
    let mut errors = match parts.as_slice() {
        ["v2", "alerts"] if asked.method == "POST" => wrong(
            &body,
            &[
                "alias!::512",
                "message!::130",
                "description::15000",
                "details:texts",
                "source::100",
                "responders:list",
                "tags:list",
                "note::25000",
                "priority",
                "entity::512",
                "actions:list",
            ],
        ),
        ["v2", "alerts", _, "close"] if asked.method == "POST" => wrong(&body, &["source::100", "note", "user"]),
        ["v2", "alerts", _, "message"] if asked.method == "PUT" => wrong(&body, &["message!::130"]),
        ["v2", "alerts", _, "description"] if asked.method == "PUT" => wrong(&body, &["description::15000"]),
        _ => return (404, String::new()),
    };
    if parts.len() == 4 && asked.query != "identifierType=alias" {
        errors.push("the alias is no id".to_owned());
    }
    for responder in body.get("responders").and_then(Value::as_array).into_iter().flatten() {
        let known = matches!(responder["type"].as_str(), Some("team" | "user" | "escalation" | "schedule"));
        if !known || responder["name"].as_str().is_some_and(|name| name.contains(',')) {
            errors.push(format!("the responder {responder} is none"));
        }
    }
    if body.get("priority").and_then(Value::as_str).is_some_and(|p| !matches!(p, "P1" | "P2" | "P3" | "P4" | "P5")) {
        errors.push("priority is none".to_owned());
    }
    match errors.is_empty() {
        true => (202, json!({"result": "Request will be processed", "took": 0.1, "requestId": "r-1"}).to_string()),
        false => (422, json!({"message": errors.join("; ")}).to_string()),
    }
}

fn wechat(asked: &Asked<'_>) -> (u16, String) {
    let say = |code: i64, text: &str| (200, json!({"errcode": code, "errmsg": text}).to_string());
    if asked.path == "/cgi-bin/gettoken" && asked.method == "GET" {
        if asked.query != "corpid=corp&corpsecret=wechat-secret" {
            return say(40013, "invalid corpid");
        }
        let token = json!({"errcode": 0, "errmsg": "ok", "access_token": "wechat-token", "expires_in": 7200});
        return (200, token.to_string());
    }
    if asked.path != "/cgi-bin/message/send" || asked.query != "access_token=wechat-token" {
        return say(40014, "invalid access_token");
    }
    let Some(body) = asked.json() else { return say(44001, "empty media data") };
    let mut errors =
        wrong(&body, &["touser", "toparty", "totag", "agentid", "safe", "msgtype!", "text:object", "markdown:object"]);
    let kind = body.get("msgtype").and_then(Value::as_str).unwrap_or("");
    match body.get(kind).and_then(|part| part["content"].as_str()) {
        Some(content) if content.len() <= 2048 => {}
        _ => errors.push("content is missing or too long".to_owned()),
    }
    if errors.is_empty() { say(0, "ok") } else { say(40008, &errors.join("; ")) }
}

fn pushover(asked: &Asked<'_>) -> (u16, String) {
    let form = asked.form();
    let mut errors = wrong(
        &form,
        &[
            "token!",
            "user!",
            "title::250",
            "message!::1024",
            "html",
            "monospace",
            "url::512",
            "url_title::100",
            "priority",
            "retry",
            "expire",
            "ttl",
            "device",
            "sound",
        ],
    );
    let number = |name: &str| form.get(name).and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok());
    match number("priority") {
        Some(2) if number("retry").is_none_or(|retry| retry < 30) || number("expire").is_none_or(|e| e > 10_800) => {
            errors.push("retry and expire are needed for an emergency".to_owned());
        }
        Some(-2..=2) => {}
        _ => errors.push("priority is invalid".to_owned()),
    }
    match errors.is_empty() {
        true => (200, json!({"status": 1, "request": "r-1"}).to_string()),
        false => (400, json!({"status": 0, "errors": errors}).to_string()),
    }
}

fn sns(asked: &Asked<'_>) -> (u16, String) {
    let form = asked.form();
    let text = |name: &str| form.get(name).and_then(Value::as_str).unwrap_or("");
    let signed = (asked.header)("authorization");
    let date = (asked.header)("x-amz-date");
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || date.len() != 16 {
        return (403, "<Error><Message>not signed</Message></Error>".to_owned());
    }
    let entries = form.keys().filter(|name| name.starts_with("MessageAttributes.entry.")).count();
    let subject = text("Subject");
    let good = text("Action") == "Publish"
        && text("Version") == "2010-03-31"
        && !text("Message").is_empty()
        && text("Message").len() <= 262_144
        && subject.len() < 100
        && subject.chars().all(|c| (' '..='~').contains(&c))
        && entries % 3 == 0
        && ["TopicArn", "TargetArn", "PhoneNumber"].iter().filter(|name| form.contains_key(**name)).count() == 1;
    match good {
        true => (200, "<PublishResponse><MessageId>m-1</MessageId></PublishResponse>".to_owned()),
        false => (400, format!("<Error><Message>Invalid parameter: {form:?}</Message></Error>")),
    }
}

/// It knows one issue, `OPS-1`, if the search is for a group that was created: every group but the first time.
fn jira(asked: &Asked<'_>) -> (u16, String) {
    let parts: Vec<&str> = asked.path.split('/').skip(4).collect();
    let body = asked.json().unwrap_or_default();
    match (asked.method, parts.as_slice()) {
        ("POST", ["search"]) => {
            let errors = wrong(&body, &["jql!", "maxResults:number", "fields:list"]);
            let jql = body.get("jql").and_then(Value::as_str).unwrap_or("");
            if !errors.is_empty() || !jql.contains("labels=\"ALERT{") || !jql.contains("order by") {
                return refused(&[format!("{errors:?} {jql}")]);
            }
            let issues = match jql.contains("project=\"KNOWN\"") {
                true => json!([{"key": "OPS-1", "fields": {"status": {"statusCategory": {"key": "indeterminate"}}}}]),
                false => json!([]),
            };
            (200, json!({"issues": issues}).to_string())
        }
        ("POST", ["issue"]) | ("PUT", ["issue", "OPS-1"]) => {
            let Some(fields) = body.get("fields").and_then(Value::as_object) else {
                return refused(&["fields".into()]);
            };
            let errors = wrong(
                fields,
                &[
                    "project:object",
                    "issuetype:object",
                    "labels:list",
                    "summary::255",
                    "description::32767",
                    "priority:object",
                    "customfield_1:any",
                ],
            );
            let created = parts.len() == 1;
            match errors.is_empty() && (!created || fields.contains_key("summary")) {
                true if created => (201, json!({"id": "1", "key": "OPS-2"}).to_string()),
                true => (204, String::new()),
                false => refused(&errors),
            }
        }
        ("GET", ["issue", "OPS-1", "transitions"]) => {
            (200, json!({"transitions": [{"id": "11", "name": "Reopen"}, {"id": "21", "name": "Done"}]}).to_string())
        }
        ("POST", ["issue", "OPS-1", "transitions"]) if body.get("transition") == Some(&json!({"id": "21"})) => {
            (204, String::new())
        }
        _ => (404, String::new()),
    }
}

/// The channels that take one `POST` of JSON.
/// A homeserver of Matrix that knows one room, and a transaction by its id.
fn matrix(asked: &Asked<'_>) -> (u16, String) {
    let error = |status, code: &str, text: &str| (status, json!({"errcode": code, "error": text}).to_string());
    if (asked.header)("authorization") != "Bearer matrix-token" {
        return error(401, "M_UNKNOWN_TOKEN", "Unrecognised access token");
    }
    let path: Vec<String> = asked.path.split('/').skip(1).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let transaction = match path.as_slice() {
        ["_matrix", "client", "v3", "rooms", "!ops:example", "send", "m.room.message", transaction] => *transaction,
        _ => return error(404, "M_UNRECOGNIZED", "Unrecognized request"),
    };
    let Some(body) = asked.json().filter(|_| asked.method == "PUT") else {
        return error(405, "M_UNRECOGNIZED", "Unrecognized request");
    };
    let errors = wrong(&body, &["msgtype!", "body!", "format", "formatted_body", "m.mentions:object"]);
    match errors.as_slice() {
        [] => (200, json!({"event_id": format!("${transaction}")}).to_string()),
        errors => error(400, "M_BAD_JSON", &errors.join("; ")),
    }
}

fn posted(service: &str, asked: &Asked<'_>) -> (u16, String) {
    let Some(body) = asked.json().filter(|_| asked.method == "POST") else { return refused(&["no JSON".to_owned()]) };
    let only =
        |name: &str| body.get(name).and_then(Value::as_array).and_then(|list| list.first()?.as_object()).cloned();
    match service {
        "discord" => {
            let mut errors = wrong(&body, &["content::2000", "username::80", "avatar_url", "embeds:list"]);
            let embed = only("embeds").unwrap_or_default();
            errors.extend(wrong(&embed, &["title::256", "description::4096", "color:number"]));
            if errors.is_empty() { (204, String::new()) } else { refused(&errors) }
        }
        "telegram" => {
            let mut errors = wrong(
                &body,
                &[
                    "chat_id!",
                    "text!::4096",
                    "parse_mode",
                    "message_thread_id:number",
                    "disable_notification:boolean",
                    "disable_web_page_preview:boolean",
                ],
            );
            let text = body.get("text").and_then(Value::as_str).unwrap_or("");
            if text.matches("<b>").count() != text.matches("</b>").count() {
                errors.push("can't parse entities".to_owned());
            }
            let path = asked.path == "/bottelegram-token/sendMessage";
            match errors.is_empty() && path {
                true => (200, json!({"ok": true, "result": {"message_id": 42}}).to_string()),
                false => (400, json!({"ok": false, "error_code": 400, "description": errors.join("; ")}).to_string()),
            }
        }
        "victorops" => {
            let mut errors = wrong(
                &body,
                &[
                    "message_type!",
                    "entity_id!",
                    "entity_display_name",
                    "state_message::20480",
                    "monitoring_tool",
                    "team",
                ],
            );
            let kind = body.get("message_type").and_then(Value::as_str).unwrap_or("");
            if !matches!(kind, "CRITICAL" | "WARNING" | "INFO" | "ACKNOWLEDGEMENT" | "RECOVERY") {
                errors.push(format!("message_type {kind}"));
            }
            match errors.is_empty() && asked.path.ends_with("/victorops-key/ops") {
                true => (200, json!({"result": "success", "entity_id": body["entity_id"]}).to_string()),
                false => refused(&errors),
            }
        }
        "webex" => {
            let errors = wrong(&body, &["markdown!::7439", "roomId!"]);
            let large = body.get("markdown").and_then(Value::as_str).is_some_and(|text| text.len() > 7439);
            let authorized = (asked.header)("authorization") == "Bearer webex-token";
            match errors.is_empty() && !large && authorized {
                true => (200, json!({"id": "w-1"}).to_string()),
                false => refused(&errors),
            }
        }
        "msteams" => {
            let errors = wrong(&body, &["@context!", "@type!", "title", "summary!", "text!", "themeColor"]);
            if asked.body.len() > 28_000 {
                return (413, String::new());
            }
            if errors.is_empty() { (200, "1".to_owned()) } else { refused(&errors) }
        }
        "msteamsv2" => {
            let mut errors = wrong(&body, &["type!", "attachments!:list"]);
            let card = only("attachments").unwrap_or_default();
            errors.extend(wrong(&card, &["contentType!", "contentUrl:any", "content!:object"]));
            let content = card.get("content").and_then(Value::as_object).cloned().unwrap_or_default();
            errors.extend(wrong(&content, &["$schema!", "type!", "version!", "body!:list", "msteams:object"]));
            if asked.body.len() > 28_000 {
                return (413, String::new());
            }
            if errors.is_empty() { (202, String::new()) } else { refused(&errors) }
        }
        "incidentio" => {
            let mut errors = wrong(
                &body,
                &[
                    "version!",
                    "receiver",
                    "status!",
                    "alerts!:list",
                    "groupLabels:texts",
                    "commonLabels:texts",
                    "commonAnnotations:texts",
                    "notification_reason",
                    "routeLabels:texts",
                    "externalURL",
                    "groupKey!",
                    "truncatedAlerts:number",
                ],
            );
            if asked.body.len() > 524_288 {
                return (429, String::new());
            }
            if (asked.header)("authorization") != "Bearer incident-token" || body["version"] != "1" {
                errors.push("not authorized".to_owned());
            }
            if errors.is_empty() { (202, json!({"status": "success"}).to_string()) } else { refused(&errors) }
        }
        "rocketchat" => {
            let mut errors = wrong(&body, &["channel", "text", "alias", "emoji", "avatar", "attachments:list"]);
            let fields =
                ["title", "title_link", "text::5000", "image_url", "thumb_url", "color", "fields:list", "actions:list"];
            errors.extend(wrong(&only("attachments").unwrap_or_default(), &fields));
            let keys = ((asked.header)("x-auth-token"), (asked.header)("x-user-id"));
            if keys != ("rocket-token".to_owned(), "rocket-id".to_owned()) {
                return (401, json!({"status": "error", "message": "You must be logged in"}).to_string());
            }
            // As the service does it: 200, and what is wrong in the body.
            match errors.is_empty() {
                true => (200, json!({"success": true, "message": {"_id": "rc-1"}}).to_string()),
                false => (200, json!({"success": false, "error": errors.join("; ")}).to_string()),
            }
        }
        "mattermost" => {
            let mut errors = wrong(
                &body,
                &[
                    "text::16383",
                    "channel",
                    "username",
                    "icon_url",
                    "icon_emoji",
                    "attachments:list",
                    "type",
                    "props:object",
                    "priority:object",
                ],
            );
            let fields = [
                "fallback",
                "color",
                "pretext",
                "text::16383",
                "author_name",
                "author_link",
                "author_icon",
                "title",
                "title_link",
                "fields:list",
                "thumb_url",
                "footer",
                "footer_icon",
                "image_url",
            ];
            errors.extend(wrong(&only("attachments").unwrap_or_default(), &fields));
            if errors.is_empty() { (200, "ok".to_owned()) } else { refused(&errors) }
        }
        // A service of the user's own.
        _ => match wrong(&body, &["topic!", "title", "message!", "priority:number"]).as_slice() {
            [] => (200, json!({"id": "n-1"}).to_string()),
            errors => refused(errors),
        },
    }
}
