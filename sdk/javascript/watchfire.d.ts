/** The SDK for Watchfire plugins: what `watchfire.js` offers, for editors and for TypeScript. */

export type Severity = "info" | "warning" | "error" | "critical";

/** One thing that a plugin offers. */
export interface Offer {
  /** What users write: lower case, digits and dashes. */
  name: string;
  /** One sentence. */
  summary?: string;
  /** The JSON Schema of the configuration. */
  schema?: object;
  /** Raise it when the layout of the values in the state changes. */
  stateVersion?: number;
}

/** The configuration cannot be used: where (a JSON pointer such as `/limit`), and what would be right. */
export class InvalidConfig extends Error {
  constructor(path: string, message: string);
}

/** This input cannot be handled; the next one may be. */
export class BadInput extends Error {}

export function log(level: "debug" | "info" | "warn" | "error", message: string): void;

/** One event of a stream; nested fields are flattened with dots. */
export interface Event {
  /** The id at its source; may be empty. */
  id: string;
  /** When it happened, in milliseconds since 1970. */
  timeMs: number;
  /** What kind of event it is. */
  kind: string;
  /** The unstructured part; may be empty. */
  body: string;
  /** Everything structured, as text. */
  fields: Record<string, string>;
}

/** Series with rows, in columns; to be used during `evaluate` only. */
export interface Batch {
  readonly atMs: number;
  readonly length: number;
  latest(): Float64Array;
  ids(): BigUint64Array;
  offsets(): Uint32Array;
  timestamps(): BigInt64Array;
  values(): Float64Array;
  label(series: number, name: string): string | undefined;
  labels(series: number): Record<string, string>;
  labelColumn(name: string): [string[], Uint32Array];
  event(row: number): Event | undefined;
  eventBodies(): string[];
  eventColumn(name: string): [string[], Uint32Array];
}

/** What a condition remembers: durable, one per rule. Writes count only if `evaluate` returns. */
export interface State {
  get(key: string): any;
  set(key: string, value: unknown): void;
  getBytes(key: string): Uint8Array | undefined;
  setBytes(key: string, value: Uint8Array): void;
  delete(key: string): void;
  /** The `stateVersion` of whichever version of the plugin wrote what is remembered; this one's own where nothing is. */
  readonly version: number;
}

/** One series in trouble. */
export interface Finding {
  /** Its index in the batch; each at most once. */
  series: number;
  severity: Severity;
  /** The number to show. */
  value: number;
  /** One sentence for whoever reads the alert. */
  summary: string;
}

/** What is in neither list is fine. */
export interface Outcome {
  findings?: Finding[];
  /** Series of which nothing can be said; their alerts stay as they are. */
  unknown?: number[];
}

export interface Condition {
  evaluate(batch: Batch, state: State): Outcome;
}

export function offerCondition(offer: Offer, open: (config: any) => Condition): void;

/** An alert; times in milliseconds since 1970. */
export interface Alert {
  fingerprint: string;
  name: string;
  severity: Severity;
  firing: boolean;
  startsMs: number;
  endsMs?: number;
  value?: number;
  summary: string;
  generatorUrl: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface Decision {
  /** Names; none means the route's own receiver. */
  receivers?: string[];
  /** Why nobody is to be told. */
  suppress?: string;
  /** Replaces the group labels of the route. */
  groupKey?: string;
}

export interface Router {
  route(atMs: number, alerts: Alert[]): Decision[];
}

export function offerRouter(offer: Offer, open: (config: any) => Router): void;

/** What a message is about; firing alerts come first. */
export interface Group {
  atMs: number;
  key: string;
  receiver: string;
  groupLabels: Record<string, string>;
  externalUrl: string;
  alerts: Alert[];
  /** The id of this notification: the same at every attempt to deliver it. */
  id: string;
  /** The kind of the receiver's channel, such as "slack". */
  channel: string;
  /**
   * The secrets that the receiver grants, by name: a stand-in for each. Where it stands in the address, a header or the
   * body of a request of the plugin's own, the host puts the secret.
   */
  secrets: Record<string, string>;
}

/** Where a request of the plugin's own goes; the host sends it if the receiver grants the host. */
export interface Target {
  /** "post" where nothing is said. */
  method?: "get" | "post" | "put" | "patch" | "delete";
  url: string;
}

export interface Message {
  title?: string;
  contentType?: string;
  body: string;
  headers?: Record<string, string>;
  dedupKey?: string;
  /** Where it goes, if not through the receiver's own channel. */
  target?: Target;
}

export interface Formatter {
  format(group: Group): Message;
}

export function offerFormatter(offer: Offer, open: (config: any) => Formatter): void;
