// The component's exports: hands every call to what the plugin offers. The build starts here.

import "../plugin.js";
import { Opened, batch, describe, state } from "./watchfire.js";

export const plugin = { describe };

const conditions = new Opened("condition");
const routers = new Opened("router");
const formatters = new Opened("formatter");

export const condition = {
  open: (name, config) => conditions.open(name, config),
  close: (handle) => conditions.close(handle),
  evaluate: (handle) =>
    conditions.guard(() => {
      const { findings = [], unknown = [] } = conditions.objects[handle].evaluate(batch, state);
      return { findings, unknown: Uint32Array.from(unknown) };
    }),
};

const alert = (given) => ({
  ...given,
  startsMs: Number(given.startsMs),
  endsMs: given.endsMs === null || given.endsMs === undefined ? undefined : Number(given.endsMs),
  value: given.value ?? undefined,
  labels: Object.fromEntries(given.labels),
  annotations: Object.fromEntries(given.annotations),
});

export const router = {
  open: (name, config) => routers.open(name, config),
  close: (handle) => routers.close(handle),
  route: (handle, atMs, alerts) =>
    routers.guard(() =>
      routers.objects[handle].route(Number(atMs), alerts.map(alert)).map(({ receivers = [], suppress, groupKey }) => ({
        receivers,
        suppress: suppress ?? null,
        groupKey: groupKey ?? null,
      })),
    ),
};

export const formatter = {
  open: (name, config) => formatters.open(name, config),
  close: (handle) => formatters.close(handle),
  format: (handle, group) =>
    formatters.guard(() => {
      const about = {
        ...group,
        atMs: Number(group.atMs),
        groupLabels: Object.fromEntries(group.groupLabels),
        secrets: Object.fromEntries(group.secrets),
        alerts: group.alerts.map(alert),
      };
      const message = formatters.objects[handle].format(about);
      return {
        title: message.title ?? "",
        contentType: message.contentType ?? "text/plain",
        body: message.body,
        headers: Object.entries(message.headers ?? {}),
        dedupKey: message.dedupKey ?? null,
        target: message.target ? { method: message.target.method ?? "post", url: message.target.url } : null,
      };
    }),
};
