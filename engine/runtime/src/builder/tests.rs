//! What an embedding program adds.

use std::sync::Arc;

use watchfire_alerting::DeliveryOutcome;
use watchfire_config::{FixedEnvironment, Source, load_config};
use watchfire_delivery::{Channel, Notification, Sending};

use crate::Watchfire;

struct Silent;

impl Channel for Silent {
    fn send<'a>(&'a self, _: &'a Notification) -> Sending<'a> {
        Box::pin(async { DeliveryOutcome::Delivered { receipt: String::new() } })
    }
}

#[tokio::test]
async fn a_channel_for_a_receiver_that_is_not_there_is_told() {
    let text = "route: {receiver: oncall}\nreceivers: [{name: oncall}, {name: office}]\n";
    let (config, diagnostics) = load_config(Source { name: "c", text }, &FixedEnvironment::default());
    let config = config.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let folder = tempfile::tempdir().unwrap();
    let engine = Watchfire::builder()
        .config(config, Vec::new())
        .data_dir(folder.path())
        .channel("oncall", Arc::new(Silent))
        .channel("on-call", Arc::new(Silent))
        .start()
        .await
        .unwrap();
    let told: Vec<String> =
        engine.definitions().diagnostics.iter().map(|diagnostic| diagnostic.message.clone()).collect();
    assert_eq!(
        told,
        [
            r#"this program has a channel for the receiver "on-call", which the configuration does not have, so that nothing goes there; its receivers: oncall, office"#
        ]
    );
    engine.shutdown().await;
}
