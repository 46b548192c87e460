//! Delivery: an alert group's notification becomes a message of a channel, and the message reaches its service.
//!
//! One pure request builder per channel ([`webhook`], [`pagerduty`], ...) turns a [`Notification`] into a [`Request`];
//! they read no clock and never answer with something that the service refuses for its size. One sender performs
//! requests and says what is to happen next. This crate does not decide when to tell whom, nor when to try again: that is
//! `alerting`, and what was sent is remembered by whoever calls.

mod builtin;
pub mod email;
mod notification;
pub mod pagerduty;
mod request;
pub mod slack;
pub mod text;
pub mod view;
pub mod webhook;

pub use notification::{Notification, Topic};
pub use request::{BuildError, Method, Request, go_json};
