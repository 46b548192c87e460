// Finds the series above a limit, and says for how many evaluations in a row there have been any.

import { Batch, Condition, Finding, Outcome, Severity, State, offerCondition } from "./watchfire/watchfire";

class Above extends Condition {
  constructor(private limit: f64) {
    super();
  }

  evaluate(batch: Batch, state: State): Outcome {
    const before = state.getText("streak");
    const streak = before == null ? 1 : I32.parseInt(before) + 1;
    const outcome = new Outcome();
    const values = batch.latest();
    for (let series = 0; series < values.length; series++) {
      const value = values[series];
      if (isNaN(value)) outcome.unknown.push(series);
      else if (value > this.limit) {
        // Labels are asked for where they are needed, not for every series.
        const host = batch.label(series, "host");
        const summary = `${host == null ? "" : host} is above the limit, ${streak} in a row`;
        outcome.findings.push(new Finding(series, Severity.Warning, value, summary));
      }
    }
    state.setText("streak", outcome.findings.length > 0 ? streak.toString() : "0");
    return outcome;
  }
}

offerCondition(
  "above",
  "Finds the series above a limit.",
  '{"type": "object", "required": ["limit"], "properties": {"limit": {"type": "number"}}}',
  (config) => new Above(config.number("limit")),
);
