//! Templates: Go's text/template with the functions of Prometheus and Alertmanager, and Handlebars with the same helpers.
//!
//! Rule files and notification templates in the wild use the whole of Go's language, so the whole of it is here
//! ([`go`]). [`prometheus`] expands the labels and annotations of rules, [`alertmanager`] renders notifications,
//! [`handlebars`] does so for Watchfire's own message templates. The crate is pure: time and queries are lent to it
//! through [`functions::Context`].

pub mod functions;
pub mod go;
mod time;
pub mod value;

pub mod alertmanager;
pub mod handlebars;
pub mod prometheus;

pub use time::{GoDuration, GoTime};
pub use value::Value;
