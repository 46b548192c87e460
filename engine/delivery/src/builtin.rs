//! The shipped Handlebars templates.

use std::sync::LazyLock;

use watchfire_template::handlebars::{Escaping, Messages};

use crate::{BuildError, Notification, view};

/// Name, text, and how values are written into it.
const TEMPLATES: [(&str, &str, Escaping); 2] = [
    ("email.html", include_str!("../templates/email.html.hbs"), Escaping::Html),
    ("email.txt", include_str!("../templates/email.txt.hbs"), Escaping::None),
];

/// Parsed once, because every mail uses them.
static PARSED: LazyLock<Vec<(&str, Messages)>> = LazyLock::new(|| {
    let parse = |(name, text, escaping): (&'static str, &str, Escaping)| {
        let mut messages = Messages::new(escaping);
        let added = messages.add(name, text);
        debug_assert_eq!(added, Ok(()), "the shipped templates are templates");
        (name, messages)
    };
    TEMPLATES.into_iter().map(parse).collect()
});

/// Renders the shipped template `name`, showing at most so many alerts one by one.
///
/// # Errors
/// If the template is not one that is shipped, or cannot be rendered.
pub(crate) fn render(name: &str, notification: &Notification, alerts_max: usize) -> Result<String, BuildError> {
    let error = |message: String| BuildError::Template { field: name.to_owned(), message };
    let known = PARSED.iter().find(|(known, _)| *known == name);
    let (_, messages) = known.ok_or_else(|| error("is not shipped".to_owned()))?;
    let (data, extra) = (view::data(notification), view::extra(notification, alerts_max));
    messages.render(name, &data, &extra, notification.at).map_err(|e| error(e.to_string()))
}
