// Finds the series above a limit, and says for how many evaluations in a row there have been any.

import { InvalidConfig, offerCondition, type Finding } from "./watchfire/watchfire.js";

const offer = {
  name: "above",
  summary: "Finds the series above a limit.",
  schema: { type: "object", required: ["limit"], properties: { limit: { type: "number" } } },
};

offerCondition(offer, ({ limit }: { limit?: unknown }) => {
  if (typeof limit !== "number") throw new InvalidConfig("/limit", "must be a number");
  return {
    evaluate(batch, state) {
      const streak: number = (state.get("streak") ?? 0) + 1;
      const findings: Finding[] = [];
      const unknown: number[] = [];
      const values = batch.latest();
      for (let series = 0; series < values.length; series++) {
        const value = values[series];
        // What most series are comes first: it is what the loop costs.
        if (value <= limit) continue;
        if (Number.isNaN(value)) {
          unknown.push(series);
          continue;
        }
        // Labels are asked for where they are needed, not for every series.
        const summary = `${batch.label(series, "host") ?? ""} is above the limit, ${streak} in a row`;
        findings.push({ series, severity: "warning", value, summary });
      }
      state.set("streak", findings.length ? streak : 0);
      return { findings, unknown };
    },
  };
});
