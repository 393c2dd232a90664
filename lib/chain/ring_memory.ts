import { opcodeNumber, OPCODES } from "../uapi/opcodes.ts";
import { BoundedMap } from "./bounded_map.ts";
import { fieldsOf, MAX_ADDRESS, MAX_PATH } from "./fields.ts";
import type { RequestView } from "./request_view.ts";

/** Descriptors and peers of all programs together, by opcode, and counts, remembered at a time. */
const MAX_PLACES = 16_384;
const MAX_COUNTS = 4096;
/** Names that count until something else is done with them, and those that no longer do. */
const MAX_LOOKUPS = 16_384;
const MAX_LEFT = 16_384;
/** `NAME_MAX`: what is longer in a stream is no name. */
const MAX_NAME = 255;
/** ms within which repeated requests count together. */
const WINDOW_MS = 1000;
const CLOSE = opcodeNumber("IORING_OP_CLOSE");
const CONNECT = opcodeNumber("IORING_OP_CONNECT");
/** What gives a descriptor as its result. */
const OPENING: ReadonlySet<number | undefined> = new Set(
  ["OPENAT", "OPENAT2", "SOCKET", "ACCEPT"].map((name) => opcodeNumber(`IORING_OP_${name}`)),
);
/** Results of a connection that is still being made. */
const PENDING_ERRORS: ReadonlySet<unknown> = new Set(["EINPROGRESS", "EALREADY", "EISCONN"]);

/** A process and a descriptor of it, or no descriptor; a ring and a slot; a program and a peer. */
type Place = number | string;
/** Descriptors and processes below these have a number together, of the engine's small ones. */
const MAX_FD = 255;
const MAX_PID = 2 ** 22;
const NOWHERE: Place[] = [];

interface Count {
  /** Tells it from others. */
  readonly id: number;
  /** When the first was seen, ms since 1970; NaN where that is not known. */
  readonly since: number;
  times: number;
  /** The different names, where those are counted. */
  readonly names: Set<string>;
  /** The last request that came to be counted, by its id: its record may be large. */
  last: number | undefined;
}

/** What is counted, and up to where. */
export interface Counting {
  /** The count that is reached or not. */
  readonly least: number;
  /** What is counted once only, within `group`, whichever process and ring of a program it is of. */
  readonly group?: string;
  readonly name?: string;
  /** A name counts no more once the program does something else with it. */
  readonly lookupsOnly?: boolean;
}

/**
 * What rules need to know of earlier requests: which descriptor or peer has been used for what, and
 * how often something was done within a second. It is bounded, and forgets what was used longest ago.
 */
export class RingMemory {
  readonly #remembered: ReadonlySet<number>;
  /** By opcode: where it was done. */
  readonly #done = new Map<number, BoundedMap<Place, true>>();
  readonly #counts = new BoundedMap<string, Count>(MAX_COUNTS);
  /** Counts that may lose a name, by program and name. */
  readonly #lookups = new BoundedMap<string, Count>(MAX_LOOKUPS);
  /** Names that count no more, by count and name. */
  readonly #left = new BoundedMap<string, true>(MAX_LEFT);
  #nextId = 0;
  /** Changes with what is remembered, but for counts. */
  version = 0;
  /** Set when a count was asked, whose answer depends on the time. */
  hasCounted = false;

  /** @param remembered The opcodes that {@linkcode hasDone} is asked for. */
  constructor(remembered: ReadonlySet<number>) {
    this.#remembered = remembered;
  }

  /** Takes note of a request that was judged. */
  note(request: RequestView): void {
    const { opcode } = request;
    if (!this.#lookups.isEmpty) this.#discount(request);
    if (opcode === undefined) return;
    if (opcode === CLOSE) {
      // One that does not tell may be of anything.
      if (request.descriptor !== undefined) this.#forget(placeOf(request));
    } else if (OPENING.has(opcode)) {
      const { res } = fieldsOf(request.request.result);
      if (typeof res === "number") this.#forget(placeOf(request, { fd: res, isFixed: false }));
    } else {
      const done = isFastOpen(request) ? CONNECT! : opcode;
      if (!this.#remembered.has(done) || hasFailed(request) || isLocal(request)) return;
      let places = this.#done.get(done);
      if (places === undefined) this.#done.set(done, places = new BoundedMap(MAX_PLACES));
      this.#add(places, placeOf(request));
      for (const peer of peersOf(request)) this.#add(places, peer);
    }
  }

  /** What was done there was done with something else. */
  #forget(place: Place): void {
    for (const places of this.#done.values()) {
      if (!places.has(place)) continue;
      places.delete(place);
      this.version++;
    }
  }

  #add(places: BoundedMap<Place, true>, place: Place): void {
    if (places.has(place)) return;
    places.set(place, true);
    this.version++;
  }

  /**
   * Whether the same process has done one of `opcodes` with the request's descriptor before, or the
   * same program with its peer: a connection may be duplicated, put into a slot or inherited.
   */
  hasDone(request: RequestView, opcodes: ReadonlySet<number>): boolean {
    for (const opcode of opcodes) {
      const places = this.#done.get(opcode);
      if (places === undefined || places.isEmpty) continue;
      const { descriptor } = request;
      // Where descriptors are not told, READ and WRITE may be of anything.
      if (descriptor === undefined && !isOfSocket(request)) return false;
      if (places.has(placeOf(request, descriptor))) return true;
      if (peersOf(request).some((peer) => places.has(peer))) return true;
    }
    return false;
  }

  /** Whether nothing is remembered that {@linkcode hasDone} is asked for. */
  get isEmpty(): boolean {
    return this.#done.size === 0;
  }

  /** Whether anything is remembered of a descriptor of a process. */
  remembers(pid: number, fd: number): boolean {
    const place = placeOfFd(pid, fd);
    for (const places of this.#done.values()) {
      if (places.has(place)) return true;
    }
    return false;
  }

  /** Whether there are names that count until something else is done with them. */
  get countsLookups(): boolean {
    return !this.#lookups.isEmpty;
  }

  /**
   * Counts a request that fulfils a condition.
   *
   * @param condition Tells the condition from others.
   */
  reaches(request: RequestView, condition: number, counting: Counting): boolean {
    this.hasCounted = true;
    const { least, group, name, lookupsOnly } = counting;
    const whose = group === undefined ? ringOf(request) : programOf(request);
    const key = `${condition} ${whose} ${group ?? ""}`;
    const now = Date.parse(String(request.record.timestamp));
    let count = this.#counts.get(key);
    if (count === undefined || Math.abs(now - count.since) > WINDOW_MS) {
      count = { id: this.#nextId++, since: now, times: 0, names: new Set(), last: undefined };
      this.#counts.set(key, count);
    }
    count.last = request.id;
    const isNew = name === undefined || name.length <= MAX_NAME && !count.names.has(name) &&
        this.#left.get(`${count.id} ${name}`) === undefined;
    if (isNew && count.times < least) {
      count.times++;
      if (name !== undefined) count.names.add(name);
      if (name !== undefined && lookupsOnly) {
        this.#lookups.set(`${programOf(request)} ${name}`, count);
        this.version++;
      }
    }
    return count.times >= least;
  }

  /** Takes the names that a request uses from the counts of mere lookups. */
  #discount(request: RequestView): void {
    const program = programOf(request);
    for (const { forms } of request.paths) {
      const path = forms.at(-1)!;
      const name = path.slice(path.lastIndexOf("/") + 1);
      const key = `${program} ${name}`;
      const count = this.#lookups.get(key);
      if (count === undefined || count.last === request.id) continue;
      this.version++;
      this.#lookups.delete(key);
      if (count.names.delete(name)) count.times--;
      this.#left.set(`${count.id} ${name}`, true);
    }
  }

  clear(): void {
    this.version++;
    this.#done.clear();
    this.#counts.clear();
    this.#lookups.clear();
    this.#left.clear();
  }
}

/** The ring that a request is of, or its process where the record does not tell rings apart. */
function ringOf({ record }: RequestView): string {
  const ctx = fieldsOf(record.io_uring).ctx;
  return typeof ctx === "string" && ctx.length <= MAX_ADDRESS
    ? ctx
    : `pid ${Number(fieldsOf(record.process).pid)}`;
}

/** The executable, so that one program is the same in all its processes. */
function programOf({ record }: RequestView): string {
  const { binary_path: executable, pid } = fieldsOf(record.process);
  const isPath = typeof executable === "string" && executable !== "" &&
    executable.length <= MAX_PATH;
  return isPath ? executable : `pid ${Number(pid)}`;
}

/** The program's sockets with the same peers as the request's. */
function peersOf(request: RequestView): Place[] {
  const { peers } = request;
  if (peers.length === 0) return NOWHERE;
  const program = programOf(request);
  const places: Place[] = [];
  for (const { address, text, port } of peers) {
    if (address === undefined) continue;
    // One that is IPv4 may be written as IPv6, too.
    const host = address.length === 2 ? `${address[0]}:${address[1]}` : text;
    places.push(`${program} to ${host} ${port}`);
  }
  return places;
}

function placeOf(request: RequestView, descriptor = request.descriptor): Place {
  const { pid } = fieldsOf(request.record.process);
  const { fd = -1, isFixed = false } = descriptor ?? {};
  if (isFixed || typeof pid !== "number") {
    return `${ringOf(request)} ${isFixed ? "slot" : ""} ${fd}`;
  }
  return placeOfFd(pid, fd);
}

function placeOfFd(pid: number, fd: number): Place {
  // A small number is put together and looked up ten times faster than a text.
  const isUsual = fd >= -1 && fd < MAX_FD && pid >= 0 && pid < MAX_PID;
  return isUsual && Number.isInteger(fd) && Number.isInteger(pid)
    ? pid * (MAX_FD + 1) + fd + 1
    : `pid ${pid} ${fd}`;
}

function isOfSocket({ opcode }: RequestView): boolean {
  return opcode !== undefined && OPCODES[opcode]?.category === "network";
}

/** A socket of the unix family reaches no other host. */
function isLocal({ info }: RequestView): boolean {
  return info.family === "AF_UNIX";
}

/** Whether a request connects its socket by sending: sendto(2), MSG_FASTOPEN. */
function isFastOpen(request: RequestView): boolean {
  const { flags } = request.info;
  return isOfSocket(request) && typeof flags === "string" && flags.includes("MSG_FASTOPEN");
}

function hasFailed({ request }: RequestView): boolean {
  const { res, errno } = fieldsOf(request.result);
  return typeof res === "number" && res < 0 && !PENDING_ERRORS.has(errno);
}
