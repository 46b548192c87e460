// The decision, free of the host, so that `node --test` can try it.

const SEVERITIES = ["info", "warning", "error", "critical"];

/** Reads the configuration; throws what the contract calls a plugin error. */
export function open(text) {
  const config = JSON.parse(text);
  const known = ["above", "below", "recover", "severity"];
  for (const key of Object.keys(config)) {
    if (!known.includes(key)) throw invalid(`/${key}`, `unknown field; use ${known.join(", ")}`);
  }
  for (const key of ["above", "below", "recover"]) {
    if (key in config && typeof config[key] !== "number") throw invalid(`/${key}`, "must be a number");
  }
  const { above, below, severity = "warning" } = config;
  if ((above === undefined) === (below === undefined)) throw invalid("", "give either `above` or `below`");
  if (!SEVERITIES.includes(severity)) throw invalid("/severity", `must be one of ${SEVERITIES.join(", ")}`);
  const rising = above !== undefined;
  const limit = rising ? above : below;
  const recover = config.recover ?? limit;
  if (rising ? recover > limit : recover < limit) {
    throw invalid("/recover", `must not be ${rising ? "above" : "below"} the limit ${limit}`);
  }
  return { rising, limit, recover, severity };
}

/**
 * Judges the newest values. `active` holds the ids of the series that fired last time: they fire until they are back
 * within `recover`.
 */
export function judge(rule, values, ids, active) {
  const { rising, limit, recover, severity } = rule;
  const findings = [];
  const unknown = [];
  const next = [];
  const quiet = active.size === 0;
  for (let series = 0; series < values.length; series++) {
    const value = values[series];
    const beyond = rising ? value > limit : value < limit;
    if (!beyond) {
      // NaN is beyond nothing; the two rare cases are told apart only here.
      if (value === value && (quiet || !(rising ? value > recover : value < recover))) continue;
      const fired = !quiet && active.has(ids[series]);
      if (value !== value) {
        unknown.push(series);
        if (fired) next.push(ids[series]);
        continue;
      }
      if (!fired) continue;
    }
    next.push(ids[series]);
    const summary = `${value} is ${rising ? "above" : "below"} ${beyond ? limit : recover}`;
    findings.push({ series, severity, value, summary });
  }
  return { findings, unknown, active: next };
}

function invalid(path, message) {
  return { tag: "invalid-config", val: { path, message } };
}
