// Writes one line for each alert.

import { InvalidConfig, offerFormatter } from "./watchfire/watchfire.js";

const offer = {
  name: "lines",
  summary: "Writes one line for each alert.",
  schema: { type: "object", properties: { prefix: { type: "string" } } },
};

offerFormatter(offer, ({ prefix = "" }) => {
  if (typeof prefix !== "string") throw new InvalidConfig("/prefix", "must be a text");
  return {
    format({ alerts }) {
      const firing = alerts.filter((alert) => alert.firing).length;
      const line = ({ firing, name, summary }) => `${firing ? "FIRING" : "RESOLVED"} ${name}: ${summary}\n`;
      return {
        title: `${prefix}${firing} firing, ${alerts.length - firing} resolved`,
        body: alerts.map(line).join(""),
      };
    },
  };
});
