//! The shipped Handlebars templates.

use handlebars::Handlebars;
use serde_json::Value;

use crate::BuildError;

/// Name, text, and whether values are escaped as HTML.
const TEMPLATES: [(&str, &str, bool); 2] = [
    ("email.html", include_str!("../templates/email.html.hbs"), true),
    ("email.txt", include_str!("../templates/email.txt.hbs"), false),
];

/// Renders the shipped template `name`.
///
/// # Errors
/// If the template is not one that is shipped, or cannot be rendered.
pub(crate) fn render(name: &str, data: &Value) -> Result<String, BuildError> {
    let error = |message: String| BuildError::Template { field: name.to_owned(), message };
    let known = TEMPLATES.iter().find(|(known, ..)| *known == name);
    let (_, text, html) = known.ok_or_else(|| error("is not shipped".to_owned()))?;
    let mut engine = Handlebars::new();
    if !html {
        engine.register_escape_fn(handlebars::no_escape);
    }
    engine.render_template(text, data).map_err(|e| error(e.to_string()))
}
