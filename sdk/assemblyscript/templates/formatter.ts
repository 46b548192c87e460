// Writes one line for each alert.

import { Formatter, Group, Message, offerFormatter } from "./watchfire/watchfire";

class Lines extends Formatter {
  constructor(private prefix: string) {
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
    return new Message(`${this.prefix}${firing} firing, ${group.alerts.length - firing} resolved`, body);
  }
}

offerFormatter(
  "lines",
  "Writes one line for each alert.",
  '{"type": "object", "properties": {"prefix": {"type": "string"}}}',
  (config) => new Lines(config.text("prefix", "")),
);
