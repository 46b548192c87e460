//! Mail: HTML and text, one thread per alert group, the same Message-ID on every attempt.

use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailboxes, MessageBuilder, MultiPart, MultiPartKind, SinglePart};
use sha2::{Digest, Sha256};
use watchfire_plugin::Message;

use crate::notification::hex;
use crate::text::{Unit, ellipsis};
use crate::view;
use crate::{BuildError, Notification, builtin};

/// Alerts that a mail shows one by one. Mail readers cut messages above about 100 KB off.
const ALERTS_SHOWN_MAX: usize = 40;
/// Room for a subject; longer ones no reader shows.
const SUBJECT_CHARS_MAX: usize = 300;

/// How mails become threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thread {
    /// One per alert group.
    #[default]
    Group,
    /// One per alert group and day.
    Daily,
}

/// The settings of the receiver with their templates expanded. `None` means the built-in text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The sender.
    pub from: String,
    /// The addressees, separated by commas.
    pub to: String,
    /// Headers that replace or are added to the built-in ones; `Subject`, `To` and `From` among them.
    pub headers: Vec<(String, String)>,
    /// The HTML part.
    pub html: Option<String>,
    /// The text part.
    pub text: Option<String>,
    /// How mails become threads.
    pub thread: Thread,
    /// The right side of message ids; empty means that of the sender's address.
    pub domain: String,
}

/// A mail, ready to be handed to a server.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Who hands it over, and for whom.
    pub envelope: Envelope,
    /// Identifies it; the same on every attempt.
    pub message_id: String,
    /// The subject.
    pub subject: String,
    /// The HTML part.
    pub html: String,
    /// The text part.
    pub text: String,
    /// The whole as it goes over the wire.
    pub bytes: Vec<u8>,
}

/// Builds the mail.
///
/// A `message` replaces the subject by its title, and one or both parts by its body: `text/html` replaces the HTML and
/// leaves the built-in text beside it, anything else is the text of both.
///
/// # Errors
/// If an address cannot be read or there is none, or a header has a name that it cannot have.
pub fn build(fields: &Fields, notification: &Notification, message: Option<&Message>) -> Result<Mail, BuildError> {
    build_with_id(fields, notification, message, &[&notification.id, &notification.receiver])
}

/// The same under an id that follows from `id`.
fn build_with_id(
    fields: &Fields,
    notification: &Notification,
    message: Option<&Message>,
    id: &[&str],
) -> Result<Mail, BuildError> {
    let header =
        |name: &str| fields.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let from = mailboxes("from", &fields.from)?;
    let sender = from.iter().next().ok_or_else(|| BuildError::setting("from", "there is no address in it"))?.clone();
    let to = mailboxes("to", &fields.to)?;
    let recipients: Vec<_> = to.iter().map(|mailbox| mailbox.email.clone()).collect();
    let envelope = Envelope::new(Some(sender.email.clone()), recipients)
        .map_err(|_| BuildError::setting("to", "there is no address in it"))?;
    let domain = if fields.domain.is_empty() { sender.email.domain() } else { &fields.domain };
    let message_id = format!("<{}@{domain}>", short_hash(id));
    let root = thread_root(fields.thread, notification, domain);

    let title = message.map(|m| m.title.trim()).filter(|title| !title.is_empty());
    let subject = title.or_else(|| header("Subject")).map_or_else(|| view::title(notification), str::to_owned);
    let subject = ellipsis(&one_line(&subject), SUBJECT_CHARS_MAX, Unit::Chars).into_owned();
    let (html, text) = parts(fields, notification, message)?;

    let date = u64::try_from(notification.at.as_millis()).unwrap_or(0);
    let mut builder = lettre::Message::builder()
        .subject(subject.clone())
        .message_id(Some(message_id.clone()))
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(date))
        .envelope(envelope.clone());
    // The headers may show other addresses than those that get the mail, and `To` what is none, such as
    // `undisclosed-recipients:;`, as Alertmanager allows.
    let shown = header("From").and_then(|text| mailboxes("headers.From", text).ok());
    for mailbox in shown.unwrap_or(from) {
        builder = builder.from(mailbox);
    }
    match header("To").map(|text| (text, mailboxes("headers.To", text))) {
        Some((text, Err(_))) => builder = raw(builder, "To", &one_line(text))?,
        Some((_, Ok(shown))) => builder = to_all(builder, shown),
        None => builder = to_all(builder, to),
    }
    if header("References").is_none() && header("In-Reply-To").is_none() {
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    builder = raw(builder, "Auto-Submitted", "auto-generated")?;
    let mut own: Vec<&(String, String)> = fields.headers.iter().collect();
    own.retain(|(name, value)| {
        let set_above = ["Subject", "From", "To", "Message-Id", "Date", "Content-Type", "Mime-Version"];
        !value.is_empty() && !set_above.iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    for (name, value) in own {
        builder = raw(builder, name, &one_line(value))?;
    }
    // A boundary from the message itself: the same notification gives the same bytes, and no text contains it by chance.
    let boundary = short_hash(&["boundary", &notification.id, &html, &text]);
    let part = |kind: ContentType, body: &str| SinglePart::builder().header(kind).body(body.to_owned());
    let body = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(boundary)
        .singlepart(part(ContentType::TEXT_PLAIN, &text))
        .singlepart(part(ContentType::TEXT_HTML, &html));
    let whole = builder.multipart(body).map_err(|error| BuildError::setting("headers", error.to_string()))?;
    Ok(Mail { envelope, message_id, subject, bytes: whole.formatted(), html, text })
}

fn to_all(builder: MessageBuilder, mailboxes: Mailboxes) -> MessageBuilder {
    mailboxes.into_iter().fold(builder, MessageBuilder::to)
}

/// Builds a mail for each addressee alone. Each has an id of its own: a mailbox that gets the mails of two addressees
/// would take the second for the first come again.
///
/// # Errors
/// As for [`build`].
pub fn build_each(
    fields: &Fields,
    notification: &Notification,
    message: Option<&Message>,
) -> Result<Vec<Mail>, BuildError> {
    let all = mailboxes("to", &fields.to)?;
    let mails = all.iter().map(|mailbox| {
        let mut fields = Fields { to: mailbox.to_string(), ..fields.clone() };
        fields.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("To"));
        let address = mailbox.email.to_string();
        build_with_id(&fields, notification, message, &[&notification.id, &notification.receiver, &address])
    });
    mails.collect()
}

fn parts(
    fields: &Fields,
    notification: &Notification,
    message: Option<&Message>,
) -> Result<(String, String), BuildError> {
    let html_message = |m: &&Message| m.content_type.starts_with("text/html");
    let text_message = |m: &&Message| !m.content_type.starts_with("text/html");
    let html = match (message.filter(html_message), message.filter(text_message), &fields.html) {
        (Some(message), _, _) => message.body.clone(),
        (None, Some(message), _) => format!("<pre style=\"white-space:pre-wrap\">{}</pre>\n", escape(&message.body)),
        (None, None, Some(html)) => html.clone(),
        (None, None, None) => builtin::render("email.html", notification, ALERTS_SHOWN_MAX)?,
    };
    let text = match (message.filter(text_message), &fields.text) {
        (Some(message), _) => message.body.clone(),
        (None, Some(text)) => text.clone(),
        (None, None) => builtin::render("email.txt", notification, ALERTS_SHOWN_MAX)?,
    };
    Ok((html, text))
}

/// The message that a thread hangs on. It is never sent: every mail of the group refers to it, so that no mail has to be
/// remembered for the next one to find the thread.
fn thread_root(thread: Thread, notification: &Notification, domain: &str) -> String {
    let day = match thread {
        Thread::Group => String::new(),
        Thread::Daily => format!(".{}", notification.at.to_chrono().format("%Y-%m-%d")),
    };
    format!("<{}{day}@{domain}>", short_hash(&["thread", &notification.group_key, &notification.receiver]))
}

fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

fn mailboxes(field: &'static str, text: &str) -> Result<Mailboxes, BuildError> {
    // Go takes commas with nothing between them.
    let mut is_quoted = false;
    let parts = text.split(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    let parts: Vec<&str> = parts.map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join(", ").parse().map_err(|error| BuildError::setting(field, format!("{text:?}: {error}")))
}

fn raw(builder: MessageBuilder, name: &str, value: &str) -> Result<MessageBuilder, BuildError> {
    let usable = name.bytes().all(|byte| byte.is_ascii_graphic());
    let name = HeaderName::new_from_ascii(name.to_owned()).ok().filter(|_| usable);
    let name = name.ok_or_else(|| BuildError::setting("headers", "a name must be of visible ASCII characters"))?;
    Ok(builder.raw_header(HeaderValue::new(name, value.to_owned())))
}

/// Nothing in a header may start a new one.
fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::mailboxes;

    #[test]
    fn addressees_are_read_in_every_spelling_that_alertmanager_takes() {
        for (text, expected) in [
            ("a@example.org", "a@example.org"),
            ("<a@example.org>", "a@example.org"),
            ("a@example.org, b@example.org,", "a@example.org b@example.org"),
            ("a@example.org,, b@example.org", "a@example.org b@example.org"),
            ("A <a@example.org>,\n  b@example.org\n", "a@example.org b@example.org"),
            ("\"Doe, Jane\" <jane@example.org>", "jane@example.org"),
            ("Jürgen <j@example.org>", "j@example.org"),
        ] {
            let read = mailboxes("to", text).unwrap();
            let read: Vec<String> = read.iter().map(|mailbox| mailbox.email.to_string()).collect();
            assert_eq!(read.join(" "), expected, "{text}");
        }
    }
}
