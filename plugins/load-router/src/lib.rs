//! `load-router`: shares alerts out among receivers by their weights, and sends a storm elsewhere.
//!
//! Who gets what follows from the alert alone, so that its end goes where its beginning went, and a receiver that comes
//! or goes moves only its own share: weighted rendezvous hashing (D. Thaler, C. Ravishankar, "Using name-based mappings to
//! increase hit rates", 1998; C. Schindelhauer, G. Schomaker, "Weighted distributed hash tables", 2005).

use std::collections::BTreeMap;

use serde::Deserialize;
use watchfire_sdk::{Alert, Decision, Descriptor, Error, Router};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The receivers and how much each takes beside the others.
    pub receivers: BTreeMap<String, f64>,
    /// Alerts with the same values of these labels go to the same receiver; without any each alert goes on its own.
    #[serde(default)]
    pub together: Vec<String>,
    /// More firing alerts than this in one decision are a storm.
    pub storm: Option<usize>,
    /// Who gets a storm; needed with `storm`.
    pub storm_receiver: Option<String>,
}

/// The router, opened for one route.
#[derive(Debug)]
pub struct LoadRouter(Config);

impl Router for LoadRouter {
    type Config = Config;
    const DESCRIPTOR: Descriptor =
        Descriptor::new("Shares alerts out among receivers by their weights, and sends a storm elsewhere.");

    fn open(config: Config) -> Result<LoadRouter, Error> {
        if config.receivers.is_empty() {
            return Err(Error::config("/receivers", "name at least one receiver and its weight"));
        }
        if let Some((name, weight)) =
            config.receivers.iter().find(|(_, weight)| !(**weight > 0.0 && weight.is_finite()))
        {
            return Err(Error::config(format!("/receivers/{name}"), format!("must be above 0, is {weight}")));
        }
        if config.storm.is_some() != config.storm_receiver.is_some() {
            return Err(Error::config("/storm", "needs `storm_receiver`, and that needs `storm`"));
        }
        Ok(LoadRouter(config))
    }

    fn decide(&mut self, _: i64, alert: &Alert) -> Result<Decision, Error> {
        Ok(Decision::to(self.receiver(alert)))
    }

    fn route(&mut self, _: i64, alerts: &[Alert]) -> Result<Vec<Decision>, Error> {
        let firing = alerts.iter().filter(|alert| alert.firing).count();
        Ok(match (self.0.storm, &self.0.storm_receiver) {
            (Some(storm), Some(receiver)) if firing > storm => {
                let all = Decision { group_key: Some("storm".to_owned()), ..Decision::to(receiver) };
                alerts.iter().map(|_| all.clone()).collect()
            }
            _ => alerts.iter().map(|alert| Decision::to(self.receiver(alert))).collect(),
        })
    }
}

impl LoadRouter {
    fn receiver(&self, alert: &Alert) -> &str {
        let values = self.0.together.iter().map(|label| alert.label(label).unwrap_or_default());
        let key: Vec<&str> = if self.0.together.is_empty() { vec![&alert.fingerprint] } else { values.collect() };
        let score = |name: &str, weight: f64| -weight / uniform(name, &key).ln();
        let best = self.0.receivers.iter().max_by(|a, b| score(a.0, *a.1).total_cmp(&score(b.0, *b.1)));
        best.map_or("", |(name, _)| name)
    }
}

/// A number between 0 and 1, without either, that a receiver draws for a key: FNV-1a, mixed by SplitMix64's finalizer.
fn uniform(receiver: &str, key: &[&str]) -> f64 {
    let parts = [receiver].into_iter().chain(key.iter().copied());
    let bytes = parts.flat_map(|part| part.bytes().chain([0xff]));
    let mut z =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

watchfire_sdk::export! { router: "load-router" => LoadRouter }

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_sdk::testing::{alert, open_router};

    fn shares(config: &str) -> BTreeMap<String, usize> {
        let mut router: LoadRouter = open_router(config).unwrap();
        let mut shares = BTreeMap::new();
        for number in 0..10_000 {
            let alert = alert(&[("instance", &number.to_string())], 0);
            *shares.entry(router.decide(0, &alert).unwrap().receivers.remove(0)).or_insert(0) += 1;
        }
        shares
    }

    #[test]
    fn shares_follow_the_weights() {
        let shares = shares(r#"{"receivers": {"a": 1, "b": 1, "c": 2}}"#);
        for (receiver, expected) in [("a", 2_500_usize), ("b", 2_500), ("c", 5_000)] {
            // Three standard deviations of a binomial share are 130 to 150.
            assert!(shares[receiver].abs_diff(expected) < 150, "{shares:?}");
        }
    }

    #[test]
    fn a_receiver_that_comes_takes_only_its_own_share() {
        let mut before: LoadRouter = open_router(r#"{"receivers": {"a": 1, "b": 1}}"#).unwrap();
        let mut after: LoadRouter = open_router(r#"{"receivers": {"a": 1, "b": 1, "c": 1}}"#).unwrap();
        for number in 0..1_000 {
            let alert = alert(&[("instance", &number.to_string())], 0);
            let (old, new) = (before.decide(0, &alert).unwrap(), after.decide(0, &alert).unwrap());
            assert!(new == old || new == Decision::to("c"), "{old:?} {new:?}");
        }
    }

    #[test]
    fn what_belongs_together_stays_together_and_a_storm_goes_elsewhere() {
        let config = r#"{"receivers": {"a": 1, "b": 1}, "together": ["service"], "storm": 3, "storm_receiver": "all"}"#;
        let mut router: LoadRouter = open_router(config).unwrap();
        let alerts: Vec<Alert> =
            (0..4).map(|number| alert(&[("service", "x"), ("instance", &number.to_string())], 0)).collect();
        let calm = router.route(0, &alerts[..3]).unwrap();
        assert!(calm.iter().all(|decision| *decision == calm[0]), "{calm:?}");
        let storm = router.route(0, &alerts).unwrap();
        assert!(
            storm.iter().all(|decision| decision.receivers == ["all"] && decision.group_key.is_some()),
            "{storm:?}"
        );
        let resolved = Alert { firing: false, ..alerts[3].clone() };
        assert_eq!(router.route(0, &[&alerts[..3], &[resolved]].concat()).unwrap()[..3], calm);
    }
}
