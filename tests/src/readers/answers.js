import { BadInput, InvalidConfig, log, offerFormatter, offerRouter } from "./watchfire/watchfire.js";
import { offerCondition as offer } from "./watchfire/watchfire.js";

const found = (other) => ({ findings: [{ series: 0, severity: "warning", value: 1, summary: "found", ...other }] });
const half = "half of \u{1f600}".slice(0, -1);

offer({ name: "answers" }, ({ answer }) => ({
  evaluate(batch, state) {
    const answers = {
      severity: () => found({ severity: "warn" }),
      summary: () => found({ summary: undefined }),
      series: () => found({ series: "a" }),
      negative: () => found({ series: -1 }),
      value: () => found({ value: "x" }),
      nothing: () => undefined,
      promise: async () => found(),
      number: () => 5,
      list: () => [],
      misspelt: () => ({ finding: [] }),
      unknown: () => ({ unknown: [NaN] }),
      half: () => found({ summary: half }),
      bytes: () => state.setBytes("a", "text"),
      undefined: () => state.set("a", undefined),
      label: () => batch.label("a", "b"),
      log: () => log("loud", "x"),
      invalid: () => {
        throw new InvalidConfig(undefined, 7);
      },
      bad: () => {
        throw new BadInput(half);
      },
      odd: () => {
        throw Object.create(null);
      },
    };
    return answers[answer]();
  },
}));

offerRouter({ name: "decisions" }, ({ answer }) => ({
  route(atMs, alerts) {
    const answers = {
      text: () => ({ receivers: "hook" }),
      number: () => ({ receivers: [7] }),
      suppress: () => ({ suppress: true }),
      misspelt: () => ({ receiver: "hook" }),
      nothing: () => undefined,
      set: () => ({ receivers: new Set(["hook"]) }),
    };
    return alerts.map(() => answers[answer]());
  },
}));

offerFormatter({ name: "messages" }, ({ answer }) => ({
  format() {
    const answers = {
      body: () => ({ body: { text: "a" } }),
      nobody: () => ({ title: "a" }),
      header: () => ({ body: "", headers: { "X-Count": 1 } }),
      headers: () => ({ body: "", headers: "X-Count: 1" }),
      method: () => ({ body: "", target: { method: "POST", url: "https://desk.example" } }),
      address: () => ({ body: "", target: {} }),
      promise: async () => ({ body: "" }),
      half: () => ({ title: half, body: half }),
    };
    return answers[answer]();
  },
}));
