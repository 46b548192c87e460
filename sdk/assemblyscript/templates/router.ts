// Tells the receiver that a label names, with a prefix.

import { Alert, Decision, Router, offerRouter } from "./watchfire/watchfire";

class ByLabel extends Router {
  constructor(private label: string, private prefix: string) {
    super();
  }

  route(atMs: i64, alerts: Alert[]): Decision[] {
    const decisions: Decision[] = [];
    for (let i = 0; i < alerts.length; i++) {
      const labels = alerts[i].labels;
      // Where nothing is decided the route's own receiver is told.
      const decision = new Decision();
      if (labels.has("mute") && labels.get("mute") == "true") decision.suppress = "muted by its label";
      else if (labels.has(this.label)) decision.receivers.push(this.prefix + labels.get(this.label));
      decisions.push(decision);
    }
    return decisions;
  }
}

offerRouter(
  "by-label",
  "Tells the receiver that a label names.",
  '{"type": "object", "properties": {"label": {"type": "string"}, "prefix": {"type": "string"}}}',
  (config) => new ByLabel(config.text("label", "team"), config.text("prefix", "")),
);
