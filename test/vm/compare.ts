/**
 * Compares what a scan says with what the guest said.
 *
 * @module
 */

import type { IOUringEntry } from "../../lib/record/records.ts";
import type { FdInfo, LabTruth, RingTruth, TruthObject } from "./truth.ts";

/** One place where a scan and the guest differ. */
export interface Difference {
  /** The scenario's name of the ring, or the process and fd of an fdinfo. */
  ring: string;
  /** The key path, such as `pending[0].op_info.path`. */
  path: string;
  expected: unknown;
  got: unknown;
}

/** One difference as a line of text. */
export function differenceText({ ring, path, expected, got }: Difference): string {
  return `${ring}: ${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`;
}

type Item = { [key: string]: unknown };

/** Clocks are read at a coarser grain than this, in milliseconds. */
const CLOCK_SLACK = 1500;

const TICK = 10;

function isObject(value: unknown): value is Item {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function items(value: unknown): Item[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function userData(item: Item): string {
  return String(item.user_data);
}

function requestsOf(entry: Item): Item[] {
  return [...items(entry.pending), ...items(entry.in_flight), ...items(entry.history)];
}

/** Collects the differences of one ring. */
class Comparison {
  differences: Difference[] = [];
  #ring: string;

  constructor(ring: string) {
    this.#ring = ring;
  }

  add(path: string, expected: unknown, got: unknown): void {
    this.differences.push({ ring: this.#ring, path, expected, got });
  }

  /** Everything in `expected` must be in `got`; arrays must be equal. */
  subset(path: string, expected: unknown, got: unknown): void {
    if (isObject(expected) && isObject(got)) {
      for (const key of Object.keys(expected)) {
        this.subset(path === "" ? key : `${path}.${key}`, expected[key], got[key]);
      }
    } else if (Array.isArray(expected) && Array.isArray(got) && expected.length === got.length) {
      expected.forEach((value, i) => this.subset(`${path}[${i}]`, value, got[i]));
    } else if (JSON.stringify(expected) !== JSON.stringify(got)) {
      this.add(path, expected, got);
    }
  }

  /** One request; facts without an agreed key count where the key is there. */
  request(path: string, expected: Item, got: Item): void {
    const { raw, ...facts } = expected;
    this.subset(path, facts, got);
    // The workload says the descriptor; it splices from pipes.
    if (isObject(got.op_info) && "fd_in" in got.op_info) {
      this.subset(`${path}.op_info.target_in`, { kind: "pipe" }, got.op_info.target_in);
    }
    if (!isObject(raw)) return;
    for (const key of Object.keys(raw)) {
      if (key in got) this.subset(`${path}.${key}`, raw[key], got[key]);
    }
  }

  /** The same requests in any order, or with `ordered` in this one. */
  requests(path: string, expected: Item[], got: Item[], ordered: boolean): void {
    const want = expected.map(userData);
    const have = got.map(userData);
    if (ordered && want.join() !== have.join()) {
      this.add(`${path}[].user_data`, want, have);
      return;
    }
    for (const request of expected) {
      const match = got.find((other) => userData(other) === userData(request));
      const at = `${path}[${userData(request)}]`;
      if (match) this.request(at, request, match);
      else this.add(at, request, undefined);
    }
  }

  /** Requests that are there and should not be. */
  strangers(path: string, known: (item: Item) => boolean, got: Item[]): void {
    for (const request of got) {
      if (!known(request)) this.add(`${path}[${userData(request)}]`, undefined, request);
    }
  }

  time(path: string, expected: number, got: unknown): void {
    if (got === undefined || got === "") return;
    const difference = Math.abs(Date.parse(String(got)) - expected);
    if (!(difference <= CLOCK_SLACK)) this.add(path, new Date(expected).toISOString(), got);
  }
}

/** The entry of a ring: by a request of it, else by who holds it and how. */
function findEntry(ring: RingTruth, entries: readonly Item[]): Item | undefined {
  const tags = new Set(requestsOf(ring.expect).map(userData));
  const tagged = entries.find((entry) => requestsOf(entry).some((r) => tags.has(userData(r))));
  if (tagged) return tagged;
  const owners = items(ring.expect.owners);
  return entries.find((entry) =>
    items(entry.owners).some((got) =>
      owners.some((want) => want.pid === got.pid && want.fd === got.fd)
    )
  );
}

/** Whether an entry says that its requests may be those of two rings that are gone. */
function isShared(entry: Item): boolean {
  return items(entry.diagnostics).some(({ message }) => String(message).includes("earlier ring"));
}

/**
 * Of a ring that is gone, what is still there must be true: of it, or of any that is gone where the
 * entry says that it cannot tell.
 */
function compareRemnant(comparison: Comparison, ring: RingTruth, gone: RingTruth[], entry: Item) {
  comparison.subset("found_by", ["carved"], entry.found_by);
  const missing = Array.isArray(entry.missing) ? entry.missing : [];
  const told = ["sq_entries", "cq_entries", "sq_head", "cq_tail"]
    .filter((key) => key in entry && !missing.includes(key));
  const those = isShared(entry) ? gone : [ring];
  if (!those.some(({ expect }) => told.every((key) => expect[key] === entry[key]))) {
    for (const key of told) comparison.subset(key, ring.expect[key], entry[key]);
  }
  const history = those.flatMap(({ expect }) => items(expect.history));
  for (const request of items(entry.history)) {
    const path = `history[${userData(request)}]`;
    const match = history.find((other) => userData(other) === userData(request));
    if (match === undefined) comparison.add(path, undefined, request);
    else if (request.result !== undefined) {
      comparison.subset(`${path}.result`, match.result, request.result);
    }
  }
}

function compareRing(ring: RingTruth, entry: Item, truth: LabTruth): Difference[] {
  const comparison = new Comparison(ring.name);
  const { pending, in_flight, history, owners, ...plain } = ring.expect;
  if (ring.gone === true) {
    compareRemnant(comparison, ring, goneRings(truth), entry);
    return comparison.differences;
  }
  comparison.subset("", plain, entry);
  const scrubbed = items(entry.diagnostics).some(({ code }) => code === "ring_scrubbed");
  if (scrubbed !== (ring.scrubbed === true)) {
    comparison.add("diagnostics", ring.scrubbed === true, entry.diagnostics);
  }

  const key = (owner: Item) => `${owner.pid}:${owner.fd}`;
  const got = items(entry.owners).toSorted((a, b) => key(a) < key(b) ? -1 : 1);
  const want = items(owners).toSorted((a, b) => key(a) < key(b) ? -1 : 1);
  comparison.subset("owners", want, got);
  if (isObject(plain.seccomp)) {
    comparison.subset("seccomp_active", plain.seccomp.mode !== 0, entry.seccomp_active);
  }

  comparison.time("created_at", ring.created * 1000, entry.created_at);
  if (ring.start_ticks > 0 && isObject(entry.process)) {
    const start = truth.boot_time * 1000 + ring.start_ticks * TICK;
    comparison.time("process.start_time", start, entry.process.start_time);
  }

  // A busy ring has none of the lists: they change while the image is taken.
  if (pending === undefined) return comparison.differences;
  const opcodes = items(pending).map((request) => request.opcode_number);
  comparison.subset("pending_opcodes", opcodes, entry.pending_opcodes);
  comparison.requests("pending", items(pending), items(entry.pending), true);
  comparison.requests("in_flight", items(in_flight), items(entry.in_flight), false);
  const inFlight = new Set(items(in_flight).map(userData));
  comparison.strangers(
    "in_flight",
    (request) => inFlight.has(userData(request)),
    items(entry.in_flight),
  );
  comparison.requests("history", items(history), items(entry.history), false);
  // More may be remembered than must be, but only requests of this ring that
  // are over; a ring's own tags differ in the last byte.
  const tags = new Set(requestsOf(ring.expect).map((r) => userData(r).slice(0, -2)));
  const open = new Set([...items(pending), ...items(in_flight)].map(userData));
  comparison.strangers(
    "history",
    (request) =>
      ring.wiped === true && userData(request) === "0x0" ||
      tags.has(userData(request).slice(0, -2)) && !open.has(userData(request)),
    items(entry.history),
  );
  return comparison.differences;
}

function goneRings({ rings }: LabTruth): RingTruth[] {
  return rings.filter(({ gone }) => gone === true);
}

/**
 * Compares the entries of a scan with the workload's truth: every ring that was
 * made is there once, with every fact that its maker knows, and no other is. A
 * deep scan finds those that are gone, too, and may find what the workload does
 * not tell of: rings that it made on the way.
 */
export function compareEntries(
  entries: readonly IOUringEntry[],
  truth: LabTruth,
  { deep = false }: { deep?: boolean } = {},
): Difference[] {
  const differences: Difference[] = [];
  const all = entries as unknown as readonly Item[];
  const seen = new Map<Item, string>();
  const found = new Set<string>();
  for (const ring of truth.rings) {
    if (ring.gone === true && !deep) continue;
    const entry = findEntry(ring, all);
    const { name } = ring;
    if (!entry && ring.gone === true) continue;
    if (!entry) {
      differences.push({ ring: name, path: "", expected: "an entry", got: undefined });
      continue;
    }
    const other = seen.get(entry);
    if (other !== undefined && ring.gone === true && isShared(entry)) continue;
    if (other !== undefined) {
      differences.push({ ring: name, path: "", expected: "an entry of its own", got: other });
      continue;
    }
    seen.set(entry, name);
    found.add(name);
    differences.push(...compareRing(ring, entry, truth));
  }
  // Memory of some of them is not used again so soon.
  const gone = goneRings(truth);
  if (deep && gone.length > 0 && !gone.some(({ name }) => found.has(name))) {
    differences.push({ ring: "gone", path: "", expected: "some entry", got: undefined });
  }
  for (const entry of all) {
    if (seen.has(entry) || deep && String(entry.found_by) === "carved") continue;
    const got = { ctx_addr: entry.ctx_addr, pid: entry.pid, comm: entry.comm };
    differences.push({ ring: String(entry.ctx_addr), path: "", expected: undefined, got });
  }
  return differences;
}

/** The parts of an fdinfo text that an entry tells as well. */
interface ParsedFdInfo {
  numbers: { [name: string]: number };
  /** `user_data` of the SQEs that are pending, in order. */
  sqes: string[];
  /** Opcodes of the requests that wait in the poll table. */
  polled: number[];
  /** `user_data` and `res` of completions that found no room. */
  overflow: { user_data: string; res: number }[];
  /** The same of those in the queue. */
  cqes: { user_data: string; res: number }[];
}

function hex(decimal: string): string {
  return `0x${BigInt(decimal).toString(16)}`;
}

/** Parses what `io_uring_show_fdinfo()` prints. */
function parseFdInfo(text: string): ParsedFdInfo {
  const parsed: ParsedFdInfo = { numbers: {}, sqes: [], polled: [], overflow: [], cqes: [] };
  for (const line of text.split("\n")) {
    const number = /^(\w+):\s+(-?(?:0x[0-9a-f]+|\d+))$/.exec(line);
    const sqe = /^\s+\d+: opcode:\S+ .* user_data:(\d+)/.exec(line);
    const cqe = /^\s+\d+: user_data:(\d+), res:(-?\d+)/.exec(line);
    const poll = /^\s+op=(\d+), /.exec(line);
    const overflow = /^\s+user_data=(\d+), res=(-?\d+)/.exec(line);
    if (number) parsed.numbers[number[1]!] = Number(number[2]);
    else if (sqe) parsed.sqes.push(hex(sqe[1]!));
    else if (cqe) parsed.cqes.push({ user_data: hex(cqe[1]!), res: Number(cqe[2]) });
    else if (poll) parsed.polled.push(Number(poll[1]));
    else if (overflow) {
      parsed.overflow.push({ user_data: hex(overflow[1]!), res: Number(overflow[2]) });
    }
  }
  return parsed;
}

function compareOneFdInfo(entry: Item, { pid, fd, text }: FdInfo): Difference[] {
  const comparison = new Comparison(`fdinfo of ${pid}/${fd}`);
  const { numbers, sqes, polled, overflow, cqes } = parseFdInfo(text);
  const pairs: [string, string, number][] = [
    ["SqHead", "sq_head", 0],
    ["SqTail", "sq_tail", 0],
    ["CqHead", "cq_head", 0],
    ["CqTail", "cq_tail", 0],
    ["SqMask", "sq_entries", 1],
    ["CqMask", "cq_entries", 1],
  ];
  for (const [from, to, add] of pairs) {
    const number = numbers[from];
    if (number !== undefined) comparison.subset(to, number + add, entry[to]);
  }
  const pending = items(entry.pending).map(userData);
  if (numbers.SQEs !== undefined) comparison.subset("pending.length", numbers.SQEs, pending.length);
  // An opcode without a name is not printed.
  comparison.subset("pending", sqes, pending.filter((tag) => sqes.includes(tag)));
  const waiting = items(entry.in_flight).map((request) => request.opcode_number);
  for (const opcode of polled) {
    const at = waiting.indexOf(opcode);
    if (at < 0) comparison.add("in_flight[].opcode_number", opcode, waiting);
    else waiting.splice(at, 1);
  }
  const requests = requestsOf(entry);
  for (const { user_data, res } of [...cqes, ...overflow]) {
    const request = requests.find((r) => userData(r) === user_data);
    const result = request && isObject(request.result) ? request.result.res : undefined;
    // A multishot request that goes on has completions as well.
    const going = items(entry.in_flight).some((r) => userData(r) === user_data);
    if (!going && result !== res) comparison.add(`result of ${user_data}`, res, result);
  }
  return comparison.differences;
}

/**
 * Compares entries with the kernel's own account of the rings that a file
 * descriptor shows. Each of them must have an entry.
 */
export function compareFdInfo(
  entries: readonly IOUringEntry[] | readonly TruthObject[],
  fdinfo: readonly FdInfo[],
): Difference[] {
  const differences: Difference[] = [];
  const all = entries as readonly unknown[] as readonly Item[];
  for (const info of fdinfo) {
    const entry = all.find((e) =>
      items(e.owners).some((owner) => owner.pid === info.pid && owner.fd === info.fd)
    );
    if (entry) {
      differences.push(...compareOneFdInfo(entry, info));
    } else {
      const ring = `fdinfo of ${info.pid}/${info.fd}`;
      differences.push({ ring, path: "", expected: "an entry", got: undefined });
    }
  }
  return differences;
}

/** Checks the workload's truth against the kernel's: both must agree. */
export function compareTruth(truth: LabTruth): Difference[] {
  const differences = compareFdInfo(truth.rings.map((ring) => ring.expect), truth.fdinfo);
  const shown = new Set(truth.fdinfo.map(({ pid, fd }) => `${pid}:${fd}`));
  for (const { name, fd_visible, expect } of truth.rings) {
    const seen = items(expect.owners).some((o) => shown.has(`${o.pid}:${o.fd}`));
    // An fd in a table of a thread's own has the number of an fd, and is not shown.
    if (seen !== fd_visible) {
      differences.push({ ring: name, path: "fd_visible", expected: fd_visible, got: seen });
    }
  }
  return differences;
}
