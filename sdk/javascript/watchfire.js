// The SDK for Watchfire plugins in JavaScript and TypeScript.
//
// A plugin announces what it offers with offerCondition, offerRouter or offerFormatter. Everything must be a function
// of what is passed in: there is no clock but the call's time, and memory may vanish between two calls. What has to be
// remembered belongs into the state. The engine inside is QuickJS: no timers, no network, no console.
//
// This folder is written by `watchfire plugin build`; changes to it are lost.

import * as input from "watchfire:plugin/input@0.2.0";
import * as kv from "watchfire:plugin/state@0.2.0";
import * as host from "watchfire:plugin/log@0.2.0";

/** The configuration cannot be used: where (a JSON pointer such as `/limit`), and what would be right. */
export class InvalidConfig extends Error {
  constructor(path, message) {
    super(message);
    this.path = path;
  }
}

/** This input cannot be handled; the next one may be. */
export class BadInput extends Error {}

/** Writes a line to the host's log: "debug", "info", "warn" or "error". */
export function log(level, message) {
  host.log(level, message);
}

// A buffer of its own: a typed array must begin at a multiple of its width.
const packed = (bytes) => new Uint8Array(bytes).buffer;

// UTF-8 as a text, piece by piece: a function takes only so many arguments.
const decoded = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.slice(at, at + 4096));
  return decodeURIComponent(escape(text));
};

/** Series with rows, in columns; to be used during `evaluate` only. */
export const batch = {
  /** The time of the evaluation in milliseconds since 1970. There is no other clock. */
  get atMs() {
    return Number(input.evalTimeMs());
  },
  /** The number of series. */
  get length() {
    return input.seriesCount();
  },
  /** The newest value of each series, NaN where there is none. */
  latest: () => new Float64Array(packed(input.latestLe())),
  /** The stable ids of the series: the keys for what is remembered per series. */
  ids: () => new BigUint64Array(packed(input.seriesIdsLe())),
  /** Where each series' rows begin, and at last the number of rows. */
  offsets: () => new Uint32Array(packed(input.offsetsLe())),
  /** The rows' times in milliseconds since 1970. */
  timestamps: () => new BigInt64Array(packed(input.timestampsLe())),
  /** The rows' values. */
  values: () => new Float64Array(packed(input.valuesLe())),
  /** One label of one series. Ask for those that fire, not for all. */
  label: (series, name) => input.label(series, name) ?? undefined,
  /** All labels of one series. */
  labels: (series) => Object.fromEntries(input.labels(series)),
  /** One label of all series: the distinct values, and for each series the index of its value. */
  labelColumn: (name) => input.labelColumn(name),
  /** The event of one row; nothing over an expression. */
  event: (row) => {
    const event = input.eventAt(row);
    return event ? { ...event, timeMs: Number(event.timeMs), fields: Object.fromEntries(event.fields) } : undefined;
  },
  /** The bodies of all events. */
  eventBodies: () => {
    const [offsets, bytes] = input.eventBodies();
    return Array.from({ length: offsets.length - 1 }, (_, i) => decoded(bytes.slice(offsets[i], offsets[i + 1])));
  },
  /** One field of all events, as `labelColumn`. */
  eventColumn: (name) => input.eventColumn(name),
};

/** What a condition remembers: durable, one per rule. Writes count only if `evaluate` returns. */
export const state = {
  getBytes: (key) => {
    const value = kv.get(key);
    return value === null || value === undefined ? undefined : new Uint8Array(value);
  },
  setBytes: (key, value) => kv.set(key, value),
  /** A value of any shape that JSON has. */
  get: (key) => {
    const bytes = state.getBytes(key);
    return bytes && JSON.parse(decoded(bytes));
  },
  set: (key, value) => {
    const text = unescape(encodeURIComponent(JSON.stringify(value)));
    state.setBytes(key, Uint8Array.from(text, (c) => c.charCodeAt(0)));
  },
  delete: (key) => kv.delete(key),
  /** The `stateVersion` of whichever version of the plugin wrote what is remembered; this one's own where nothing is. */
  get version() {
    return kv.version();
  },
};

const offered = { condition: new Map(), router: new Map(), formatter: new Map() };

/** Announces a condition; `open` is called once per rule, with that rule's configuration. */
export function offerCondition(offer, open) {
  offered.condition.set(offer.name, { ...offer, open });
}

/** Announces a router; `open` is called once per route. */
export function offerRouter(offer, open) {
  offered.router.set(offer.name, { ...offer, open });
}

/** Announces a formatter; `open` is called once per channel of a receiver. */
export function offerFormatter(offer, open) {
  offered.formatter.set(offer.name, { ...offer, open });
}

export function describe() {
  return Object.entries(offered).flatMap(([kind, offers]) =>
    [...offers.values()].map(({ name, summary = "", schema, stateVersion = 1 }) => ({
      kind,
      name,
      summary,
      configSchema: schema ? JSON.stringify(schema) : "",
      stateVersion,
    })),
  );
}

// What is thrown, as the contract has it: an exception that reaches the host as it is would be a trap without a word.
function failure(error) {
  if (error instanceof InvalidConfig) {
    return { tag: "invalid-config", val: { path: error.path, message: error.message } };
  }
  if (error instanceof BadInput) return { tag: "bad-input", val: error.message };
  if (error instanceof Error) return { tag: "internal", val: `${error.name}: ${error.message}\n${error.stack ?? ""}` };
  return { tag: "internal", val: String(error) };
}

/** What was opened of one kind, under handles. */
export class Opened {
  constructor(kind) {
    this.kind = kind;
    this.objects = [];
  }

  open(name, config) {
    const offer = offered[this.kind].get(name);
    if (!offer) throw { tag: "unsupported", val: `this plugin offers no "${name}"` };
    this.objects.push(this.guard(() => offer.open(JSON.parse(config))));
    return this.objects.length - 1;
  }

  close(handle) {
    this.objects[handle] = undefined;
  }

  guard(call) {
    try {
      return call();
    } catch (error) {
      throw failure(error);
    }
  }
}
