// The component's exports: hands every call to what the plugin offers. The build starts here, and gives the exports the
// names of the contract.

import "../plugin";
import * as abi from "./abi";
import {
  Alert,
  Batch,
  Condition,
  Config,
  Decision,
  Formatter,
  Group,
  Offer,
  Router,
  State,
  conditions,
  formatters,
  routers,
  takeRefusal,
} from "./watchfire";

export function cabi_realloc(old: usize, oldBytes: usize, _align: usize, bytes: usize): usize {
  return abi.reallocate(old, oldBytes, bytes);
}

function describe<T>(at: usize, kind: u8, offers: Offer<T>[]): usize {
  for (let i = 0; i < offers.length; i++, at += 32) {
    store<u8>(at, kind);
    abi.storeText(at + 4, offers[i].name);
    abi.storeText(at + 12, offers[i].summary);
    abi.storeText(at + 20, offers[i].schema);
    store<u32>(at, offers[i].stateVersion, 28);
  }
  return at;
}

export function plugin_describe(): usize {
  abi.begin();
  const answer = abi.allocate(8);
  const at = abi.storeList(answer, conditions.length + routers.length + formatters.length, 32);
  describe(describe(describe(at, 0, conditions), 1, routers), 2, formatters);
  return answer;
}

/** The answer of `open`: the handle, or why there is none. */
function open<T>(offers: Offer<T>[], opened: T[], name: usize, nameBytes: usize, json: usize, bytes: usize): usize {
  const wanted = String.UTF8.decodeUnsafe(name, nameBytes);
  const config = new Config(String.UTF8.decodeUnsafe(json, bytes));
  abi.begin();
  const answer = abi.allocate(24);
  for (let i = 0; i < offers.length; i++) {
    if (offers[i].name != wanted) continue;
    const made = offers[i].open(config);
    const isRefused = refused(answer);
    const invalid = config.message;
    if (invalid != null) {
      store<u8>(answer, 1);
      // Of the contract's errors the first, `invalid-config`.
      store<u8>(answer, 0, 4);
      abi.storeText(answer + 8, config.path);
      abi.storeText(answer + 16, invalid);
    } else if (!isRefused) {
      opened.push(made);
      store<u32>(answer, opened.length - 1, 4);
    }
    return answer;
  }
  store<u8>(answer, 1);
  store<u8>(answer, 2, 4);
  abi.storeText(answer + 8, "this plugin offers no " + wanted);
  return answer;
}

const openConditions: Condition[] = [];
const openRouters: Router[] = [];
const openFormatters: Formatter[] = [];

export function condition_open(name: usize, nameBytes: usize, json: usize, bytes: usize): usize {
  return open(conditions, openConditions, name, nameBytes, json, bytes);
}

export function router_open(name: usize, nameBytes: usize, json: usize, bytes: usize): usize {
  return open(routers, openRouters, name, nameBytes, json, bytes);
}

export function formatter_open(name: usize, nameBytes: usize, json: usize, bytes: usize): usize {
  return open(formatters, openFormatters, name, nameBytes, json, bytes);
}

// What was opened is small; it goes with the instance.
export function condition_close(_handle: u32): void {}

export function router_close(_handle: u32): void {}

export function formatter_close(_handle: u32): void {}

/** Makes an answer one that says why there is none, if the plugin said so. */
function refused(answer: usize): bool {
  const message = takeRefusal();
  if (message == null) return false;
  store<u8>(answer, 1);
  // Of the contract's errors the second, `bad-input`.
  store<u8>(answer, 1, 4);
  abi.storeText(answer + 8, message);
  return true;
}

export function condition_evaluate(handle: u32): usize {
  abi.begin();
  const outcome = openConditions[handle].evaluate(new Batch(), new State());
  const answer = abi.allocate(24);
  if (refused(answer)) return answer;
  let at = abi.storeList(answer + 4, outcome.findings.length, 24);
  for (let i = 0; i < outcome.findings.length; i++, at += 24) {
    const finding = outcome.findings[i];
    store<u32>(at, finding.series);
    store<u8>(at, <u8>finding.severity, 4);
    store<f64>(at, finding.value, 8);
    abi.storeText(at + 16, finding.summary);
  }
  at = abi.storeList(answer + 12, outcome.unknown.length, 4);
  for (let i = 0; i < outcome.unknown.length; i++) store<u32>(at + 4 * i, outcome.unknown[i]);
  return answer;
}

function alerts(list: usize, count: usize): Alert[] {
  const all = new Array<Alert>(<i32>count);
  for (let i: usize = 0; i < count; i++) {
    const at = list + 96 * i;
    const alert = new Alert();
    alert.fingerprint = abi.text(at);
    alert.name = abi.text(at + 8);
    alert.severity = load<u8>(at, 16);
    alert.firing = load<u8>(at, 17) != 0;
    alert.startsMs = load<i64>(at, 24);
    if (load<u8>(at, 32) != 0) alert.endsMs = load<i64>(at, 40);
    if (load<u8>(at, 48) != 0) alert.value = load<f64>(at, 56);
    alert.summary = abi.text(at + 64);
    alert.generatorUrl = abi.text(at + 72);
    alert.labels = abi.pairs(at + 80);
    alert.annotations = abi.pairs(at + 88);
    all[<i32>i] = alert;
  }
  return all;
}

export function router_route(handle: u32, atMs: i64, list: usize, count: usize): usize {
  const given = alerts(list, count);
  abi.begin();
  const decisions = openRouters[handle].route(atMs, given);
  const answer = abi.allocate(24);
  if (refused(answer)) return answer;
  let at = abi.storeList(answer + 4, decisions.length, 32);
  for (let i = 0; i < decisions.length; i++, at += 32) {
    const decision: Decision = decisions[i];
    const receivers = abi.storeList(at, decision.receivers.length, 8);
    for (let r = 0; r < decision.receivers.length; r++) abi.storeText(receivers + 8 * r, decision.receivers[r]);
    abi.storeOption(at + 8, decision.suppress);
    abi.storeOption(at + 20, decision.groupKey);
  }
  return answer;
}

/** What the call is given lies in memory, as it is more than fits into parameters: the handle, then the group. */
export function formatter_format(given: usize): usize {
  const handle = load<u32>(given);
  const group = new Group();
  group.atMs = load<i64>(given, 8);
  group.key = abi.text(given + 16);
  group.receiver = abi.text(given + 24);
  group.id = abi.text(given + 32);
  group.channel = abi.text(given + 40);
  group.groupLabels = abi.pairs(given + 48);
  group.externalUrl = abi.text(given + 56);
  group.secrets = abi.pairs(given + 64);
  group.alerts = alerts(load<usize>(given, 72), load<usize>(given, 76));
  abi.begin();
  const message = openFormatters[handle].format(group);
  const answer = abi.allocate(64);
  if (refused(answer)) return answer;
  abi.storeText(answer + 4, message.title);
  abi.storeText(answer + 12, message.contentType);
  abi.storeText(answer + 20, message.body);
  const names = message.headers.keys();
  let at = abi.storeList(answer + 28, names.length, 16);
  for (let i = 0; i < names.length; i++, at += 16) {
    abi.storeText(at, names[i]);
    abi.storeText(at + 8, message.headers.get(names[i]));
  }
  abi.storeOption(answer + 36, message.dedupKey);
  const target = message.target;
  if (target != null) {
    store<u8>(answer, 1, 48);
    store<u8>(answer, <u8>target.method, 52);
    abi.storeText(answer + 56, target.url);
  }
  return answer;
}
