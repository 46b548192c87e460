import assert from "node:assert/strict";
import { test } from "node:test";

import { judge, open } from "./threshold.js";

const run = (rule, values, active = new Set()) =>
  judge(rule, Float64Array.from(values), () => BigUint64Array.from(values.map((_, i) => BigInt(i))), active);

test("a series fires beyond the limit and until it is back within recover", () => {
  const rule = open('{"above": 10, "recover": 8}');
  let active = new Set();
  for (const [value, fires] of [[10, false], [11, true], [9, true], [8, false], [9, false]]) {
    const outcome = run(rule, [value], active);
    assert.equal(outcome.findings.length, fires ? 1 : 0, `${value}`);
    active = new Set(outcome.active);
  }
});

test("below works the other way round", () => {
  const rule = open('{"below": 1, "recover": 2, "severity": "critical"}');
  const outcome = run(rule, [0.5, 1, 3], new Set([1n]));
  assert.deepEqual(outcome.findings.map(({ series, severity, summary }) => [series, severity, summary]), [
    [0, "critical", "0.5 is below 1"],
    [1, "critical", "1 is below 2"],
  ]);
});

test("no number is unknown, and what fired is remembered", () => {
  const outcome = run(open('{"above": 1}'), [NaN, NaN, 0], new Set([1n]));
  assert.deepEqual(outcome, { findings: [], unknown: [0, 1], active: [1n] });
});

test("mistakes are told with their place", () => {
  for (const [config, path] of [
    ["{}", ""],
    ['{"above": 1, "below": 2}', ""],
    ['{"above": "x"}', "/above"],
    ['{"abov": 1}', "/abov"],
    ['{"above": 1, "recover": 2}', "/recover"],
    ['{"above": 1, "severity": "bad"}', "/severity"],
  ]) {
    assert.throws(() => open(config), (error) => error.tag === "invalid-config" && error.val.path === path, config);
  }
});
