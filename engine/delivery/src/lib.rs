//! Delivery: an alert group's notification becomes a message of a channel, and the message reaches its service.
//!
//! One pure request builder per channel ([`webhook`], [`pagerduty`], ...) turns a [`Notification`] into a [`Request`];
//! they read no clock and never answer with something that the service refuses for its size. One sender performs
//! requests and says what is to happen next. This crate does not decide when to tell whom, nor when to try again: that is
//! `alerting`, and what was sent is remembered by whoever calls.
//!
//! The same sender asks a [`Server`] whose answer is wanted, such as one that holds series: [`Prometheus`].

pub mod alertmanager;
mod builtin;
mod channel;
mod collector;
mod deliverer;
#[cfg(feature = "double")]
pub mod double;
pub mod email;
mod grant;
mod http;
mod integration;
mod mailed;
mod notification;
pub mod outcome;
pub mod pagerduty;
pub mod prometheus;
mod redact;
mod request;
mod server;
mod signature;
mod sigv4;
pub mod slack;
mod smtp;
mod templated;
pub mod text;
mod trend;
mod view;
pub mod webhook;
mod words;
mod yaml;

pub use alertmanager::Alertmanager;
pub use channel::{Channel, Sending};
pub use collector::Collector;
pub use deliverer::{Attempt, Deliverer, DeliveryRecord, Exchange, PreviewError, Problem, Settings};
pub use notification::{Notification, Topic, group_hash};
pub use prometheus::{Prometheus, PrometheusError};
pub use redact::Redactor;
pub(crate) use request::go_json;
pub use request::{BuildError, Method, Request};
pub use server::{Said, Server, ServerError};
pub use trend::{Trend, Trends};
pub use words::{NotificationTemplates, TemplateFiles};
