import type { Access, TargetKind } from "../config/rule.ts";
import { type IpAddress, parseIpAddress } from "../uapi/ip_address.ts";
import { descriptorInPath, DIRECTORY_OF_PATH, isInDirectory } from "../uapi/directories.ts";
import { opcodeNumber } from "../uapi/opcodes.ts";
import { UNKNOWN_ID } from "../record/records.ts";
import { arrayOf, type Fields, fieldsOf } from "./fields.ts";
import { headOf, latin1, type MatchablePath } from "./path_matcher.ts";

/** A path that a request names or works on, and what it does to it. */
export interface PathUse extends MatchablePath {
  /** Empty for a request that neither reads nor changes it: CLOSE, FSYNC, STATX. */
  readonly access: readonly Access[];
}

/** An address and port that a request talks to. */
export interface Peer {
  readonly address: IpAddress | undefined;
  /** The address as it is written. */
  readonly text: unknown;
  readonly port: number | undefined;
}

/** What a request names a file by. */
export interface Descriptor {
  readonly fd: number;
  /** Whether it is a slot of the ring's file table. */
  readonly isFixed: boolean;
}

const READ: readonly Access[] = ["read"];
const WRITE: readonly Access[] = ["write"];
const REMOVE: readonly Access[] = ["remove"];
const NO_ACCESS: readonly Access[] = [];
const NO_PATHS: readonly PathUse[] = [];
const NO_PEERS: readonly Peer[] = [];
/** A key is looked up much faster than it is put together. */
const HEX_KEYS: Readonly<Record<string, string>> = {
  path: "path_hex",
  old_path: "old_path_hex",
  new_path: "new_path_hex",
  dfd_path: "dfd_path_hex",
  old_dfd_path: "old_dfd_path_hex",
};

/** What an opcode does to the path of its `op_info`, or to the file that it works on. */
const ACCESS_OF_OPCODE: Readonly<Record<string, readonly Access[]>> = {
  IORING_OP_READ: READ,
  IORING_OP_READV: READ,
  IORING_OP_READ_FIXED: READ,
  IORING_OP_READ_MULTISHOT: READ,
  IORING_OP_READV_FIXED: READ,
  IORING_OP_WRITE: WRITE,
  IORING_OP_WRITEV: WRITE,
  IORING_OP_WRITE_FIXED: WRITE,
  IORING_OP_WRITEV_FIXED: WRITE,
  IORING_OP_SPLICE: WRITE,
  IORING_OP_TEE: WRITE,
  IORING_OP_SETXATTR: WRITE,
  IORING_OP_FSETXATTR: WRITE,
  IORING_OP_FTRUNCATE: WRITE,
  IORING_OP_FALLOCATE: WRITE,
  IORING_OP_MKDIRAT: WRITE,
  IORING_OP_UNLINKAT: REMOVE,
};
const ACCESS: readonly (readonly Access[])[] = Array.from({ length: 256 }, () => NO_ACCESS);
for (const [name, access] of Object.entries(ACCESS_OF_OPCODE)) {
  (ACCESS as (readonly Access[])[])[opcodeNumber(name)!] = access;
}
const OPENAT = opcodeNumber("IORING_OP_OPENAT")!;
const OPENAT2 = opcodeNumber("IORING_OP_OPENAT2")!;
const RENAMEAT = opcodeNumber("IORING_OP_RENAMEAT")!;
const LINKAT = opcodeNumber("IORING_OP_LINKAT")!;
const SYMLINKAT = opcodeNumber("IORING_OP_SYMLINKAT")!;
const CLOSE = opcodeNumber("IORING_OP_CLOSE")!;
const SPLICE = opcodeNumber("IORING_OP_SPLICE")!;
const TEE = opcodeNumber("IORING_OP_TEE")!;
const READ_WRITE: readonly Access[] = ["read", "write"];
/** The same for opcodes whose paths or flags decide. */
const POSSIBLE_ACCESS: ReadonlyMap<number, readonly Access[]> = new Map([
  [OPENAT, READ_WRITE],
  [OPENAT2, READ_WRITE],
  [RENAMEAT, ["write", "remove"]],
  [LINKAT, READ_WRITE],
  [SYMLINKAT, READ_WRITE],
  [SPLICE, READ_WRITE],
  [TEE, READ_WRITE],
]);

/** What a request of this opcode can do to a path: what rules need to be asked. */
export function possibleAccess(opcode: number): readonly Access[] {
  return POSSIBLE_ACCESS.get(opcode) ?? ACCESS[opcode] ?? NO_ACCESS;
}

/**
 * Sets of the `missing` and `unverified` lists of records: a ring may have 32768 requests, and each
 * asks.
 */
const SETS = new WeakMap<readonly unknown[], ReadonlySet<unknown>>();

function setOf(list: readonly unknown[]): ReadonlySet<unknown> {
  let set = SETS.get(list);
  if (set === undefined) SETS.set(list, set = new Set(list));
  return set;
}

let nextId = 0;

/**
 * One request, from an event or from a ring's list. What it holds is looked at when it is asked
 * for; a record may have been read from a stream that anyone wrote, so no type is relied on.
 */
export class RequestView {
  /** Tells it from other views, for as long as the program runs. */
  readonly id: number = nextId++;
  /** The record that the request is of. */
  readonly record: Fields;
  /** The request itself: an item of a ring's list, or the record again. */
  readonly request: Fields;
  /** The opcode's number; undefined where it is not known. */
  readonly opcode: number | undefined;
  readonly info: Fields;
  /** Where the request stands in the record: "", or `pending.0.`. */
  readonly #place: string;
  #paths: readonly PathUse[] | undefined;
  #peers: readonly Peer[] | undefined;

  constructor(record: Fields, request: Fields, place: string) {
    this.record = record;
    this.request = request;
    this.#place = place;
    const number = request.opcode_number ?? fieldsOf(request.io_uring).opcode_number ??
      (typeof request.opcode === "string" ? opcodeNumber(request.opcode) : undefined);
    this.opcode = typeof number === "number" && number !== UNKNOWN_ID ? number : undefined;
    this.info = fieldsOf(request.op_info);
  }

  /** Whether a key of `op_info` that belongs there could not be read. */
  isUnread(...keys: readonly string[]): boolean {
    return this.#isListed(this.record.missing, keys);
  }

  /** Whether a key of `op_info` was read from memory that its process may have used again since. */
  isOutdated(key: string): boolean {
    return this.record.type === "IOUringEntry" && this.#isListed(this.record.unverified, [key]);
  }

  #isListed(list: unknown, keys: readonly string[]): boolean {
    const listed = arrayOf(list);
    if (listed.length === 0) return false;
    const paths = setOf(listed);
    return keys.some((key) => paths.has(`${this.#place}op_info.${key}`));
  }

  /** The paths that the request names, and that of the file it works on. */
  get paths(): readonly PathUse[] {
    return this.#paths ??= this.#findPaths();
  }

  /** Who the request talks to: by the address it names, and by its socket. */
  get peers(): readonly Peer[] {
    return this.#peers ??= this.#findPeers();
  }

  #findPeers(): readonly Peer[] {
    const { info } = this;
    const named = peerOf(info);
    const ofTarget = peerOf(fieldsOf(info.target));
    if (info.target_in !== undefined) {
      const ofInput = peerOf(fieldsOf(info.target_in));
      return [named, ofTarget, ofInput].filter((peer) => peer !== undefined);
    }
    if (named === undefined) return ofTarget === undefined ? NO_PEERS : [ofTarget];
    return ofTarget === undefined ? [named] : [named, ofTarget];
  }

  /** Whether the request works on an open file of one of these kinds, or reads one. */
  isOn(kinds: readonly TargetKind[]): boolean {
    const { target, target_in } = this.info;
    return kinds.includes(kindOf(target)) ||
      target_in !== undefined && kinds.includes(kindOf(target_in));
  }

  /** The descriptor that the request works on. */
  get descriptor(): Descriptor | undefined {
    const { file_slot } = this.info;
    if (this.opcode === CLOSE && typeof file_slot === "number") {
      return { fd: file_slot, isFixed: true };
    }
    const uring = fieldsOf(this.request.io_uring);
    const fd = uring.fd ?? this.request.fd ?? this.info.fd;
    if (typeof fd !== "number") return undefined;
    const isFixed = uring.fixed_file === true || this.info.fixed_file === true ||
      arrayOf(this.request.sqe_flags).includes("IOSQE_FIXED_FILE");
    return { fd, isFixed };
  }

  #findPaths(): readonly PathUse[] {
    const { info, opcode } = this;
    const { path, old_path, new_path, target, target_in } = info;
    if (
      path === undefined && old_path === undefined && new_path === undefined &&
      target === undefined && target_in === undefined
    ) return NO_PATHS;
    const paths: (PathUse | undefined)[] = [];
    if (worksOnDescriptor(info, path)) paths.push(this.#use(info, "dfd_path", this.#access));
    if (worksOnDescriptor(info, old_path)) paths.push(this.#use(info, "old_dfd_path", READ));
    if (path !== undefined) paths.push(this.#use(info, "path", this.#access));
    if (new_path !== undefined) {
      paths.push(this.#use(info, "old_path", opcode === RENAMEAT ? REMOVE : READ));
      paths.push(this.#use(info, "new_path", WRITE));
    }
    if (target !== undefined) paths.push(this.#use(fieldsOf(target), "path", this.#access));
    if (target_in !== undefined) paths.push(this.#use(fieldsOf(target_in), "path", READ));
    return paths.filter((use) => use !== undefined);
  }

  get #access(): readonly Access[] {
    if (this.opcode === OPENAT || this.opcode === OPENAT2) return openAccess(this.info);
    return this.opcode === undefined ? NO_ACCESS : ACCESS[this.opcode] ?? NO_ACCESS;
  }

  #use(holder: Fields, key: string, access: readonly Access[]): PathUse | undefined {
    const { [key]: text, [HEX_KEYS[key]!]: hex } = holder;
    if (typeof text !== "string" || text === "") return undefined;
    const bytes = typeof hex === "string" && /^(?:[0-9a-f]{2})+$/.test(hex);
    const path = bytes ? latin1(Uint8Array.fromHex(hex)) : text;
    if (!NOT_PLAIN.test(path) && !isInDirectory(holder)) {
      return { forms: [path], bytes, heads: [headOf(path)], access };
    }
    const plain = this.#plain(path, { holder, key, bytes });
    const forms = plain === path ? [path] : [path, plain];
    return { forms, bytes, heads: forms.map(headOf), access };
  }

  #plain(path: string, { holder, key, bytes }: { holder: Fields; key: string; bytes: boolean }) {
    const directories = {
      pid: fieldsOf(this.record.process).pid,
      base: () => this.#directory(holder, key, bytes),
      own: () => this.#ownDirectory(bytes),
    };
    if (!isInDirectory(holder)) {
      const { [`${DIRECTORY_OF_PATH[key]}_path`]: open } = holder;
      const through = typeof open === "string" && !bytes ? descriptorInPath(path) : undefined;
      return plainPath(through ? `${open}${path.slice(through.length)}` : path, directories);
    }
    const root = directories.base();
    if (root === undefined) return path;
    // Nothing in the path leads out of it.
    return plainPath(`${root}${plainPath(`/${path}`, directories)}`, directories);
  }

  /** The directory that a path begins at, where it is known. */
  #directory(holder: Fields, key: string, bytes: boolean): string | undefined {
    const { [key]: directory = key } = DIRECTORY_OF_PATH;
    const { [directory]: fd, [`${directory}_path`]: path, [`${directory}_path_hex`]: hex } = holder;
    if (fd === undefined || fd === "AT_FDCWD") return this.#ownDirectory(bytes);
    return typeof path !== "string" || bytes || hex !== undefined ? undefined : path;
  }

  /** The working directory of the process, where it is known. */
  #ownDirectory(bytes: boolean): string | undefined {
    const { cwd, cwd_hex } = fieldsOf(this.record.process);
    return typeof cwd !== "string" || bytes || cwd_hex !== undefined ? undefined : cwd;
  }
}

const NOT_PLAIN = /\/\.{0,2}(?:\/|$)|^(?!\/)|^\/proc\/.*\/(?:root|cwd|fd)(?:\/|$)|^\/dev\/fd\//;
const ROOT = /^\/proc\/(?:self|thread-self|\d+)(?:\/task\/\d+)?\/root$/;
const DIRECTORY = /^\/proc\/(self|thread-self|\d+)(?:\/task\/\d+)?\/cwd$/;

/**
 * A path without the ways of writing it that hide what it is: relative, with `.`, `..` or doubled
 * slashes, or through the root or the working directory of a process in `/proc`. Other symbolic
 * links are not looked up.
 */
function plainPath(
  path: string,
  directory: { pid: unknown; base: () => string | undefined; own: () => string | undefined },
): string {
  if (!NOT_PLAIN.test(path)) return path;
  const base = path.startsWith("/") ? "" : directory.base();
  if (base === undefined) return path;
  let plain = "";
  for (const name of `${base}/${path}`.split("/")) {
    if (name === "" || name === ".") continue;
    plain = name === ".." ? plain.slice(0, plain.lastIndexOf("/")) : `${plain}/${name}`;
    if (name === "root" && ROOT.test(plain)) {
      plain = "";
    } else if (name === "cwd") {
      const [, whose] = DIRECTORY.exec(plain) ?? [];
      if (whose === undefined || /^\d/.test(whose) && Number(whose) !== directory.pid) continue;
      const own = directory.own();
      if (own === undefined) return path;
      plain = own === "/" ? "" : own;
    }
  }
  return plain === "" ? "/" : plain;
}

function kindOf(target: unknown): TargetKind {
  const { kind } = fieldsOf(target);
  return kind === undefined ? "unknown" : kind === "socket" || kind === "pipe" ? kind : "file";
}

/** Who an object of a record names, if anyone. */
function peerOf({ addr, port }: Fields): Peer | undefined {
  if (addr === undefined && port === undefined) return undefined;
  return {
    address: typeof addr === "string" ? parseIpAddress(addr) : undefined,
    text: addr,
    port: typeof port === "number" ? port : undefined,
  };
}

/** Whether a path that is empty stands for what the descriptor beside it is open on. */
function worksOnDescriptor({ flags }: Fields, path: unknown): boolean {
  return path === "" && typeof flags === "string" && flags.includes("AT_EMPTY_PATH");
}

/** What opening a file is for, by its flags. */
function openAccess({ access_flags: mode, creation_flags: creation }: Fields): readonly Access[] {
  if (mode === "O_WRONLY") return WRITE;
  if (mode === "O_RDWR") return READ_WRITE;
  const changes = typeof creation === "string" && /\bO_(?:CREAT|TRUNC|TMPFILE)\b/.test(creation);
  return changes ? READ_WRITE : READ;
}

/** The requests of a record: an event is one, a ring has lists of them. */
export function requestsOf(record: Fields): RequestView[] {
  if (record.type !== "IOUringEntry") return [new RequestView(record, record, "")];
  const views: RequestView[] = [];
  // Oldest first, so that what led to a request comes before it.
  for (const list of ["history", "in_flight", "pending"]) {
    for (const [i, request] of arrayOf(record[list]).entries()) {
      views.push(new RequestView(record, fieldsOf(request), `${list}.${i}.`));
    }
  }
  if (!Array.isArray(record.pending)) {
    for (const opcode_number of arrayOf(record.pending_opcodes)) {
      views.push(new RequestView(record, { opcode_number }, ""));
    }
  }
  return views;
}
