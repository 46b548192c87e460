import { offerCondition, type Event, type Finding } from "./watchfire/watchfire.js";

offerCondition({ name: "reader", stateVersion: 3 }, () => ({
  evaluate(batch, state) {
    const [offsets, times, values, bodies] = [batch.offsets(), batch.timestamps(), batch.values(), batch.eventBodies()];
    const findings = Array.from(batch.ids(), (_, series): Finding => {
      const last: number = offsets[series + 1] - 1;
      const labels: Record<string, string> = batch.labels(series);
      const event = batch.event(last) as Event;
      const rows = `${labels.user} of ${Object.keys(labels).length} labels, ${last + 1 - offsets[series]} rows`;
      const read = `${event.id} ${event.kind} ${event.body} from ${event.fields.ip ?? "nowhere"}, body ${bodies[last]}`;
      const summary = `${rows} up to ${times[last]}, layout ${state.version}; ${read}`;
      return { series, severity: "warning", value: values[last], summary };
    });
    return { findings };
  },
}));
