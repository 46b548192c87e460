use watchfire_sdk::{Condition, Descriptor, Error, Finding, Input, Outcome, Severity, State};

pub struct Reader;

impl Condition for Reader {
    type Config = serde::de::IgnoredAny;
    const DESCRIPTOR: Descriptor = Descriptor::new("Reads all that there is.").with_state_version(3);

    fn open(_: serde::de::IgnoredAny) -> Result<Reader, Error> {
        Ok(Reader)
    }

    fn evaluate(&mut self, input: &Input, state: &mut State) -> Result<Outcome, Error> {
        let (offsets, times, values) = (input.offsets(), input.timestamps(), input.values());
        let bodies = input.event_bodies();
        let mut outcome = Outcome::default();
        for series in 0..input.series_ids().len() {
            let (rows, last) = (offsets[series + 1] - offsets[series], offsets[series + 1] as usize - 1);
            let labels = input.labels(series as u32);
            let find = |pairs: &[(String, String)], name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
            let user = find(&labels, "user").unwrap_or_default();
            let event = input.event_at(last as u32).ok_or_else(|| Error::BadInput("there is no event".to_owned()))?;
            let ip = find(&event.fields, "ip").unwrap_or_else(|| "nowhere".to_owned());
            let summary = format!(
                "{user} of {} labels, {rows} rows up to {}, layout {}; {} {} {} from {ip}, body {}",
                labels.len(), times[last], state.version(), event.id, event.kind, event.body, bodies[last],
            );
            outcome.findings.push(Finding { series: series as u32, severity: Severity::Warning, value: values[last], summary });
        }
        Ok(outcome)
    }
}

watchfire_sdk::export! { condition: "reader" => Reader }
