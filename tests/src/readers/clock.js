import { offerCondition } from "./watchfire/watchfire.js";

offerCondition({ name: "clock" }, () => ({
  evaluate(batch, state) {
    const drawn = [Math.random(), Math.random()];
    if (drawn.some((number) => !(number >= 0 && number < 1)) || drawn[0] === drawn[1]) throw new Error(`${drawn}`);
    const before = state.get("drawn");
    state.set("drawn", drawn);
    const repeats = !before ? "none before" : `${before}` === `${drawn}` ? "the same" : "others";
    return { findings: [{ series: 0, severity: "warning", value: drawn[0], summary: `at ${Date.now()}, ${repeats}` }] };
  },
}));
