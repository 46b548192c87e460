from watchfire import Condition, Finding, Outcome, Severity, offer


@offer
class Reader(Condition):
    name = "reader"
    state_version = 3

    def evaluate(self, batch, state):
        offsets, times, values, bodies = batch.offsets(), batch.timestamps(), batch.values(), batch.event_bodies()
        outcome = Outcome()
        for series in range(len(batch.ids())):
            rows, last = offsets[series + 1] - offsets[series], offsets[series + 1] - 1
            labels, event = batch.labels(series), batch.event(last)
            summary = (
                f"{labels['user']} of {len(labels)} labels, {rows} rows up to {times[last]}, layout {state.version}; "
                f"{event.id} {event.kind} {event.body} from {event.fields.get('ip', 'nowhere')}, body {bodies[last]}"
            )
            outcome.findings.append(Finding(series, Severity.WARNING, values[last], summary))
        return outcome
