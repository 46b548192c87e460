// The SDK for Watchfire plugins in JavaScript and TypeScript.
//
// A plugin announces what it offers with offerCondition, offerRouter or offerFormatter. Everything must be a function
// of what is passed in: there is no clock but the call's time, Math.random begins anew with it, and memory may vanish
// between two calls. What has to be remembered belongs into the state. The engine inside is QuickJS: no timers, no
// network, no console.
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

// What is handed to the host, checked: what has another type than the contract says ends a call without a word.

const shown = (value) => {
  try {
    const text = ["string", "object"].includes(typeof value) ? JSON.stringify(value) : String(value);
    return text.length > 200 ? `${text.slice(0, 200)}...` : text;
  } catch {
    return typeof value;
  }
};

export const refuse = (what, expected, value) => {
  throw new TypeError(`${what} must be ${expected}, not ${shown(value)}`);
};

/** A text. Halves of characters, which UTF-8 does not have, become the sign for what is unknown. */
export const text = (what, value) => (typeof value === "string" ? value.toWellFormed() : refuse(what, "a text", value));

/** A text, or nothing. */
export const optional = (what, value) => (value === null || value === undefined ? null : text(what, value));

/** One of some words. */
export const word = (what, words, value) =>
  words.includes(value) ? value : refuse(what, `one of ${words.join(", ")}`, value);

/** A whole number as the contract has it. */
export const number = (what, value) =>
  Number.isInteger(value) && value >= 0 && value <= 0xffffffff
    ? value
    : refuse(what, "a whole number from 0 to 4294967295", value);

/** An object with no other members than these, if they are known: one that is misspelt would count as absent. */
export const members = (what, known, value) => {
  if (typeof value?.then === "function") throw new TypeError(`${what} is a promise; a plugin cannot be \`async\``);
  if (value === null || typeof value !== "object" || Array.isArray(value)) refuse(what, "an object", value);
  if (!known) return value;
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) throw new TypeError(`${what} has no ${name}, only ${known.join(", ")}`);
  }
  return value;
};

/** What is in a list, or in anything like it but a text, each as `make` makes it. */
export const list = (what, value, make) => {
  if (typeof value?.then === "function") throw new TypeError(`${what} is a promise; a plugin cannot be \`async\``);
  if (typeof value !== "object" || typeof value?.[Symbol.iterator] !== "function") refuse(what, "a list", value);
  return Array.isArray(value) ? value.map((member) => make(member)) : Array.from(value, (member) => make(member));
};

const levels = ["debug", "info", "warn", "error"];

/** Writes a line to the host's log: "debug", "info", "warn" or "error". */
export function log(level, message) {
  host.log(word("the level of a log line", levels, level), String(message).toWellFormed());
}

// Random numbers begin anew with each call, so that they are a function of it. The engine's own would go on where the
// call before has left them, from a seed of the time when the plugin was built. To ask for the time costs more than all
// the rest of a small call, so that it is asked for by the first number.
let random = 0;
let begin = null;

const randomBits = () => {
  if (begin) random = begin();
  begin = null;
  random = (random + 0x9e3779b9) | 0;
  let mixed = Math.imul(random ^ (random >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
};

Math.random = () => ((randomBits() >>> 6) * 2 ** 26 + (randomBits() >>> 6)) / 2 ** 52;

// A number that stands for a text, and for those that came before it.
const hash = (seed, text) => {
  for (let at = 0; at < text.length; at++) seed = Math.imul(seed ^ text.charCodeAt(at), 0x01000193);
  return seed;
};

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
  label: (series, name) => input.label(number("series", series), text("name", name)) ?? undefined,
  /** All labels of one series. */
  labels: (series) => Object.fromEntries(input.labels(number("series", series))),
  /** One label of all series: the distinct values, and for each series the index of its value. */
  labelColumn: (name) => input.labelColumn(text("name", name)),
  /** The event of one row; nothing over an expression. */
  event: (row) => {
    const event = input.eventAt(number("row", row));
    return event ? { ...event, timeMs: Number(event.timeMs), fields: Object.fromEntries(event.fields) } : undefined;
  },
  /** The bodies of all events. */
  eventBodies: () => {
    const [offsets, bytes] = input.eventBodies();
    return Array.from({ length: offsets.length - 1 }, (_, i) => decoded(bytes.slice(offsets[i], offsets[i + 1])));
  },
  /** One field of all events, as `labelColumn`. */
  eventColumn: (name) => input.eventColumn(text("name", name)),
};

/** What a condition remembers: durable, one per rule. Writes count only if `evaluate` returns. */
export const state = {
  getBytes: (key) => {
    const value = kv.get(text("key", key));
    return value === null || value === undefined ? undefined : new Uint8Array(value);
  },
  setBytes: (key, value) => {
    if (!(value instanceof Uint8Array)) refuse("the value for setBytes", "a Uint8Array", value);
    kv.set(text("key", key), value);
  },
  /** A value of any shape that JSON has. */
  get: (key) => {
    const bytes = state.getBytes(key);
    return bytes && JSON.parse(decoded(bytes));
  },
  set: (key, value) => {
    const json = JSON.stringify(value);
    if (json === undefined) refuse("the value for set", "something that JSON has", value);
    state.setBytes(key, Uint8Array.from(unescape(encodeURIComponent(json)), (c) => c.charCodeAt(0)));
  },
  delete: (key) => kv.delete(text("key", key)),
  /** The `stateVersion` of whichever version of the plugin wrote what is remembered; this one's own where nothing is. */
  get version() {
    return kv.version();
  },
};

const offered = { condition: new Map(), router: new Map(), formatter: new Map() };

// Checked here, where a mistake ends the build: to be described is no call that may fail.
const announce = (kind, { name, summary = "", schema, stateVersion = 1 }, open) => {
  if (typeof open !== "function") refuse(`the second argument for the ${kind} ${shown(name)}`, "a function", open);
  const configSchema = schema ? JSON.stringify(schema) : "";
  offered[kind].set(text("name", name), {
    open,
    descriptor: {
      kind,
      name,
      summary: text("summary", summary),
      configSchema: text("schema", configSchema),
      stateVersion: number("stateVersion", stateVersion),
    },
  });
};

/** Announces a condition; `open` is called once per rule, with that rule's configuration. */
export function offerCondition(offer, open) {
  announce("condition", offer, open);
}

/** Announces a router; `open` is called once per route. */
export function offerRouter(offer, open) {
  announce("router", offer, open);
}

/** Announces a formatter; `open` is called once per channel of a receiver. */
export function offerFormatter(offer, open) {
  announce("formatter", offer, open);
}

export function describe() {
  return Object.values(offered).flatMap((offers) => [...offers.values()].map(({ descriptor }) => descriptor));
}

// What is thrown, as the contract has it: an exception that reaches the host as it is would be a trap without a word.
function failure(error) {
  try {
    if (error instanceof InvalidConfig) return invalid(String(error.path ?? ""), String(error.message));
    if (error instanceof BadInput) return { tag: "bad-input", val: String(error.message).toWellFormed() };
    return internal(error instanceof Error ? `${error.name}: ${error.message}\n${error.stack ?? ""}` : String(error));
  } catch {
    return internal(`it threw something (${typeof error}) that is no text`);
  }
}

const invalid = (path, message) => ({
  tag: "invalid-config",
  val: { path: path.toWellFormed(), message: message.toWellFormed() },
});

const internal = (told) => ({ tag: "internal", val: told.toWellFormed() });

/** What was opened of one kind, under handles. */
export class Opened {
  constructor(kind) {
    this.kind = kind;
    this.objects = [];
  }

  open(name, config) {
    const offer = offered[this.kind].get(name);
    if (!offer) throw { tag: "unsupported", val: `this plugin offers no "${name}"` };
    const seed = hash(0x811c9dc5, config);
    this.objects.push({ opened: this.guard(() => seed, () => offer.open(JSON.parse(config))), seed });
    return this.objects.length - 1;
  }

  close(handle) {
    this.objects[handle] = undefined;
  }

  /** Calls with what was opened under a handle; `atMs` gives the time. */
  call(handle, atMs, call) {
    const { opened, seed } = this.objects[handle];
    return this.guard(() => hash(seed, String(atMs())), () => call(opened));
  }

  guard(seed, call) {
    begin = seed;
    try {
      return call();
    } catch (error) {
      throw failure(error);
    }
  }
}
