import { BoundedMap } from "../chain/bounded_map.ts";
import { ndjsonLine } from "../record/ndjson.ts";
import type { IOUringEvent, IOUringResult, RequestBlock, SeccompBlock } from "../record/records.ts";
import type { JsonObject, JsonValue } from "../uapi/json_value.ts";
import { opcodeName } from "../uapi/opcodes.ts";
import { sqeFlagNames } from "../uapi/ring_flags.ts";
import { type LineWriter, piece } from "./line_writer.ts";
import type { ThreadBlock } from "./process_table.ts";

const TYPES = {
  IOUringEvent: piece('{"type":"IOUringEvent","process":'),
  IOUringResult: piece('{"type":"IOUringResult","process":'),
};
const OP_INFO = piece(',"op_info":');
const OPEN = piece("{");
const COMMA = piece(",");
const COLON = piece(":");
const TIMESTAMP = piece(',"timestamp":"');
const USER_DATA = piece('","user_data":"0x');
const FD = piece('","fd":');
const QUOTE = piece('"');
const CPU = piece(',"cpu":');
const SEQ = piece(',"seq":');
const SECCOMP = piece('},"seccomp":{"mode":');
const FILTERS = piece(',"filters":');
const CLOSE = piece("}");

/** What depends on the opcode alone, by it: before `op_info`, and behind the timestamp. */
const OPCODES: { readonly name: Uint8Array; readonly number: Uint8Array }[] = [];
/** What depends on the flags of the entry, by those and whether the ring's thread submitted it. */
const FLAGS: Uint8Array[] = [];

// Each is made when it first comes: all of them take longer than to start without.

function opcodePieces(opcode: number) {
  return OPCODES[opcode] ??= {
    name: piece(`,"opcode":"${opcodeName(opcode)}"`),
    number: piece(`","io_uring":{"opcode_number":${opcode},"ctx":"`),
  };
}

function flagsPiece(index: number): Uint8Array {
  return FLAGS[index] ??= piece(
    `,"fixed_file":${(index & 1) !== 0},"sqe_flags":${
      JSON.stringify(sqeFlagNames(index & 0x7f))
    },"sq_thread":${index >= 128}`,
  );
}

/** A record of a request, and what its parts were made of. */
export interface EventParts {
  readonly record: IOUringEvent | IOUringResult;
  readonly thread: ThreadBlock;
  /** IOSQE_* of the entry. */
  readonly flags: number;
  readonly userDataLow: number;
  readonly userDataHigh: number;
}

/**
 * A stretch of a line that is the same in the next one as long as what it is made of is. It is kept
 * once that has come twice.
 */
class Stretch {
  readonly #out: LineWriter;
  #a: unknown;
  #b: unknown;
  #c: unknown;
  #d: unknown;
  #isSame = false;
  #bytes: Uint8Array | undefined;

  constructor(out: LineWriter) {
    this.#out = out;
  }

  /**
   * Writes it if it is there; else it is to be written, and {@linkcode keep} called. `a` to `d` are
   * what it is made of: not a list, which would have to be made for each line.
   */
  write(a: unknown, b: unknown, c: unknown, d: unknown): boolean {
    this.#isSame = a === this.#a && b === this.#b && c === this.#c && d === this.#d;
    if (this.#isSame && this.#bytes !== undefined) {
      this.#out.piece(this.#bytes);
      return true;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = d;
    this.#bytes = undefined;
    return false;
  }

  /** What has been written since `start` is the stretch. */
  keep(start: number): void {
    if (this.#isSame) this.#bytes = this.#out.copy(start);
  }
}

/** The stretches of the lines of one CPU: what runs there goes on for a while. */
class Stretches {
  /** To the beginning of `user_data`, of requests without `op_info`. */
  readonly front: Stretch;
  /** From its end to `seq`. */
  readonly middle: Stretch;
  /** From there to the end. */
  readonly back: Stretch;

  constructor(out: LineWriter) {
    this.front = new Stretch(out);
    this.middle = new Stretch(out);
    this.back = new Stretch(out);
  }
}

/** Keys and values of `op_info` whose JSON is kept, and the longest of them. */
const MAX_KEPT = 1024;
const MAX_KEPT_BYTES = 1024;
/** CPUs that are told apart; a power of two. */
const MAX_CPUS = 64;

/**
 * Writes records of requests as lines of NDJSON: the same text as {@linkcode ndjsonLine} makes of
 * them, at a fraction of the cost, since most of a line is bytes that are there already.
 */
export class EventWriter {
  readonly #out: LineWriter;
  readonly #keys = new BoundedMap<JsonValue, Uint8Array>(MAX_KEPT);
  readonly #values = new BoundedMap<JsonValue, Uint8Array>(MAX_KEPT);
  /** By CPU. */
  readonly #stretches: readonly Stretches[];

  constructor(out: LineWriter) {
    this.#out = out;
    this.#stretches = Array.from({ length: MAX_CPUS }, () => new Stretches(out));
  }

  write(parts: EventParts): void {
    const out = this.#out;
    const { record, thread } = parts;
    const { io_uring: uring, seccomp } = record;
    if (uring === undefined || seccomp === undefined) return writeAny(out, record);
    const stretches = this.#stretches[uring.cpu & MAX_CPUS - 1]!;
    this.#front(stretches.front, parts, uring);
    out.hex(parts.userDataLow, parts.userDataHigh);
    this.#middle(stretches.middle, parts, uring);
    out.number(uring.seq);
    const { result, missing, unverified } = record;
    const isShared = missing === thread.missing && unverified === thread.unverified;
    const isPlain = isShared && uring.recovered === undefined && result === undefined &&
      record.type === "IOUringEvent";
    if (isPlain) this.#plainBack(stretches.back, thread, seccomp);
    else writeBack(out, record, { uring, seccomp });
    out.endLine();
  }

  #front(front: Stretch, { record, thread }: EventParts, uring: RequestBlock): void {
    const out = this.#out;
    const { type, op_info, timestamp } = record;
    const start = out.length;
    const opcode = opcodePieces(uring.opcode_number);
    const isPlain = op_info === undefined && type === "IOUringEvent";
    if (isPlain && front.write(thread, opcode, timestamp, uring.ctx)) return;
    out.piece(TYPES[type]);
    out.piece(thread.json);
    out.piece(opcode.name);
    if (op_info !== undefined) this.#info(op_info);
    out.piece(TIMESTAMP);
    out.text(timestamp);
    out.piece(opcode.number);
    out.text(uring.ctx);
    out.piece(USER_DATA);
    if (isPlain) front.keep(start);
  }

  /** Numbers differ from one request to the next; whatever else there is often comes again. */
  #info(info: JsonObject): void {
    const out = this.#out;
    out.piece(OP_INFO);
    let before = OPEN;
    for (const key in info) {
      const value = info[key]!;
      out.piece(before);
      before = COMMA;
      this.#text(this.#keys, key);
      out.piece(COLON);
      if (typeof value === "number" && Number.isInteger(value)) out.number(value);
      else this.#text(this.#values, value);
    }
    if (before === OPEN) out.piece(OPEN);
    out.piece(CLOSE);
  }

  /** Writes the JSON of a value, and keeps it. */
  #text(known: BoundedMap<JsonValue, Uint8Array>, value: JsonValue): void {
    let bytes = known.get(value);
    if (bytes === undefined) {
      bytes = piece(ndjsonLine(value));
      if (bytes.length <= MAX_KEPT_BYTES) known.set(value, bytes);
    }
    this.#out.piece(bytes);
  }

  #middle(middle: Stretch, { flags }: EventParts, uring: RequestBlock): void {
    const out = this.#out;
    const { fd, sq_thread, personality, cred, rejected, cpu } = uring;
    const start = out.length;
    const isPlain = personality === undefined && cred === undefined && rejected === undefined;
    if (isPlain && middle.write(fd, flags, sq_thread, cpu)) return;
    if (fd === undefined) {
      out.piece(QUOTE);
    } else {
      out.piece(FD);
      out.number(fd);
    }
    out.piece(flagsPiece(flags & 0x7f | (sq_thread ? 128 : 0)));
    if (personality !== undefined) out.text(`,"personality":${personality}`);
    if (cred !== undefined) out.text(`,"cred":${JSON.stringify(cred)}`);
    if (rejected !== undefined) out.text(`,"rejected":${rejected}`);
    out.piece(CPU);
    out.number(cpu);
    out.piece(SEQ);
    if (isPlain) middle.keep(start);
  }

  #plainBack(back: Stretch, thread: ThreadBlock, seccomp: SeccompBlock): void {
    const out = this.#out;
    const start = out.length;
    if (back.write(thread, seccomp.mode, seccomp.filters, undefined)) return;
    writeSeccomp(out, seccomp);
    out.piece(thread.notes);
    out.piece(CLOSE);
    back.keep(start);
  }
}

function writeBack(
  out: LineWriter,
  record: IOUringEvent | IOUringResult,
  { uring, seccomp }: { uring: RequestBlock; seccomp: SeccompBlock },
): void {
  const { result, missing, unverified } = record;
  if (uring.recovered !== undefined) out.text(`,"recovered":${uring.recovered}`);
  writeSeccomp(out, seccomp);
  if (result !== undefined) out.text(`,"result":${JSON.stringify(result)}`);
  if (record.type === "IOUringResult" && record.more !== undefined) {
    out.text(`,"more":${record.more}`);
  }
  if (missing !== undefined) out.text(`,"missing":${JSON.stringify(missing)}`);
  if (unverified !== undefined) out.text(`,"unverified":${JSON.stringify(unverified)}`);
  out.piece(CLOSE);
}

function writeSeccomp(out: LineWriter, { mode, filters }: SeccompBlock): void {
  out.piece(SECCOMP);
  out.number(mode);
  out.piece(FILTERS);
  out.number(filters);
  out.piece(CLOSE);
}

/** Writes any other record as a line. */
export function writeAny(out: LineWriter, record: object): void {
  out.text(ndjsonLine(record));
  out.endLine();
}
