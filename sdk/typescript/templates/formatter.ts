// Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own.

import { BadInput, InvalidConfig, offerFormatter, type Alert } from "./watchfire/watchfire.js";

const offer = {
  name: "lines",
  summary: "Writes one line for each alert.",
  schema: { type: "object", properties: { prefix: { type: "string" }, url: { type: "string" } } },
};

const line = ({ firing, name, summary }: Alert) => `${firing ? "FIRING" : "RESOLVED"} ${name}: ${summary}\n`;

offerFormatter(offer, ({ prefix = "", url = "" }: { prefix?: string; url?: string }) => {
  for (const [name, value] of Object.entries({ prefix, url })) {
    if (typeof value !== "string") throw new InvalidConfig(`/${name}`, "must be a text");
  }
  return {
    format({ alerts, secrets }) {
      const firing = alerts.filter((alert) => alert.firing).length;
      const message = {
        title: `${prefix}${firing} firing, ${alerts.length - firing} resolved`,
        body: alerts.map(line).join(""),
      };
      if (!url) return message;
      if (!secrets.token) throw new BadInput("the receiver's grant has no secret `token`");
      return { ...message, headers: { Authorization: `Bearer ${secrets.token}` }, target: { url } };
    },
  };
});
