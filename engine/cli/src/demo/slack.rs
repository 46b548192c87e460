//! Slack messages as HTML: Block Kit blocks, classic attachments, and the text format mrkdwn.

use serde_json::Value;

/// The blocks of a message as safe HTML; empty if there are none.
pub(crate) fn blocks(blocks: &Value) -> String {
    blocks.as_array().into_iter().flatten().map(block).collect()
}

fn block(block: &Value) -> String {
    match block["type"].as_str().unwrap_or_default() {
        "header" => format!("<h4>{}</h4>", text(&block["text"])),
        "section" => {
            let fields: String = block["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|field| format!("<div>{}</div>", text(field)))
                .collect();
            let fields = if fields.is_empty() { fields } else { format!("<div class=\"fields\">{fields}</div>") };
            format!("<p>{}</p>{fields}", text(&block["text"]))
        }
        "context" => {
            let elements = block["elements"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
            format!("<p class=\"context\">{}</p>", elements.join(" "))
        }
        "divider" => "<hr>".to_owned(),
        "actions" => {
            let buttons: String = block["elements"].as_array().into_iter().flatten().map(button).collect();
            format!("<p class=\"actions\">{buttons}</p>")
        }
        _ => String::new(),
    }
}

/// A button; one with an address leads there, one that would ask Slack's servers does nothing here.
fn button(button: &Value) -> String {
    let label = text(&button["text"]);
    match button["url"].as_str().filter(|url| is_link(url)) {
        Some(url) => format!("<a class=\"button\" href=\"{}\">{label}</a>", escape(url)),
        None => format!("<span class=\"button\">{label}</span>"),
    }
}

/// Whether following an address only opens a page.
fn is_link(address: &str) -> bool {
    address.starts_with("http://") || address.starts_with("https://")
}

/// A classic attachment as safe HTML.
pub(crate) fn attachment(attachment: &Value) -> String {
    let nested = blocks(&attachment["blocks"]);
    if !nested.is_empty() {
        return nested;
    }
    let part = |name: &str| mrkdwn(attachment[name].as_str().unwrap_or_default());
    let fields: String = attachment["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|field| {
            let part = |name: &str| mrkdwn(field[name].as_str().unwrap_or_default());
            format!("<div><b>{}</b><br>{}</div>", part("title"), part("value"))
        })
        .collect();
    format!("<h4>{}</h4><p>{}</p><div class=\"fields\">{fields}</div>", part("title"), part("text"))
}

fn text(object: &Value) -> String {
    let text = object["text"].as_str().unwrap_or_default();
    if object["type"] == "plain_text" { escape(text) } else { mrkdwn(text) }
}

/// Escapes what HTML would read as markup; Slack has escaped `&`, `<` and `>` already, so that only quotes are left.
fn escape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\n', "<br>")
}

/// Stands for a link while the marks around it are read; not a character that text has.
const LINK: char = '\u{e000}';

/// Slack's text format as safe HTML: `*bold*`, `_italic_`, code, links, dates, line feeds.
pub(crate) fn mrkdwn(text: &str) -> String {
    let mut plain = String::new();
    let mut links = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let Some(length) = rest[start..].find('>') else { break };
        plain.push_str(&rest[..start]);
        let inner = &rest[start + 1..start + length];
        let (target, shown) = inner.split_once('|').unwrap_or((inner, inner));
        links.push(if is_link(target) {
            format!("<a href=\"{}\">{}</a>", escape(target), escape(shown))
        } else {
            // Dates and mentions: what stands behind the bar is meant for readers who cannot resolve them.
            escape(shown)
        });
        plain.push(LINK);
        rest = &rest[start + length + 1..];
    }
    plain.push_str(rest);
    let mut links = links.into_iter();
    let mut html = String::new();
    for (index, part) in styled(&plain).split(LINK).enumerate() {
        if index > 0 {
            html.push_str(&links.next().unwrap_or_default());
        }
        html.push_str(part);
    }
    html
}

/// Pairs of marks around a part of one line become elements.
fn styled(text: &str) -> String {
    let mut html = escape(text);
    for (mark, element) in [('`', "code"), ('*', "b"), ('_', "i")] {
        let mut out = String::with_capacity(html.len());
        let mut rest = html.as_str();
        while let Some(start) = rest.find(mark) {
            let after = &rest[start + 1..];
            let opens = !rest[..start].ends_with(|c: char| c.is_alphanumeric() || c == '/');
            let end = after.find(mark).filter(|end| {
                let closes = !after[end + 1..].starts_with(|c: char| c.is_alphanumeric());
                opens && closes && *end > 0 && !after[..*end].contains("<br>")
            });
            match end {
                Some(end) => {
                    out.push_str(&format!("{}<{element}>{}</{element}>", &rest[..start], &after[..end]));
                    rest = &after[end + 1..];
                }
                None => {
                    out.push_str(&rest[..=start]);
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        html = out;
    }
    html
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn buttons_lead_to_pages_only() {
        let button = |url: &str| json!({"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": url});
        let shown = |url: &str| blocks(&json!([{"type": "actions", "elements": [button(url)]}]));
        let link = "<p class=\"actions\"><a class=\"button\" href=\"https://a.example/?q=&quot;\">Open</a></p>";
        assert_eq!(shown("https://a.example/?q=\""), link);
        assert_eq!(shown("javascript:alert(1)"), "<p class=\"actions\"><span class=\"button\">Open</span></p>");
    }

    #[test]
    fn marks_links_and_hostile_text() {
        for (text, html) in [
            ("*down* on `web_1_a`", "<b>down</b> on <code>web_1_a</code>"),
            ("snake_case_name stays", "snake_case_name stays"),
            ("<https://a.example/?q=1|see>", "<a href=\"https://a.example/?q=1\">see</a>"),
            ("*<https://a.example|see>* <!date^1^{date}|today>", "<b><a href=\"https://a.example\">see</a></b> today"),
            ("<javascript:alert(1)|x>", "x"),
            ("a &lt;b&gt; \"c\"\nd", "a &lt;b&gt; &quot;c&quot;<br>d"),
            ("2 *3", "2 *3"),
        ] {
            assert_eq!(mrkdwn(text), html);
        }
    }
}
