//! Runs instant evals again with what earlier ones have left behind.

use std::collections::VecDeque;
use std::sync::Arc;

use watchfire_promql::{Features, Options, Plan, Tracked, Windows, parse_with};
use watchfire_tsdb::Tsdb;

use super::{Eval, When};

/// So many of the last expressions are evaluated again at the time of each eval.
const REPLAYED: usize = 16;

/// The last expressions of a script over one store.
#[derive(Default)]
pub(super) struct Replay {
    plans: VecDeque<(Plan, Tracked)>,
    windows: Arc<Windows>,
}

impl Replay {
    /// Whether this expression, and those before it, give the same at this time as if nothing had been kept.
    pub(super) fn evaluate(&mut self, db: &Tsdb, eval: &Eval) -> Result<(), String> {
        let When::Instant(at) = eval.when else { return Ok(()) };
        // What is wrong with the text is another test's matter.
        let Ok(expr) = parse_with(&eval.expr, Features::ALL) else { return Ok(()) };
        let options = Options { samples_max: 0, ..Options::default() };
        self.plans.push_back((Plan::new(&expr, &options), Tracked::sharing(&self.windows)));
        if self.plans.len() > REPLAYED {
            self.plans.pop_front();
        }
        for (plan, tracked) in &mut self.plans {
            let expected = format!("{:?}", plan.instant(db, at, &|| None));
            let found = format!("{:?}", plan.instant_tracked(db, tracked, at, &|| None));
            if found != expected {
                let (expr, at) = (plan.expr(), at.as_millis());
                return Err(format!("{expr} at {at}: tracked series give {found}\n      instead of {expected}"));
            }
        }
        Ok(())
    }
}
