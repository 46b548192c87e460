// The component's exports: hands every call to what the plugin offers. The build starts here.

import "../plugin.js";
import { Opened, batch, describe, list, members, number, optional, refuse, state, text, word } from "./watchfire.js";

export const plugin = { describe };

const conditions = new Opened("condition");
const routers = new Opened("router");
const formatters = new Opened("formatter");

const severities = ["info", "warning", "error", "critical"];

const finding = ({ series, severity, value, summary }) => ({
  series: number("series of a finding", series),
  severity: word("severity of a finding", severities, severity),
  value: typeof value === "number" ? value : refuse("value of a finding", "a number", value),
  summary: text("summary of a finding", summary),
});

const outcomes = ["findings", "unknown"];
const unsaid = (series) => number("series in unknown", series);

const outcome = (answer) => {
  const { findings = [], unknown = [] } = members("what evaluate returns", outcomes, answer);
  return { findings: list("findings", findings, finding), unknown: new Uint32Array(list("unknown", unknown, unsaid)) };
};

export const condition = {
  open: (name, config) => conditions.open(name, config),
  close: (handle) => conditions.close(handle),
  evaluate: (handle) => conditions.call(handle, () => batch.atMs, (opened) => outcome(opened.evaluate(batch, state))),
};

const alert = (given) => ({
  ...given,
  startsMs: Number(given.startsMs),
  endsMs: given.endsMs === null || given.endsMs === undefined ? undefined : Number(given.endsMs),
  value: given.value ?? undefined,
  labels: Object.fromEntries(given.labels),
  annotations: Object.fromEntries(given.annotations),
});

const decision = (answer) => {
  const what = "what route returns for an alert";
  const { receivers, suppress, groupKey } = members(what, ["receivers", "suppress", "groupKey"], answer);
  return {
    receivers: list("receivers", receivers ?? [], (name) => text("a name in receivers", name)),
    suppress: optional("suppress", suppress),
    groupKey: optional("groupKey", groupKey),
  };
};

export const router = {
  open: (name, config) => routers.open(name, config),
  close: (handle) => routers.close(handle),
  route: (handle, atMs, alerts) =>
    routers.call(handle, () => atMs, (opened) =>
      list("what route returns", opened.route(Number(atMs), alerts.map(alert)), decision),
    ),
};

const methods = ["get", "post", "put", "patch", "delete"];

const message = (answer) => {
  const known = ["title", "contentType", "body", "headers", "dedupKey", "target"];
  const { title, contentType, body, headers, dedupKey, target } = members("what format returns", known, answer);
  return {
    title: text("title", title ?? ""),
    contentType: text("contentType", contentType ?? "text/plain"),
    body: text("body", body),
    headers: Object.entries(members("headers", null, headers ?? {})).map(header),
    dedupKey: optional("dedupKey", dedupKey),
    target: target ? addressed(members("target", ["method", "url"], target)) : null,
  };
};

const header = ([name, value]) => [text("name of a header", name), text(`header ${name}`, value)];

const addressed = ({ method, url }) => ({
  method: word("method of target", methods, method ?? "post"),
  url: text("url of target", url),
});

export const formatter = {
  open: (name, config) => formatters.open(name, config),
  close: (handle) => formatters.close(handle),
  format: (handle, group) =>
    formatters.call(handle, () => group.atMs, (opened) => {
      const about = {
        ...group,
        atMs: Number(group.atMs),
        groupLabels: Object.fromEntries(group.groupLabels),
        secrets: Object.fromEntries(group.secrets),
        alerts: group.alerts.map(alert),
      };
      return message(opened.format(about));
    }),
};
