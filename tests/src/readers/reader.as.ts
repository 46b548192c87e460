import { Batch, Condition, Finding, Outcome, Severity, State, offerCondition } from "./watchfire/watchfire";

class Reader extends Condition {
  evaluate(batch: Batch, state: State): Outcome {
    const outcome = new Outcome();
    const ids = batch.ids();
    const offsets = batch.offsets();
    const times = batch.timestamps();
    const values = batch.values();
    for (let series = 0; series < ids.length; series++) {
      const last = offsets[series + 1] - 1;
      const labels = batch.labels(series);
      const summary =
        `${labels.get("user")} of ${labels.size} labels, ${last + 1 - offsets[series]} rows up to ${times[last]}` +
        `, layout ${state.version}`;
      outcome.findings.push(new Finding(series, Severity.Warning, values[last], summary));
    }
    return outcome;
  }
}

offerCondition("reader", "Reads all that there is.", "", (_config) => new Reader(), 3);
