// Writes one line for each alert, for the receiver's channel or, with `url`, for a service of its own.

import { Formatter, Group, Message, Method, Target, badInput, offerFormatter } from "./watchfire/watchfire";

class Lines extends Formatter {
  constructor(private prefix: string, private url: string) {
    super();
  }

  format(group: Group): Message {
    let firing = 0;
    let body = "";
    for (let i = 0; i < group.alerts.length; i++) {
      const alert = group.alerts[i];
      if (alert.firing) firing++;
      body += `${alert.firing ? "FIRING" : "RESOLVED"} ${alert.name}: ${alert.summary}\n`;
    }
    const message = new Message(`${this.prefix}${firing} firing, ${group.alerts.length - firing} resolved`, body);
    if (this.url != "") {
      if (!group.secrets.has("token")) {
        badInput("the receiver's grant has no secret `token`");
        return message;
      }
      message.headers.set("Authorization", "Bearer " + group.secrets.get("token"));
      message.target = new Target(Method.Post, this.url);
    }
    return message;
  }
}

offerFormatter(
  "lines",
  "Writes one line for each alert.",
  '{"type": "object", "properties": {"prefix": {"type": "string"}, "url": {"type": "string"}}}',
  (config) => new Lines(config.text("prefix", ""), config.text("url", "")),
);
