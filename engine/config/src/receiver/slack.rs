//! `slack_configs`.

use watchfire_model::Duration;

use super::Channel;
use crate::decode::Fields;
use crate::global::{GlobalConfig, SLACK_APP_URL};
use crate::http::{HttpConfig, http_config};
use crate::secret::Credential;
use crate::template::Weight;

/// Slack. Texts may be templates; `None` means the channel's default.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackConfig {
    /// How requests are made.
    pub http: HttpConfig,
    /// The incoming webhook; where there is a token, it counts instead.
    pub api_url: Option<Credential>,
    /// The bot's token.
    pub app_token: Option<Credential>,
    /// Where the bot posts.
    pub app_url: String,
    /// The channel or user.
    pub channel: Option<String>,
    /// The sender's name.
    pub username: Option<String>,
    /// The colour beside the message.
    pub color: Option<String>,
    /// The headline.
    pub title: Option<String>,
    /// Where the headline leads.
    pub title_link: Option<String>,
    /// What stands before the attachment.
    pub pretext: Option<String>,
    /// The body.
    pub text: Option<String>,
    /// The text of the message around the attachment.
    pub message_text: Option<String>,
    /// A table below.
    pub fields: Vec<SlackField>,
    /// Whether fields are short unless they say otherwise.
    pub short_fields: bool,
    /// The foot.
    pub footer: Option<String>,
    /// What clients show that cannot show attachments.
    pub fallback: Option<String>,
    /// Identifies what a button belongs to.
    pub callback_id: Option<String>,
    /// The sender's picture as an emoji.
    pub icon_emoji: Option<String>,
    /// The sender's picture.
    pub icon_url: Option<String>,
    /// A picture below.
    pub image_url: Option<String>,
    /// A small picture.
    pub thumb_url: Option<String>,
    /// Whether names and channels become links.
    pub link_names: bool,
    /// Which parts are Slack's markup.
    pub mrkdwn_in: Vec<String>,
    /// Buttons.
    pub actions: Vec<SlackAction>,
    /// Whether a group's message is updated in place and what changes goes to its thread: with a bot's token, unless it
    /// is switched off.
    pub update_message: bool,
    /// What clicks on the buttons are signed with; without it there are no buttons that act.
    pub signing_secret: Option<Credential>,
    /// How long a request may take.
    pub timeout: Option<Duration>,
}

/// A row of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlackField {
    /// Its name.
    pub title: String,
    /// Its value.
    pub value: String,
    /// Whether two fit beside each other.
    pub short: Option<bool>,
}

/// A button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlackAction {
    /// `button`.
    pub kind: String,
    /// What it says.
    pub text: String,
    /// Where it leads.
    pub url: String,
    /// How it looks.
    pub style: String,
    /// Its name, for buttons that lead nowhere.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The question that it asks first.
    pub confirm: Option<SlackConfirmation>,
}

/// A question before something is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlackConfirmation {
    /// The question.
    pub text: String,
    /// Its headline.
    pub title: String,
    /// What yes says.
    pub ok_text: String,
    /// What no says.
    pub dismiss_text: String,
}

pub(super) fn read(f: &mut Fields<'_, '_>, global: &GlobalConfig) -> Channel {
    let own_http = http_config(f);
    let own_url = f.secret_url("api_url", "api_url_file");
    let own_token = f.credential("app_token", "app_token_file");
    let authorized = own_http.as_ref().is_some_and(|http| http.authorization.is_some());
    if own_url.is_some() && own_token.is_some() {
        f.error("app_token", "conflict", "a Slack config has both a webhook (api_url) and a token")
            .help("keep one of the two");
    }
    let update_message = f.boolean("update_message");
    if update_message == Some(true)
        && own_token.is_none()
        && own_url.as_ref().map(Credential::expose) != Some(SLACK_APP_URL)
    {
        f.error("update_message", "conflict", "update_message needs a bot token; an incoming webhook cannot update")
            .help(format!("set app_token, or api_url to {SLACK_APP_URL} with the token in http_config"));
    }
    let app_token = match &own_token {
        None if !authorized && !f.has("api_url") => global.slack.app_token.clone(),
        _ => own_token,
    };
    let api_url = own_url.or_else(|| global.slack.api_url.clone());
    if api_url.is_none() && app_token.is_none() && !f.has("api_url") {
        f.missing("api_url").help(
            "give `api_url` (an incoming webhook) or `app_token` (a bot) here, or slack_api_url or slack_app_token in global",
        );
    }
    if app_token.is_some() && (authorized || own_http.is_none() && global.http.authorization.is_some()) {
        f.error("http_config", "conflict", "http_config.authorization and a Slack token exclude each other")
            .help("remove the authorization; the token is sent as such");
    }
    let has_token = app_token.is_some();
    let channel = f.text("channel");
    f.check_template("channel", channel.as_deref().unwrap_or(""), Weight::Needed);
    let config = SlackConfig {
        http: own_http.unwrap_or_else(|| global.http.clone()),
        api_url,
        app_token,
        app_url: f.url("app_url").unwrap_or_else(|| global.slack.app_url.clone()),
        channel,
        username: f.template("username"),
        color: f.template("color"),
        title: f.template("title"),
        title_link: f.template("title_link"),
        pretext: f.template("pretext"),
        text: f.template("text"),
        message_text: f.template("message_text"),
        fields: f.list("fields", |decoder, node| {
            decoder.mapping(node, "a Slack field", |f| SlackField {
                title: f.required_template("title", "give the field a title", Weight::Text),
                value: f.required_template("value", "give the field a value", Weight::Text),
                short: f.boolean("short"),
            })
        }),
        short_fields: f.boolean("short_fields").unwrap_or(false),
        footer: f.template("footer"),
        fallback: f.template("fallback"),
        callback_id: f.template("callback_id"),
        icon_emoji: f.template("icon_emoji"),
        icon_url: f.template("icon_url"),
        image_url: f.template("image_url"),
        thumb_url: f.template("thumb_url"),
        link_names: f.boolean("link_names").unwrap_or(false),
        mrkdwn_in: f.texts("mrkdwn_in").unwrap_or_default(),
        actions: f.list("actions", |decoder, node| decoder.mapping(node, "a Slack action", action)),
        update_message: update_message.unwrap_or(has_token),
        signing_secret: f.credential("signing_secret", "signing_secret_file"),
        timeout: f.go_duration("timeout"),
    };
    Channel::Slack(Box::new(config))
}

fn action(f: &mut Fields<'_, '_>) -> SlackAction {
    let action = SlackAction {
        kind: f.required_template("type", "write `type: button`", Weight::Text),
        text: f.required_template("text", "say what stands on the button", Weight::Text),
        url: f.template("url").unwrap_or_default(),
        style: f.template("style").unwrap_or_default(),
        name: f.template("name").unwrap_or_default(),
        value: f.template("value").unwrap_or_default(),
        confirm: f.object("confirm", "a confirmation", |f| SlackConfirmation {
            text: f.required_template("text", "write the question", Weight::Text),
            title: f.template("title").unwrap_or_default(),
            ok_text: f.template("ok_text").unwrap_or_default(),
            dismiss_text: f.template("dismiss_text").unwrap_or_default(),
        }),
    };
    if !action.url.is_empty() {
        // A link needs none of what belongs to a button that calls back.
        return SlackAction { name: String::new(), value: String::new(), confirm: None, ..action };
    }
    if action.name.is_empty() {
        f.missing("url").help("give `url` for a link, or `name` for a button that calls back");
    }
    action
}
