// How the values of the contract lie in memory: WebAssembly's canonical ABI.
//
// What the host hands over and what it reads afterwards lies outside the garbage collector's reach, and is given back at
// the beginning of the next call.

@external("watchfire:plugin/input@0.2.0", "eval-time-ms") export declare function evalTimeMs(): i64;
@external("watchfire:plugin/input@0.2.0", "series-count") export declare function seriesCount(): u32;
@external("watchfire:plugin/input@0.2.0", "latest") export declare function latest(into: usize): void;
@external("watchfire:plugin/input@0.2.0", "series-ids") export declare function seriesIds(into: usize): void;
@external("watchfire:plugin/input@0.2.0", "offsets") export declare function offsets(into: usize): void;
@external("watchfire:plugin/input@0.2.0", "timestamps") export declare function timestamps(into: usize): void;
@external("watchfire:plugin/input@0.2.0", "values") export declare function values(into: usize): void;
@external("watchfire:plugin/input@0.2.0", "label")
export declare function label(series: u32, name: usize, length: usize, into: usize): void;
@external("watchfire:plugin/input@0.2.0", "labels") export declare function labels(series: u32, into: usize): void;
@external("watchfire:plugin/state@0.2.0", "version") export declare function stateVersion(): u32;
@external("watchfire:plugin/state@0.2.0", "get")
export declare function stateGet(key: usize, length: usize, into: usize): void;
@external("watchfire:plugin/state@0.2.0", "set")
export declare function stateSet(key: usize, length: usize, value: usize, bytes: usize, into: usize): void;
@external("watchfire:plugin/state@0.2.0", "delete") export declare function stateDelete(key: usize, length: usize): void;
@external("watchfire:plugin/log@0.2.0", "log")
export declare function log(level: u32, message: usize, length: usize): void;

let owned: usize[] = [];

/** Memory that stays until the next call begins. Blocks of the heap begin at multiples of 16. */
export function allocate(bytes: usize): usize {
  const at = heap.alloc(bytes);
  memory.fill(at, 0, bytes);
  owned.push(at);
  return at;
}

/** Gives back what the last call needed. */
export function begin(): void {
  for (let i = 0; i < owned.length; i++) heap.free(owned[i]);
  owned = [];
}

/** The host asks for memory, or for more. */
export function reallocate(old: usize, oldBytes: usize, bytes: usize): usize {
  const at = allocate(bytes);
  memory.copy(at, old, min(oldBytes, bytes));
  return at;
}

/** A text whose place and length stand somewhere. */
export function text(at: usize): string {
  return String.UTF8.decodeUnsafe(load<usize>(at), load<usize>(at, 4));
}

/** Makes a text stay and writes its place and length. */
export function storeText(at: usize, value: string): void {
  const bytes = String.UTF8.byteLength(value);
  const copy = allocate(bytes);
  String.UTF8.encodeUnsafe(changetype<usize>(value), value.length, copy);
  store<usize>(at, copy);
  store<usize>(at, bytes, 4);
}

/** Likewise for a text that may be absent: whether there is one, then the text. */
export function storeOption(at: usize, value: string | null): void {
  if (value != null) {
    store<u8>(at, 1);
    storeText(at + 4, value);
  }
}

/** Makes room for a list and writes its place and length; answers the place. */
export function storeList(at: usize, length: i32, bytesEach: usize): usize {
  const list = allocate(<usize>length * bytesEach);
  store<usize>(at, list);
  store<usize>(at, length, 4);
  return list;
}

/** Pairs of texts whose place and number stand somewhere. */
export function pairs(at: usize): Map<string, string> {
  const map = new Map<string, string>();
  const list = load<usize>(at);
  for (let i: usize = 0, count = load<usize>(at, 4); i < count; i++) {
    map.set(text(list + 16 * i), text(list + 16 * i + 8));
  }
  return map;
}

/** A list of numbers whose place and length stand somewhere, as an array of its own. */
export function copied<A, T>(at: usize): A {
  const length = load<i32>(at, 4);
  const array = instantiate<A>(length);
  // @ts-ignore: every typed array has the place of its elements.
  memory.copy(array.dataStart, load<usize>(at), <usize>length * sizeof<T>());
  return array;
}

/** What the host writes as a list of numbers. */
export function column<A, T>(ask: (into: usize) => void): A {
  const into = allocate(8);
  ask(into);
  return copied<A, T>(into);
}
