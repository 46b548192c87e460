//! The channels that Alertmanager has and that are data here: what it checks beyond what their definitions say.

use super::Channel;
use super::templated::{self, Setting, TemplatedConfig};
use crate::channel;
use crate::decode::Fields;
use crate::global::GlobalConfig;
use crate::template::Weight;
use crate::tree::Tree;

fn templates(f: &mut Fields<'_, '_>, keys: &[&'static str]) {
    for key in keys {
        f.template(key);
    }
}

/// The settings of a shipped channel, checked by `check`.
fn shipped(
    f: &mut Fields<'_, '_>,
    global: &GlobalConfig,
    name: &str,
    check: impl FnOnce(&mut Fields<'_, '_>, &mut TemplatedConfig),
) -> Channel {
    let mut config = templated::read(f, channel::shipped(name), global);
    check(f, &mut config);
    Channel::Templated(Box::new(config))
}

pub(super) fn opsgenie(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "opsgenie", |f, _| {
        f.template_map("details");
        f.list("responders", |decoder, node| {
            decoder.mapping(node, "a responder", |f| {
                let named = [f.template("id"), f.template("name"), f.template("username")];
                if named.iter().flatten().all(String::is_empty) {
                    f.missing("id").help("give `id`, `name` or `username`");
                }
                let text = f.text_or("type", "");
                f.check_template("type", &text, Weight::Refused);
                let kind = text.to_lowercase();
                let known = matches!(kind.as_str(), "team" | "teams" | "user" | "escalation" | "schedule");
                if !known && !kind.contains("{{") {
                    f.error("type", "bad-value", format!("a responder cannot be of type {kind:?}"))
                        .help("possible: team, teams, user, escalation, schedule");
                }
            })
        });
    })
}

pub(super) fn wechat(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "wechat", |f, _| {
        f.word("message_type", &["text", "markdown", ""]);
    })
}

pub(super) fn victorops(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "victorops", |f, _| {
        let reserved = [
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "entity_id",
            "entity_state",
        ];
        for name in f.template_map("custom_fields").keys().filter(|name| reserved.contains(&name.as_str())) {
            f.error("custom_fields", "conflict", format!("the custom field {name} is one of VictorOps' own"))
                .help("choose another name");
        }
    })
}

pub(super) fn pushover(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "pushover", |f, config| {
        let is_set = |name: &str| config.settings.get(name) == Some(&Setting::Value(Tree::Bool(true)));
        if is_set("html") && is_set("monospace") {
            f.error("monospace", "conflict", "a Pushover message cannot be both HTML and monospace").help("keep one");
        }
    })
}

pub(super) fn sns(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "sns", |f, config| {
        let sigv4 = f.object("sigv4", "sigv4", |f| {
            let (access, secret) = (f.filled("access_key"), f.filled("secret_key"));
            templates(f, &["region", "profile", "role_arn", "external_id", "service_name"]);
            f.boolean("use_fips_sts_endpoint");
            if access.is_some() != secret.is_some() {
                f.missing(if access.is_some() { "secret_key" } else { "access_key" }).help(
                    "credentials need both `access_key` and `secret_key`; leave both out to use the environment's",
                );
            }
            access.is_some()
        });
        let targets = [f.filled("topic_arn"), f.filled("target_arn"), f.filled("phone_number")];
        // Alertmanager's test lets all three pass, by accident; nobody is refused here whom it takes.
        if !matches!(targets.iter().flatten().count(), 1 | 3) {
            f.missing("topic_arn").help("give exactly one of `topic_arn`, `target_arn` and `phone_number`");
        }
        f.template_map("attributes");
        let mut keys = match config.settings.remove("sigv4") {
            Some(Setting::Value(Tree::Map(keys))) => keys,
            _ => Vec::new(),
        };
        let mut environment = vec![("region", "AWS_REGION"), ("region", "AWS_DEFAULT_REGION")];
        if sigv4 != Some(true) {
            environment.extend([
                ("access_key", "AWS_ACCESS_KEY_ID"),
                ("secret_key", "AWS_SECRET_ACCESS_KEY"),
                ("session_token", "AWS_SESSION_TOKEN"),
            ]);
        }
        for (key, variable) in environment {
            let lacks = !keys.iter().any(|(known, value)| known == key && *value != Tree::Text(String::new()));
            if let (true, Some(value)) = (lacks, f.decoder().variable(variable)) {
                keys.push((key.to_owned(), Tree::Text(value)));
            }
        }
        config.settings.insert("sigv4".to_owned(), Setting::Value(Tree::Map(keys)));
    })
}

pub(super) fn telegram(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "telegram", |f, _| {
        let chat = f.integer("chat_id").filter(|id| *id != 0);
        let file = f.filled("chat_id_file");
        if chat.is_none() && file.is_none() && f.peek("chat_id").is_none_or(|node| node.text() == Some("0")) {
            f.missing("chat_id").help("give `chat_id`, or `chat_id_file`");
        }
        f.word("parse_mode", &["", "Markdown", "MarkdownV2", "HTML"]);
    })
}

pub(super) fn discord(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "discord", |_, _| {})
}

pub(super) fn webex(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "webex", |f, config| {
        if !f.has("http_config") || config.http.authorization.is_none() {
            f.missing("http_config").help("Webex takes a token: give http_config.authorization.credentials");
        }
    })
}

pub(super) fn msteams(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "msteams", |_, _| {})
}

pub(super) fn msteamsv2(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "msteamsv2", |f, config| {
        // Only here Alertmanager takes the proxy from `global` beside an `http_config` of the receiver's own.
        let proxy = &mut config.http.proxy;
        if f.has("http_config") && proxy.url.is_none() && !proxy.from_environment {
            proxy.url.clone_from(&global.http.proxy.url);
        }
    })
}

pub(super) fn jira(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "jira", |f, config| {
        f.word("api_type", &["auto", "cloud", "datacenter"]);
        for key in ["summary", "description"] {
            f.read(key, |decoder, node| {
                if node.text().is_some() && !decoder.is_recording() {
                    return decoder.template(node, key).map(|_| ());
                }
                decoder.mapping(node, "a Jira field", |f| {
                    f.template("template");
                    f.boolean("enable_update");
                })
            });
            // The short form is the template alone.
            let template = config.settings.get(key).and_then(Setting::text).map(str::to_owned);
            if let Some(text) = template {
                let whole = Tree::Map(vec![("template".to_owned(), Tree::Text(text))]);
                config.settings.insert(key.to_owned(), Setting::Value(whole));
            }
        }
        f.list("labels", |decoder, node| decoder.template(node, "labels"));
        f.read("fields", |decoder, node| {
            decoder.check_templates(node, "fields", true, Weight::Text, false);
            Some(decoder.entries(node, "fields", |decoder, entry| Some(decoder.tree(&entry.value))))
        });
    })
}

pub(super) fn incidentio(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "incidentio", |f, config| {
        let (token, authorized) =
            (config.settings.contains_key("alert_source_token"), config.http.authorization.is_some());
        let own_http = f.has("http_config");
        if own_http && authorized && token {
            f.error("alert_source_token", "conflict", "both a token and http_config.authorization").help("keep one");
        } else if own_http && !authorized && !token {
            f.missing("alert_source_token").help("give it, `alert_source_token_file` or http_config.authorization");
        }
    })
}

pub(super) fn rocketchat(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "rocketchat", |f, _| {
        f.list("fields", |decoder, node| {
            decoder.mapping(node, "a Rocket.Chat field", |f| {
                templates(f, &["title", "value"]);
                f.boolean("short");
            })
        });
        f.list("actions", |decoder, node| {
            decoder.mapping(node, "a Rocket.Chat action", |f| {
                // Upstream's struct has no YAML names there, so that they are the field names in lower case.
                templates(f, &["type", "text", "url", "imageurl", "webviewheightratio", "msg", "msgprocessingtype"]);
                f.boolean("iswebview");
                f.boolean("msginchatwindow");
            })
        });
    })
}

pub(super) fn mattermost(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    shipped(f, global, "mattermost", |f, _| {
        mattermost_fields(f);
        f.list("attachments", |decoder, node| {
            decoder.mapping(node, "a Mattermost attachment", |f| {
                templates(
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
        f.object("props", "props", |f| f.template("card"));
        f.object("priority", "priority", |f| {
            f.template("priority");
            f.boolean("requested_ack");
            f.boolean("persistent_notifications");
        });
    })
}

fn mattermost_fields(f: &mut Fields<'_, '_>) {
    f.list("fields", |decoder, node| {
        decoder.mapping(node, "a Mattermost field", |f| {
            f.required_template("title", "give the field a title", Weight::Text);
            f.required_template("value", "give the field a value", Weight::Text);
            f.boolean("short");
        })
    });
}
