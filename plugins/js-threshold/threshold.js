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
 * within `recover`. `ids` gives the ids of all series; it is called only where one is needed, because a column that is
 * not read costs nothing.
 */
export function judge(rule, values, ids, active) {
  const { rising, limit, recover, severity } = rule;
  const findings = [];
  const unknown = [];
  const next = [];
  // Within this a series is fine whatever was before. NaN is within nothing.
  const within = active.size === 0 ? limit : recover;
  let column;
  for (let series = 0, count = values.length; series < count; series++) {
    const value = values[series];
    if (rising ? value <= within : value >= within) continue;
    column ??= ids();
    const id = column[series];
    const fired = active.has(id);
    const beyond = rising ? value > limit : value < limit;
    if (beyond || (fired && value === value)) {
      const summary = `${value} is ${rising ? "above" : "below"} ${beyond ? limit : recover}`;
      findings.push({ series, severity, value, summary });
      next.push(id);
    } else if (value !== value) {
      unknown.push(series);
      if (fired) next.push(id);
    }
  }
  return { findings, unknown, active: next };
}

function invalid(path, message) {
  return { tag: "invalid-config", val: { path, message } };
}
