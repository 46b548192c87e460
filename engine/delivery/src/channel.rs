//! Channels of an embedding program.

use std::pin::Pin;

use watchfire_alerting::DeliveryOutcome;

use crate::Notification;

/// The answer of a channel, when it comes.
pub type Sending<'a> = Pin<Box<dyn Future<Output = DeliveryOutcome> + Send + 'a>>;

/// A way to tell somebody that an embedding program brings along.
///
/// Told at least once: after a crash or a [`DeliveryOutcome::Retry`] the same notification comes again with the same
/// [`Notification::id`]. What [`DeliveryOutcome::Partly`] says is done comes with it, as [`Notification::done`].
///
/// ```
/// use watchfire_alerting::DeliveryOutcome;
/// use watchfire_delivery::{Channel, Notification, Sending};
///
/// struct Log;
///
/// impl Channel for Log {
///     fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a> {
///         Box::pin(async move {
///             println!("{} {}", notification.status().as_str(), notification.subject());
///             DeliveryOutcome::Delivered { receipt: "logged".to_owned() }
///         })
///     }
/// }
/// ```
pub trait Channel: Send + Sync {
    /// Tells once.
    fn send<'a>(&'a self, notification: &'a Notification) -> Sending<'a>;
}
