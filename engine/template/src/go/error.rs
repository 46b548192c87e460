//! How templates fail.

use thiserror::Error;

/// Why a template could not be parsed or executed. Its text is Go's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct TemplateError {
    /// The line, from 1; 0 if there is none.
    pub line: usize,
    /// Bytes before the place on its line. The text of a parse error names the line only, as Go's does.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
    text: String,
}

impl TemplateError {
    pub(super) fn parse(name: &str, position: (usize, usize), message: String) -> TemplateError {
        let (line, column) = position;
        let text = format!("template: {name}:{line}: {message}");
        TemplateError { line, column, message, text }
    }

    pub(super) fn missing(name: &str) -> TemplateError {
        let message = format!("template: no template {} associated", super::quote::quote(name, false));
        TemplateError { line: 0, column: 0, text: message.clone(), message }
    }

    pub(super) fn execution(source: &str, name: &str, position: (usize, usize), at: &str, message: String) -> Self {
        let (line, column) = position;
        let name = super::quote::quote(name, false);
        let text = format!("template: {source}:{line}:{column}: executing {name} at <{at}>: {message}");
        TemplateError { line, column, message, text }
    }
}
