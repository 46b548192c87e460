// js-threshold: fires while a series stays beyond a limit, with a separate limit to recover. The example of a
// condition in JavaScript; see README.md.
//
// The engine inside is QuickJS: no timers, no network, no console. Numbers come as packed bytes, because a typed array
// over them is read many times faster than a list of numbers.

import * as input from "watchfire:plugin/input@0.2.0";
import * as state from "watchfire:plugin/state@0.2.0";

import { open, judge } from "./threshold.js";

const rules = [];

export const plugin = {
  describe() {
    return [
      {
        kind: "condition",
        name: "threshold",
        summary: "Fires while the newest value of a series is beyond a limit, until it is back within another.",
        configSchema: JSON.stringify({
          type: "object",
          additionalProperties: false,
          properties: {
            above: { type: "number" },
            below: { type: "number" },
            recover: { type: "number" },
            severity: { enum: ["info", "warning", "error", "critical"] },
          },
        }),
        stateVersion: 1,
      },
    ];
  },
};

export const condition = {
  open(name, config) {
    rules.push(open(config));
    return rules.length - 1;
  },

  evaluate(handle) {
    const values = new Float64Array(aligned(input.latestLe()));
    const ids = () => new BigUint64Array(aligned(input.seriesIdsLe()));
    const remembered = state.get("active");
    const active = new Set(remembered ? new BigUint64Array(aligned(remembered)) : []);
    const outcome = judge(rules[handle], values, ids, active);
    state.set("active", new Uint8Array(BigUint64Array.from(outcome.active).buffer));
    return { findings: outcome.findings, unknown: outcome.unknown };
  },

  close(handle) {
    rules[handle] = undefined;
  },
};

// The bytes from the beginning of a buffer: a wider typed array must begin at a multiple of its width.
function aligned(bytes) {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? bytes.buffer : new Uint8Array(bytes).buffer;
}
