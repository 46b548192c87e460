// The SDK for Watchfire plugins in AssemblyScript.
//
// A plugin announces what it offers with offerCondition, offerRouter or offerFormatter. Everything must be a function of
// what is passed in: there is no clock but the call's time, and memory may vanish between two calls. What has to be
// remembered belongs into the state.
//
// This folder is written by `watchfire plugin build`; changes to it are lost.

import * as abi from "./abi";

export enum Severity { Info, Warning, Error, Critical }

export enum Level { Debug, Info, Warn, Error }

/** Writes a line to the host's log. */
export function log(level: Level, message: string): void {
  const text = String.UTF8.encode(message);
  abi.log(level, changetype<usize>(text), text.byteLength);
}

/** A user's configuration: a JSON object whose members are asked for by name. */
export class Config {
  /** Where it cannot be used (a JSON pointer such as `/limit`), and what would be right; empty while it can. */
  path: string = "";
  message: string | null = null;

  constructor(private json: string) {}

  /** Says that it cannot be used. What is said first counts. */
  refuse(path: string, message: string): void {
    if (this.message == null) {
      this.path = path;
      this.message = message;
    }
  }

  /** A member as JSON text; null where there is none. */
  member(name: string): string | null {
    const json = this.json;
    let at = json.indexOf("{") + 1;
    while (true) {
      at = skip(json, at);
      if (at >= json.length || json.charAt(at) != "\"") return null;
      const keyEnd = end(json, at);
      const key = unquote(json.slice(at, keyEnd));
      at = skip(json, keyEnd);
      const valueEnd = end(json, at);
      if (key == name) return json.slice(at, valueEnd);
      at = valueEnd;
    }
  }

  /** A number; refuses what is none, and what is absent unless there is a number to take instead. */
  number(name: string, otherwise: f64 = NaN): f64 {
    const member = this.member(name);
    const value = member == null ? otherwise : parseFloat(member);
    if (isNaN(value)) this.refuse("/" + name, "must be a number");
    return value;
  }

  /** A text; refuses what is none. */
  text(name: string, otherwise: string): string {
    const member = this.member(name);
    if (member == null) return otherwise;
    if (!member.startsWith("\"")) this.refuse("/" + name, "must be a text");
    return unquote(member);
  }
}

function isBetween(unit: i32): bool {
  return unit == 0x20 || unit == 0x09 || unit == 0x0a || unit == 0x0d || unit == 0x2c || unit == 0x3a;
}

/** Where the next member, value or end begins. */
function skip(json: string, at: i32): i32 {
  while (at < json.length && isBetween(json.charCodeAt(at))) at++;
  return at;
}

/** Where the value that begins at a place ends. */
function end(json: string, at: i32): i32 {
  let depth = 0;
  let quoted = false;
  for (; at < json.length; at++) {
    const unit = json.charAt(at);
    if (quoted) {
      if (unit == "\\") at++;
      else if (unit == "\"") quoted = false;
    } else if (unit == "\"") quoted = true;
    else if (unit == "{" || unit == "[") depth++;
    else if (unit == "}" || unit == "]") {
      if (depth == 0) return at;
      depth--;
    } else if (depth == 0 && isBetween(json.charCodeAt(at))) return at;
    if (depth == 0 && !quoted && (unit == "\"" || unit == "}" || unit == "]")) return at + 1;
  }
  return at;
}

/** A JSON text without its quotes and escapes. */
function unquote(json: string): string {
  let text = "";
  for (let at = 1; at < json.length - 1; at++) {
    let unit = json.charAt(at);
    if (unit == "\\") {
      unit = json.charAt(++at);
      if (unit == "n") unit = "\n";
      else if (unit == "t") unit = "\t";
      else if (unit == "r") unit = "\r";
      else if (unit == "b") unit = "\b";
      else if (unit == "f") unit = "\f";
      else if (unit == "u") {
        unit = String.fromCharCode(<i32>parseInt(json.slice(at + 1, at + 5), 16));
        at += 4;
      }
    }
    text += unit;
  }
  return text;
}

/** One series in trouble: its index in the batch, each at most once. */
export class Finding {
  constructor(public series: u32, public severity: Severity, public value: f64, public summary: string) {}
}

/** The series whose alert is active, and those of which nothing can be said; the others are fine. */
export class Outcome {
  findings: Finding[] = [];
  unknown: u32[] = [];
}

/** Series with rows, in columns; to be used during `evaluate` only. */
export class Batch {
  /** The time of the evaluation in milliseconds since 1970. There is no other clock. */
  get atMs(): i64 {
    return abi.evalTimeMs();
  }

  /** The number of series. */
  get length(): u32 {
    return abi.seriesCount();
  }

  /** The newest value of each series, NaN where there is none. */
  latest(): Float64Array {
    return abi.column<Float64Array, f64>((into: usize) => abi.latest(into));
  }

  /** The stable ids of the series: the keys for what is remembered per series. */
  ids(): Uint64Array {
    return abi.column<Uint64Array, u64>((into: usize) => abi.seriesIds(into));
  }

  /** Where each series' rows begin, and at last the number of rows. */
  offsets(): Uint32Array {
    return abi.column<Uint32Array, u32>((into: usize) => abi.offsets(into));
  }

  /** The rows' times in milliseconds since 1970. */
  timestamps(): Int64Array {
    return abi.column<Int64Array, i64>((into: usize) => abi.timestamps(into));
  }

  /** The rows' values. */
  values(): Float64Array {
    return abi.column<Float64Array, f64>((into: usize) => abi.values(into));
  }

  /** One label of one series, null where it has none. Ask for those that fire, not for all. */
  label(series: u32, name: string): string | null {
    const text = String.UTF8.encode(name);
    const into = abi.allocate(12);
    abi.label(series, changetype<usize>(text), text.byteLength, into);
    return load<u8>(into) == 0 ? null : abi.text(into + 4);
  }

  /** All labels of one series. */
  labels(series: u32): Map<string, string> {
    const into = abi.allocate(8);
    abi.labels(series, into);
    return abi.pairs(into);
  }
}

/** What a condition remembers: durable, one per rule. Writes count only if `evaluate` returns. */
export class State {
  /** The state version of whichever version of the plugin wrote what is remembered; this one's own where nothing is. */
  get version(): u32 {
    return abi.stateVersion();
  }

  /** A value, null where there is none. */
  get(key: string): Uint8Array | null {
    const text = String.UTF8.encode(key);
    const into = abi.allocate(12);
    abi.stateGet(changetype<usize>(text), text.byteLength, into);
    return load<u8>(into) == 0 ? null : abi.copied<Uint8Array, u8>(into + 4);
  }

  /** Writes a value; answers why it was refused, null where it was not. */
  set(key: string, value: Uint8Array): string | null {
    const text = String.UTF8.encode(key);
    const into = abi.allocate(12);
    abi.stateSet(changetype<usize>(text), text.byteLength, value.dataStart, value.length, into);
    return load<u8>(into) == 0 ? null : abi.text(into + 4);
  }

  /** As `get`, for a text. */
  getText(key: string): string | null {
    const value = this.get(key);
    return value == null ? null : String.UTF8.decodeUnsafe(value.dataStart, value.length);
  }

  /** As `set`, for a text. */
  setText(key: string, value: string): string | null {
    return this.set(key, Uint8Array.wrap(String.UTF8.encode(value)));
  }

  /** Removes a key. */
  delete(key: string): void {
    const text = String.UTF8.encode(key);
    abi.stateDelete(changetype<usize>(text), text.byteLength);
  }
}

/** An alert as routers and formatters get it. */
export class Alert {
  fingerprint: string = "";
  name: string = "";
  severity: Severity = Severity.Warning;
  /** Whether it fires; else it is resolved. */
  firing: bool = false;
  startsMs: i64 = 0;
  /** When it ended; 0 while it fires. */
  endsMs: i64 = 0;
  /** The rule's value at the last evaluation, NaN where there is none. */
  value: f64 = NaN;
  summary: string = "";
  generatorUrl: string = "";
  labels: Map<string, string> = new Map();
  annotations: Map<string, string> = new Map();
}

/** Where one alert goes: to the route's own receiver where nothing is said. */
export class Decision {
  receivers: string[] = [];
  /** Why nobody is to be told. */
  suppress: string | null = null;
  /** Alerts with the same key are told together. */
  groupKey: string | null = null;
}

/** What a message is about. */
export class Group {
  atMs: i64 = 0;
  key: string = "";
  receiver: string = "";
  groupLabels: Map<string, string> = new Map();
  externalUrl: string = "";
  /** Firing ones first. */
  alerts: Alert[] = [];
  /** The id of this notification: the same at every attempt to deliver it. */
  id: string = "";
  /** The kind of the receiver's channel, such as `slack`. */
  channel: string = "";
  /**
   * The secrets that the receiver grants, by name: a stand-in for each. Where it stands in the address, a header or the
   * body of a request of the plugin's own, the host puts the secret.
   */
  secrets: Map<string, string> = new Map();
}

export enum Method { Get, Post, Put, Patch, Delete }

/** Where a request of the plugin's own goes; the host sends it if the receiver grants the host. */
export class Target {
  constructor(public method: Method, public url: string) {}
}

/** A message. The host signs and sends it, and addresses it unless the plugin does. */
export class Message {
  contentType: string = "text/plain";
  headers: Map<string, string> = new Map();
  dedupKey: string | null = null;
  /** Where it goes, if not through the receiver's own channel. */
  target: Target | null = null;
  constructor(public title: string, public body: string) {}
}

/** Decides which series are in trouble. */
export abstract class Condition {
  abstract evaluate(batch: Batch, state: State): Outcome;
}

/** Decides who is told. */
export abstract class Router {
  abstract route(atMs: i64, alerts: Alert[]): Decision[];
}

/** Decides what is said. */
export abstract class Formatter {
  abstract format(group: Group): Message;
}

/** What is offered under a name. */
export class Offer<T> {
  constructor(
    public name: string,
    public summary: string,
    public schema: string,
    public open: (config: Config) => T,
    public stateVersion: u32 = 1,
  ) {}
}

export const conditions: Offer<Condition>[] = [];
export const routers: Offer<Router>[] = [];
export const formatters: Offer<Formatter>[] = [];

/**
 * Announces a condition; `open` is called once per rule, with that rule's configuration. Raise `stateVersion` when the
 * layout of the values in the state changes.
 */
export function offerCondition(
  name: string,
  summary: string,
  schema: string,
  open: (config: Config) => Condition,
  stateVersion: u32 = 1,
): void {
  conditions.push(new Offer<Condition>(name, summary, schema, open, stateVersion));
}

/** Announces a router; `open` is called once per route. */
export function offerRouter(name: string, summary: string, schema: string, open: (config: Config) => Router): void {
  routers.push(new Offer<Router>(name, summary, schema, open));
}

/** Announces a formatter; `open` is called once per channel of a receiver. */
export function offerFormatter(name: string, summary: string, schema: string, open: (config: Config) => Formatter): void {
  formatters.push(new Offer<Formatter>(name, summary, schema, open));
}

let refusal: string | null = null;

/** Says that this input cannot be handled; the next one may be. What the call or `open` answers then is not looked at. */
export function badInput(message: string): void {
  refusal = message;
}

/** What was said so since it was asked last; null where nothing was. */
export function takeRefusal(): string | null {
  const said = refusal;
  refusal = null;
  return said;
}

/**
 * What `throw` and failing assertions become: a line in the log, with the place, and the end of the call. The engine tells
 * the line with the error.
 */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message == null ? "aborted" : message;
  const where = file == null ? "" : " at " + file + ":" + line.toString() + ":" + column.toString();
  log(Level.Error, what + where);
  unreachable();
}
