//! The channels that Alertmanager has and this version does not deliver to: checked with its verdicts, then left.

use super::Channel;
use crate::decode::Fields;
use crate::global::GlobalConfig;
use crate::http::http_config;

fn texts(f: &mut Fields<'_, '_>, keys: &[&'static str]) {
    for key in keys {
        f.text(key);
    }
}

/// What is missing unless it is here or in `global`.
fn needs(f: &mut Fields<'_, '_>, there: bool, key: &'static str, global_key: &str) {
    if !there && f.lacks(key) {
        f.missing(key).help(format!("give `{key}` here, or {global_key} in global"));
    }
}

/// A webhook's address, here or in a file.
fn webhook_url(f: &mut Fields<'_, '_>) {
    let url = f.secret_url("webhook_url", "webhook_url_file");
    if url.is_none() && !f.has("webhook_url") {
        f.missing("webhook_url").help("give `webhook_url`, or `webhook_url_file`");
    }
}

pub(super) fn opsgenie(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    let key = f.credential("api_key", "api_key_file");
    needs(f, key.is_some() || global.others.opsgenie_key, "api_key", "opsgenie_api_key");
    f.url("api_url");
    texts(f, &["message", "description", "source", "entity", "actions", "tags", "note", "priority"]);
    f.text_map("details");
    f.boolean("update_alerts");
    f.list("responders", |decoder, node| {
        decoder.mapping(node, "a responder", |f| {
            let named = [f.filled("id"), f.filled("name"), f.filled("username")].iter().any(Option::is_some);
            if !named {
                f.missing("id").help("give `id`, `name` or `username`");
            }
            let kind = f.text_or("type", "").to_lowercase();
            let known = matches!(kind.as_str(), "team" | "teams" | "user" | "escalation" | "schedule");
            if !known && !kind.contains("{{") {
                f.error("type", "bad-value", format!("a responder cannot be of type {kind:?}"))
                    .help("possible: team, teams, user, escalation, schedule");
            }
        })
    });
    Channel::Unsupported { kind: "opsgenie" }
}

pub(super) fn wechat(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    let secret = f.credential("api_secret", "api_secret_file");
    needs(f, secret.is_some() || global.others.wechat_secret, "api_secret", "wechat_api_secret");
    let corp_id = f.filled("corp_id");
    needs(f, corp_id.is_some() || global.others.wechat_corp_id, "corp_id", "wechat_api_corp_id");
    f.url("api_url");
    texts(f, &["message", "to_user", "to_party", "to_tag", "agent_id"]);
    f.word("message_type", &["text", "markdown", ""]);
    Channel::Unsupported { kind: "wechat" }
}

pub(super) fn victorops(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    let key = f.credential("api_key", "api_key_file");
    needs(f, key.is_some() || global.others.victorops_key, "api_key", "victorops_api_key");
    f.required("routing_key", "name the routing key that says who is called");
    f.url("api_url");
    texts(f, &["message_type", "state_message", "entity_display_name", "monitoring_tool"]);
    let reserved = [
        "routing_key",
        "message_type",
        "state_message",
        "entity_display_name",
        "monitoring_tool",
        "entity_id",
        "entity_state",
    ];
    for name in f.text_map("custom_fields").keys().filter(|name| reserved.contains(&name.as_str())) {
        f.error("custom_fields", "conflict", format!("the custom field {name} is one of VictorOps' own"))
            .help("choose another name");
    }
    Channel::Unsupported { kind: "victorops" }
}

pub(super) fn pushover(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    http_config(f);
    if f.credential("user_key", "user_key_file").is_none() && f.lacks("user_key") {
        f.missing("user_key").help("give `user_key`, or `user_key_file`");
    }
    if f.credential("token", "token_file").is_none() && f.lacks("token") {
        f.missing("token").help("give `token`, or `token_file`: the key of the application");
    }
    texts(f, &["title", "message", "url", "url_title", "device", "sound", "priority"]);
    for key in ["retry", "expire", "ttl"] {
        f.go_duration(key);
    }
    if f.boolean("html") == Some(true) && f.peek("monospace").is_some() && f.boolean("monospace") == Some(true) {
        f.error("monospace", "conflict", "a Pushover message cannot be both HTML and monospace").help("keep one");
    } else {
        f.boolean("monospace");
    }
    Channel::Unsupported { kind: "pushover" }
}

pub(super) fn sns(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    http_config(f);
    f.object("sigv4", "sigv4", |f| {
        let (access, secret) = (f.filled("access_key"), f.filled("secret_key"));
        texts(f, &["region", "profile", "role_arn", "external_id", "service_name"]);
        f.boolean("use_fips_sts_endpoint");
        if access.is_some() != secret.is_some() {
            f.missing(if access.is_some() { "secret_key" } else { "access_key" })
                .help("credentials need both `access_key` and `secret_key`; leave both out to use the machine's role");
        }
    });
    let targets = [f.filled("topic_arn"), f.filled("target_arn"), f.filled("phone_number")].iter().flatten().count();
    // Alertmanager's test lets all three pass, by accident; nobody is refused here whom it takes.
    if targets != 1 && targets != 3 {
        f.missing("topic_arn").help("give exactly one of `topic_arn`, `target_arn` and `phone_number`");
    }
    texts(f, &["api_url", "subject", "message"]);
    f.text_map("attributes");
    f.boolean("use_aws_http_client");
    Channel::Unsupported { kind: "sns" }
}

pub(super) fn telegram(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    let token = f.credential("bot_token", "bot_token_file");
    needs(f, token.is_some() || global.others.telegram_token, "bot_token", "telegram_bot_token");
    f.url("api_url");
    let chat = f.integer("chat_id").filter(|id| *id != 0);
    let file = f.filled("chat_id_file");
    match (chat, file) {
        (None, None) if f.peek("chat_id").is_none_or(|node| node.text() == Some("0")) => {
            f.missing("chat_id").help("give `chat_id`, or `chat_id_file`");
        }
        (Some(_), Some(_)) => {
            f.error("chat_id_file", "conflict", "a Telegram config has both `chat_id` and `chat_id_file`")
                .help("keep one of the two");
        }
        _ => {}
    }
    f.integer("message_thread_id");
    f.text("message");
    f.boolean("disable_notifications");
    f.word("parse_mode", &["", "Markdown", "MarkdownV2", "HTML"]);
    Channel::Unsupported { kind: "telegram" }
}

pub(super) fn discord(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    http_config(f);
    webhook_url(f);
    texts(f, &["content", "title", "message", "username", "avatar_url"]);
    Channel::Unsupported { kind: "discord" }
}

pub(super) fn webex(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    let http = http_config(f);
    f.url("api_url");
    f.text("message");
    f.required("room_id", "name the room");
    if http.is_none_or(|http| http.authorization.is_none()) {
        f.missing("http_config").help("Webex takes a token: give http_config.authorization.credentials");
    }
    Channel::Unsupported { kind: "webex" }
}

pub(super) fn msteams(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    http_config(f);
    webhook_url(f);
    texts(f, &["title", "summary", "text"]);
    Channel::Unsupported { kind: "msteams" }
}

pub(super) fn msteamsv2(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    http_config(f);
    webhook_url(f);
    texts(f, &["title", "text"]);
    Channel::Unsupported { kind: "msteamsv2" }
}

pub(super) fn jira(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    let url = f.url("api_url");
    needs(f, url.is_some() || global.others.jira_url, "api_url", "jira_api_url");
    f.word("api_type", &["auto", "cloud", "datacenter"]);
    f.required("project", "name the project's key");
    f.required("issue_type", "name the type of issue, such as Bug");
    for key in ["summary", "description"] {
        f.read(key, |decoder, node| {
            if node.text().is_some() && !decoder.is_recording() {
                return decoder.text(node, key).map(|_| ());
            }
            decoder.mapping(node, "a Jira field", |f| {
                f.text("template");
                f.boolean("enable_update");
            })
        });
    }
    f.texts("labels");
    texts(f, &["priority", "reopen_transition", "resolve_transition", "wont_fix_resolution"]);
    f.duration("reopen_duration");
    f.read("fields", |decoder, node| {
        Some(decoder.entries(node, "fields", |decoder, entry| Some(decoder.tree(&entry.value))))
    });
    Channel::Unsupported { kind: "jira" }
}

pub(super) fn incidentio(f: &mut Fields<'_, '_>, _: &GlobalConfig) -> Channel {
    let http = http_config(f);
    let url = f.url("url");
    let file = f.filled("url_file");
    if url.is_none() && file.is_none() && !f.has("url") {
        f.missing("url").help("give `url`, or `url_file`");
    } else if url.is_some() && file.is_some() {
        f.error("url_file", "conflict", "an incident.io config has both `url` and `url_file`").help("keep one");
    }
    let token = f.credential("alert_source_token", "alert_source_token_file");
    let authorized = http.as_ref().is_some_and(|http| http.authorization.is_some());
    if authorized && token.is_some() {
        f.error("alert_source_token", "conflict", "both a token and http_config.authorization").help("keep one");
    } else if http.is_some() && !authorized && token.is_none() {
        f.missing("alert_source_token").help("give it, `alert_source_token_file` or http_config.authorization");
    }
    f.count("max_alerts");
    f.go_duration("timeout");
    Channel::Unsupported { kind: "incidentio" }
}

pub(super) fn rocketchat(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    f.url("api_url");
    let id = f.credential("token_id", "token_id_file");
    needs(f, id.is_some() || global.others.rocketchat_token_id, "token_id", "rocketchat_token_id");
    let token = f.credential("token", "token_file");
    needs(f, token.is_some() || global.others.rocketchat_token, "token", "rocketchat_token");
    texts(f, &["channel", "color", "title", "title_link", "text", "emoji", "icon_url", "image_url", "thumb_url"]);
    f.boolean("short_fields");
    f.boolean("link_names");
    f.list("fields", |decoder, node| {
        decoder.mapping(node, "a Rocket.Chat field", |f| {
            texts(f, &["title", "value"]);
            f.boolean("short");
        })
    });
    f.list("actions", |decoder, node| {
        decoder.mapping(node, "a Rocket.Chat action", |f| {
            // Upstream's struct has no YAML names there, so that they are the field names in lower case.
            texts(f, &["type", "text", "url", "imageurl", "webviewheightratio", "msg", "msgprocessingtype"]);
            f.boolean("iswebview");
            f.boolean("msginchatwindow");
        })
    });
    Channel::Unsupported { kind: "rocketchat" }
}

pub(super) fn mattermost(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    http_config(f);
    let url = f.secret_url("webhook_url", "webhook_url_file");
    needs(f, url.is_some() || global.others.mattermost_url, "webhook_url", "mattermost_webhook_url");
    texts(
        f,
        &[
            "channel",
            "username",
            "text",
            "fallback",
            "color",
            "pretext",
            "author_name",
            "author_link",
            "author_icon",
            "title",
            "title_link",
            "thumb_url",
            "footer",
            "footer_icon",
            "image_url",
            "icon_url",
            "icon_emoji",
            "type",
        ],
    );
    mattermost_fields(f);
    f.list("attachments", |decoder, node| {
        decoder.mapping(node, "a Mattermost attachment", |f| {
            texts(
                f,
                &[
                    "fallback",
                    "color",
                    "pretext",
                    "text",
                    "author_name",
                    "author_link",
                    "author_icon",
                    "title",
                    "title_link",
                    "thumb_url",
                    "footer",
                    "footer_icon",
                    "image_url",
                ],
            );
            mattermost_fields(f);
        })
    });
    f.object("props", "props", |f| f.text("card"));
    f.object("priority", "priority", |f| {
        f.text("priority");
        f.boolean("requested_ack");
        f.boolean("persistent_notifications");
    });
    Channel::Unsupported { kind: "mattermost" }
}

fn mattermost_fields(f: &mut Fields<'_, '_>) {
    f.list("fields", |decoder, node| {
        decoder.mapping(node, "a Mattermost field", |f| {
            f.required("title", "give the field a title");
            f.required("value", "give the field a value");
            f.boolean("short");
        })
    });
}
