// Tells the receiver that a label names, with a prefix.

import { InvalidConfig, offerRouter, type Decision } from "./watchfire/watchfire.js";

const text = { type: "string" };
const offer = {
  name: "by-label",
  summary: "Tells the receiver that a label names.",
  schema: { type: "object", properties: { label: text, prefix: text } },
};

offerRouter(offer, ({ label = "team", prefix = "" }: { label?: string; prefix?: string }) => {
  for (const [name, value] of Object.entries({ label, prefix })) {
    if (typeof value !== "string") throw new InvalidConfig(`/${name}`, "must be a text");
  }
  const decide = (labels: Record<string, string>): Decision => {
    if (labels.mute === "true") return { suppress: "muted by its label" };
    if (label in labels) return { receivers: [prefix + labels[label]] };
    // The route's own receiver is told.
    return {};
  };
  return { route: (_atMs, alerts) => alerts.map((alert) => decide(alert.labels)) };
});
