import type {
  Argument,
  ArgumentName,
  ArgumentReader,
  KnownArguments,
  MissingReason,
  ReadResult,
} from "./argument.ts";
import { viewOf } from "./bytes.ts";
import { type FlagTable, flagText } from "./flags.ts";
import type { JsonObject, JsonValue } from "./json_value.ts";
import { hexText, sizeValue } from "./numbers.ts";
import { AT_FDCWD, FILE_INDEX_ALLOC } from "./op_flags.ts";
import type { RequestFields } from "./request_fields.ts";
import { IOSQE_FIXED_FILE } from "./ring_flags.ts";
import { parseSockaddr } from "./socket_address.ts";
import { putText, putUnixName } from "./text.ts";

const IOSQE_BUFFER_SELECT = 1 << 5;

/** `sizeof(struct sockaddr_storage)`: the kernel takes no longer address. */
const MAX_SOCKADDR = 128;

/** UIO_MAXIOV: the kernel takes no more buffers. */
const MAX_IOVECS = 1024n;

const CURRENT_POSITION = 0xffff_ffff_ffff_ffffn;

/** A key that should be there and is not, or is only a stand-in. */
export interface MissingField {
  /** Path of the key from the record that holds `op_info`: `"op_info.path"`. */
  readonly path: string;
  /** Why it could not be had. */
  readonly reason: MissingReason;
}

/** A request's arguments in words. */
export interface OpInfo {
  /** The `op_info` object, undefined where the request has nothing to tell. */
  readonly info: Readonly<Record<string, JsonValue>> | undefined;
  /** What could not be had. */
  readonly missing: readonly MissingField[];
  /**
   * Paths of the keys whose value had to come from user memory, which the process may have changed
   * since.
   */
  readonly unverified: readonly string[];
}

/** The parts of a `struct msghdr` that say where a message goes and how long it is. */
interface MessageHeader {
  readonly name: bigint;
  readonly nameLength: number;
  readonly iov: bigint;
  readonly iovLength: bigint;
}

/**
 * An `op_info` object under construction. Its methods put one key (or the few that belong together)
 * each, in the order they are called. A slot that the source does not hold leaves its key out and
 * is listed as missing; a set of flags without any leaves its key out too, and is not.
 */
export class RequestDescription {
  /** The slots. */
  readonly fields: RequestFields;
  /**
   * Whether the request has run, so that the kernel has filled what it returns through pointers.
   */
  readonly completed: boolean;
  readonly #reader: ArgumentReader;
  readonly #known: KnownArguments;
  readonly #info: JsonObject = {};
  readonly #missing: MissingField[] = [];
  readonly #unverified: string[] = [];
  #header: MessageHeader | MissingReason | undefined;

  constructor(
    fields: RequestFields,
    reader: ArgumentReader,
    options: { known: KnownArguments; completed: boolean },
  ) {
    this.fields = fields;
    this.completed = options.completed;
    this.#reader = reader;
    this.#known = options.known;
  }

  /** What has been put so far. */
  result(): OpInfo {
    let info: JsonObject | undefined;
    for (const _ in this.#info) {
      info = this.#info;
      break;
    }
    return { info, missing: this.#missing, unverified: this.#unverified };
  }

  /** Whether an `IOSQE_*` bit is set; false where the source does not hold the flags. */
  #hasFlag(bit: number): boolean {
    return ((this.fields.flags ?? 0) & bit) !== 0;
  }

  /** Lists `key` as missing. */
  miss(key: string, reason: MissingReason): void {
    this.#missing.push({ path: `op_info.${key}`, reason });
  }

  /** Puts a value that needs no more rendering. */
  value(key: string, value: JsonValue | undefined): void {
    if (value === undefined) this.miss(key, "not_kept");
    else this.#info[key] = value;
  }

  /** Puts a length or an offset: a number, or hex text above 2^53. */
  size(key: string, value: bigint | undefined): void {
    this.value(key, value === undefined ? undefined : sizeValue(value));
  }

  /** Puts a file offset; -1, the file's own position, is left out. */
  offset(key: string, value: bigint | undefined): void {
    if (value !== undefined && BigInt.asUintN(64, value) === CURRENT_POSITION) return;
    this.size(key, value);
  }

  /** Puts an address or a cookie as hex text. */
  hex(key: string, value: bigint | undefined): void {
    this.value(key, value === undefined ? undefined : hexText(value));
  }

  /** Puts the names of the bits set, none where there are none. */
  flags(key: string, value: number | undefined, table: FlagTable): void {
    if (value === undefined) this.miss(key, "not_kept");
    else if (value !== 0) this.#info[key] = flagText(value, table);
  }

  /** Puts the name of a value; the number as text where it has none. */
  name(
    key: string,
    value: number | undefined,
    names: readonly (string | undefined)[],
  ): void {
    this.value(key, value === undefined ? undefined : names[value] ?? String(value));
  }

  /** Puts a directory fd: `"AT_FDCWD"` or a number. */
  directory(key: string, fd: number | undefined): void {
    this.value(key, fd === AT_FDCWD ? "AT_FDCWD" : fd);
  }

  /**
   * Puts `file_slot`, the slot of the ring's file table that a new file goes to: its index,
   * `"alloc"`, none for no slot.
   */
  slot(fileIndex: number | undefined): void {
    if (fileIndex === undefined) this.miss("file_slot", "not_kept");
    else if (fileIndex === FILE_INDEX_ALLOC) this.#info.file_slot = "alloc";
    else if (fileIndex !== 0) this.#info.file_slot = fileIndex - 1;
  }

  /** Puts `fd`, and `fixed_file` where that is an index into the ring's file table. */
  file(): void {
    this.value("fd", this.fields.fd);
    if (this.#hasFlag(IOSQE_FIXED_FILE)) this.#info.fixed_file = true;
  }

  /**
   * Puts `buf_index` or `buf_group` where the data is in a registered buffer or in one that the
   * kernel picks.
   */
  buffer(registered: boolean): void {
    if (registered) this.value("buf_index", this.fields.bufIndex);
    else if (this.#hasFlag(IOSQE_BUFFER_SELECT)) this.value("buf_group", this.fields.bufIndex);
  }

  /** Puts the text at `address`; `""` stands in for one that cannot be had. */
  path(key: "path" | "old_path" | "new_path", address: bigint | undefined): void {
    const argument = this.#argument(key, address, (at) => this.#reader.path(at));
    if (argument.ok) {
      putText(this.#info, key, argument.bytes);
      this.#mark(key, argument);
    } else {
      this.#info[key] = "";
      this.miss(key, argument.reason);
    }
  }

  /** Puts the name of an extended attribute at `address`. */
  attributeName(address: bigint | undefined): void {
    const argument = this.#argument("name", address, (at) => this.#reader.path(at));
    if (argument.ok) {
      putText(this.#info, "name", argument.bytes);
      this.#mark("name", argument);
    } else {
      this.miss("name", argument.reason);
    }
  }

  /** The bytes of a structure of `size` bytes at `address`. */
  struct(name: ArgumentName, address: bigint | undefined, size: number): Argument {
    const argument = this.#argument(name, address, (at) => this.#reader.bytes(at, size));
    if (argument.ok && argument.bytes.length < size) return { ok: false, reason: "invalid" };
    return argument;
  }

  /** Whether a source has read this argument already. */
  has(name: ArgumentName): boolean {
    return this.#known[name]?.ok === true;
  }

  /** The `int` at `address`, or why it cannot be had. */
  lengthAt(address: bigint | undefined): number | MissingReason {
    if (address === undefined) return "not_kept";
    const read = this.#read(address, (at) => this.#reader.bytes(at, 4));
    if (!read.ok) return read.reason;
    return read.bytes.length < 4 ? "invalid" : viewOf(read.bytes).getInt32(0, true);
  }

  /** Lists `keys` as unverified if their value came from user memory. */
  mark(argument: Argument, ...keys: string[]): void {
    for (const key of keys) this.#mark(key, argument);
  }

  /**
   * Puts the socket address at `address`: `addr port family scope_id`, or `path family` for a unix
   * socket.
   *
   * @param required The request makes no sense without: `addr` is then always there, `""` where it
   * could not be read.
   */
  socketAddress(
    address: bigint | undefined,
    length: number | undefined,
    options: { required: boolean },
  ): void {
    const argument = this.#socketAddressBytes(address, length);
    const parsed = argument.ok ? parseSockaddr(argument.bytes) : undefined;
    if (argument.ok && parsed !== undefined) {
      const { family, addr, port, scopeId, path } = parsed;
      if (addr !== undefined) this.#info.addr = addr;
      if (port !== undefined) this.#info.port = port;
      if (path !== undefined) putUnixName(this.#info, "path", path);
      this.#info.family = family;
      if (scopeId !== undefined) this.#info.scope_id = scopeId;
      if (addr !== undefined) this.mark(argument, "addr", "port");
      if (path !== undefined) this.mark(argument, "path");
      this.mark(argument, "family");
      return;
    }
    if (options.required) this.#info.addr = "";
    else if (argument.ok && argument.bytes.length === 0) return; // A message without an address.
    this.missSocketAddress(argument.ok ? "invalid" : argument.reason);
  }

  /** Lists the keys of a socket address as missing. */
  missSocketAddress(reason: MissingReason): void {
    this.miss("addr", reason);
    this.miss("port", reason);
    this.miss("family", reason);
  }

  /** Puts the address of the `struct msghdr` that `addr` points to, if it has one. */
  messageAddress(): void {
    if (this.has("sockaddr")) {
      this.socketAddress(undefined, undefined, { required: false });
      return;
    }
    const header = this.#messageHeader();
    if (typeof header === "string") {
      this.missSocketAddress(header);
    } else if (header.name !== 0n && header.nameLength > 0) {
      this.socketAddress(header.name, header.nameLength, { required: false });
    }
  }

  /** Puts `iovecs` and `len`, the number of buffers of a message and their length in all. */
  messageLength(): void {
    const header = this.#messageHeader();
    if (typeof header !== "string") {
      this.size("iovecs", header.iovLength);
      this.#unverified.push("op_info.iovecs");
      this.#vectorLength(header.iov, header.iovLength);
    } else if (this.fields.byteLength !== undefined) {
      this.size("len", this.fields.byteLength);
    } else {
      this.miss("len", header);
    }
  }

  /** Puts `iovecs` and `len` of a request whose `addr` and `len` are an array of `struct iovec`. */
  vector(): void {
    const { addr, len } = this.fields;
    this.value("iovecs", len);
    this.#vectorLength(addr, len === undefined ? undefined : BigInt(len));
  }

  #vectorLength(address: bigint | undefined, count: bigint | undefined): void {
    const { byteLength } = this.fields;
    if (byteLength !== undefined) {
      this.size("len", byteLength);
    } else if (address === undefined || count === undefined) {
      this.miss("len", "not_kept");
    } else if (count === 0n) {
      this.#info.len = 0;
    } else if (count > MAX_IOVECS) {
      this.miss("len", "invalid");
    } else {
      this.#sumVector(address, Number(count));
    }
  }

  #sumVector(address: bigint, count: number): void {
    const width = this.fields.compat === true ? 4 : 8;
    const size = count * width * 2;
    const read = this.#read(address, (at) => this.#reader.bytes(at, size));
    if (!read.ok || read.bytes.length < size) {
      this.miss("len", read.ok ? "invalid" : read.reason);
      return;
    }
    const view = viewOf(read.bytes);
    let sum = 0n;
    for (let offset = width; offset < size; offset += width * 2) {
      sum += wordAt(view, offset, width);
    }
    this.size("len", sum);
    this.#unverified.push("op_info.len");
  }

  /** The message header at `addr`, read at most once, or why there is none. */
  #messageHeader(): MessageHeader | MissingReason {
    this.#header ??= this.#readMessageHeader();
    return this.#header;
  }

  #readMessageHeader(): MessageHeader | MissingReason {
    // struct user_msghdr and compat_msghdr: name, namelen, iov, iovlen, control, controllen, flags.
    const compat = this.fields.compat === true;
    const width = compat ? 4 : 8;
    const size = compat ? 28 : 56;
    const { addr } = this.fields;
    if (addr === undefined) return "not_kept";
    const read = this.#read(addr, (at) => this.#reader.bytes(at, size));
    if (!read.ok) return read.reason;
    if (read.bytes.length < size) return "invalid";
    const view = viewOf(read.bytes);
    return {
      name: wordAt(view, 0, width),
      nameLength: view.getInt32(width, true),
      iov: wordAt(view, width * 2, width),
      iovLength: wordAt(view, width * 3, width),
    };
  }

  /** An argument read already, or what `read` finds at `address`. */
  #argument(
    name: ArgumentName,
    address: bigint | undefined,
    read: (address: bigint) => ReadResult,
  ): Argument {
    const known = this.#known[name];
    if (known?.ok === true) return known;
    if (address === undefined) return known ?? { ok: false, reason: "not_kept" };
    const result = this.#read(address, read);
    return result.ok ? { ...result, unverified: true } : result;
  }

  #read(address: bigint, read: (address: bigint) => ReadResult): ReadResult {
    return address === 0n ? { ok: false, reason: "null" } : read(address);
  }

  #socketAddressBytes(address: bigint | undefined, length: number | undefined): Argument {
    const known = this.#known.sockaddr;
    if (known?.ok === true) {
      // The kernel's copy lies in a sockaddr_storage; only the request's own length says where it
      // ends.
      if (length === undefined || length >= known.bytes.length) return known;
      return { ...known, bytes: known.bytes.subarray(0, Math.max(length, 0)) };
    }
    if (address === undefined || length === undefined) {
      return known ?? { ok: false, reason: "not_kept" };
    }
    if (length <= 0) return { ok: false, reason: "invalid" };
    const size = Math.min(length, MAX_SOCKADDR);
    return this.#argument("sockaddr", address, (at) => this.#reader.bytes(at, size));
  }

  #mark(key: string, argument: Argument): void {
    if (argument.unverified === true) this.#unverified.push(`op_info.${key}`);
  }
}

/** The pointer or size_t of `width` 4 or 8 bytes at `offset`. */
function wordAt(view: DataView, offset: number, width: number): bigint {
  return width === 4 ? BigInt(view.getUint32(offset, true)) : view.getBigUint64(offset, true);
}
