import type { JsonObject } from "../uapi/json_value.ts";
import type {
  IOUringEvent,
  IOUringRegister,
  IOUringResult,
  ProcessBlock,
  RequestBlock,
  StreamRecord,
} from "../record/records.ts";
import { errnoName } from "../uapi/errno.ts";
import { opcodeName } from "../uapi/opcodes.ts";
import { registerOpName } from "../uapi/register_ops.ts";
import { IOSQE_FIXED_FILE, sqeFlagNames } from "../uapi/ring_flags.ts";
import type { RecordBatch } from "../chain/chain.ts";
import { ArgumentDecoder } from "./argument_decoder.ts";
import { CompletionJoin, type Waiting } from "./completions.ts";
import { BootClock } from "./clock.ts";
import type { Clocks } from "./capture_device.ts";
import { type EventParts, EventWriter, writeAny } from "./event_line.ts";
import { FileTable } from "./file_table.ts";
import { hexOf, lowerHalf, nsAt } from "./halves.ts";
import { LineWriter } from "./line_writer.ts";
import type { PreparedCommands } from "./prepared_commands.ts";
import { ProcessDecoder } from "./process_decoder.ts";
import { type ProcessDescription, ProcessTable } from "./process_table.ts";
import { RequestFacts } from "./request_facts.ts";
import { RingDecoder } from "./ring_decoder.ts";
import { type Section, SectionReader } from "./sections.ts";
import { SocketDecoder } from "./socket_decoder.ts";
import { Wire } from "./wire.ts";

const ACCEPT = 13;
const NOP = 0;
/** The ring of a request that was refused by a kernel that does not say whose it was. */
const NO_RING = "0x0";
const IORING_CQE_F_MORE = 1 << 1;
const IORING_CQE_F_NOTIF = 1 << 3;
const NO_SQE_FLAGS: string[] = [];
const SECCOMP_MODE_FILTER = 2;
/** One that comes later than so many others is an event like any other. */
const MAX_CANARIES = 64;

/** What the decoder is told. */
export interface DecoderOptions {
  /** Layout text of the native side. */
  readonly layout: string;
  /** How this kernel lays prepared requests out. */
  readonly commands: PreparedCommands;
  readonly clocks: Clocks;
  /** Wait for every completion; without it, for those of ACCEPT. */
  readonly results: boolean;
  /** Told of every process that is described. */
  readonly onProcess?: (process: ProcessDescription) => void;
}

/** What has been decoded so far. */
export interface DecoderTotals {
  /** Requests, without our own. */
  events: number;
  /** Results that could not be joined to their request. */
  unresolved: number;
  /** Records that made no sense. */
  damaged: number;
  /** Requests, with our own. */
  arrived: number;
}

const NO_SECTIONS: readonly Section[] = [];

/** Bytes of lines in a batch, and a little more: what a pipe takes at once, and a cache holds. */
const BATCH_BYTES = 64 * 1024;

/** Turns batches of wire records into records of the stream. */
export class Decoder {
  readonly wire: Wire;
  readonly clock: BootClock;
  readonly totals: DecoderTotals = { events: 0, unresolved: 0, damaged: 0, arrived: 0 };
  readonly #sections: SectionReader;
  readonly #processDecoder: ProcessDecoder;
  readonly #processes = new ProcessTable();
  readonly #files: FileTable;
  readonly #rings: RingDecoder;
  readonly #sockets: SocketDecoder;
  readonly #arguments: ArgumentDecoder;
  readonly #join: CompletionJoin;
  readonly #results: boolean;
  readonly #onProcess: DecoderOptions["onProcess"];
  /** The last of our own NOPs, by the lower halves of their user_data. */
  readonly #canaries = new Map<number, { readonly userData: bigint; isBack: boolean }>();
  readonly #lines = new LineWriter();
  readonly #events = new EventWriter(this.#lines);
  #self: ProcessBlock | undefined;
  #out: StreamRecord[] = [];
  /** ns since boot; Infinity once those rings are out. */
  #listedAt = Infinity;
  #readUntil = 0n;

  // Offsets, looked up once.
  readonly #at;
  readonly #kinds;
  readonly #fileSection: number;
  readonly #bit;

  #lastRingLow = -1;
  #lastRingHigh = -1;
  #lastRing = "";

  constructor(options: DecoderOptions) {
    const wire = this.wire = new Wire(options.layout);
    this.clock = new BootClock(options.clocks);
    this.#sections = new SectionReader(wire);
    this.#processDecoder = new ProcessDecoder(wire, {
      sections: this.#sections,
      clock: this.clock,
    });
    this.#files = new FileTable(wire, this.#sections);
    this.#rings = new RingDecoder(wire, this.clock);
    this.#sockets = new SocketDecoder(wire);
    this.#arguments = new ArgumentDecoder(wire, {
      files: this.#files,
      sockets: this.#sockets,
      commands: options.commands,
    });
    this.#results = options.results;
    this.#onProcess = options.onProcess;
    this.#join = new CompletionJoin({ emit: (waiting) => this.#emit(waiting) });
    this.#at = {
      size: wire.at("record.size"),
      kind: wire.at("record.kind"),
      opcode: wire.at("record.opcode"),
      cpu: wire.at("record.cpu"),
      bits: wire.at("record.bits"),
      seccomp: wire.at("record.seccomp_mode"),
      time: wire.at("record.time"),
      process: wire.at("record.process"),
      ring: wire.at("record.ring"),
      userData: wire.at("request_record.user_data"),
      request: wire.at("request_record.request"),
      seq: wire.at("request_record.seq"),
      tid: wire.at("request_record.tid"),
      pid: wire.at("request_record.pid"),
      flags: wire.at("request_record.flags"),
      fd: wire.at("request_record.fd"),
      bufIndex: wire.at("request_record.buf_index"),
      filters: wire.at("request_record.seccomp_filters"),
      requestSize: wire.size("request_record"),
      resultUserData: wire.at("result_record.user_data"),
      resultRequest: wire.at("result_record.request"),
      res: wire.at("result_record.res"),
      cqeFlags: wire.at("result_record.cqe_flags"),
      resultSize: wire.size("result_record"),
      headSize: wire.size("record"),
    };
    this.#kinds = {
      process: wire.at("RECORD_PROCESS"),
      file: wire.at("RECORD_FILE"),
      request: wire.at("RECORD_REQUEST"),
      result: wire.at("RECORD_RESULT"),
      register: wire.at("RECORD_REGISTER"),
      ring: wire.at("RECORD_RING"),
    };
    this.#fileSection = wire.at("SECTION_FILE");
    this.#bit = {
      sqThread: wire.at("BIT_SQ_THREAD"),
      rejected: wire.at("BIT_REJECTED"),
      again: wire.at("BIT_AGAIN"),
      noRequest: wire.at("BIT_NO_REQUEST"),
      posted: wire.at("BIT_POSTED"),
      entryFd: wire.at("BIT_ENTRY_FD"),
      noFd: wire.at("BIT_NO_FD"),
    };
  }

  /**
   * Decodes the first `length` bytes of `batch`. What it gives is small, so that it is still in the
   * processor's cache, and young when it is garbage.
   */
  *decode(batch: Uint8Array, length: number): Generator<RecordBatch> {
    const view = new DataView(batch.buffer, batch.byteOffset, length);
    const { size: sizeAt, kind: kindAt, time: timeAt, headSize } = this.#at;
    if (headSize <= length) this.#readUntil = view.getBigUint64(timeAt, true);
    for (let at = 0; at + headSize <= length;) {
      const size = view.getUint16(at + sizeAt, true);
      if (size < headSize || at + size > length) {
        this.totals.damaged++;
        break;
      }
      if (this.#listedAt !== Infinity && nsAt(view, at + timeAt) > this.#listedAt) {
        this.#finishList();
      }
      try {
        this.#record(view, at, size, view.getUint8(at + kindAt));
      } catch (error) {
        // Something has damaged the record; the next one starts where its length says.
        if (!(error instanceof RangeError)) throw error;
        this.totals.damaged++;
      }
      at += (size + 7) & ~7;
      if (this.#lines.length >= BATCH_BYTES) yield this.#take();
    }
    if (this.#out.length > 0) yield this.#take();
  }

  #record(view: DataView, at: number, size: number, kind: number): void {
    switch (kind) {
      case this.#kinds.request:
        return this.#request(view, at, size);
      case this.#kinds.result:
        return this.#completion(view, at, size);
      case this.#kinds.process:
        return this.#process(view, at, size);
      case this.#kinds.file:
        return this.#files.add(view, at, size);
      case this.#kinds.register:
        return this.#register(view, at);
      case this.#kinds.ring:
        return this.#ring(view, at);
      default:
        this.totals.damaged++;
    }
  }

  /** Emits what has waited long enough for its completion, or all of it. */
  expire(now: bigint, all = false): RecordBatch {
    this.#join.expire(Number(now), all);
    return this.#take();
  }

  /**
   * Says when the last of the rings that were there before was told of, in ns since boot: with the
   * first record that is later, all that was said of them has been decoded.
   */
  listedAt(time: bigint): void {
    this.#listedAt = Number(time);
  }

  /** The rings that were there before; nothing of what was said of them is left to decode. */
  listedRings(): RecordBatch {
    this.#finishList();
    return this.#take();
  }

  #finishList(): void {
    this.#listedAt = Infinity;
    for (const entry of this.#rings.finishList()) this.#push(entry);
  }

  /** What came until then has been decoded: when the last batch begins, in ns since boot. */
  get readUntil(): bigint {
    return this.#readUntil;
  }

  /** Makes `userData` known as our own NOP's: it never becomes an event. */
  expectCanary(userData: bigint): void {
    this.#canaries.set(lowerHalf(userData), { userData, isBack: false });
    for (const low of this.#canaries.keys()) {
      if (this.#canaries.size <= MAX_CANARIES) break;
      this.#canaries.delete(low);
    }
  }

  #canary(low: number, high: number): { isBack: boolean } | undefined {
    const canary = this.#canaries.get(low | 0);
    if (canary === undefined) return undefined;
    return canary.userData === (BigInt(high) << 32n | BigInt(low)) ? canary : undefined;
  }

  /** Whether the NOP has come back. */
  sawCanary(userData: bigint): boolean {
    return this.#canaries.get(lowerHalf(userData))?.isBack === true;
  }

  /** What the kernel says of this process; undefined until the first of our own NOPs is back. */
  get self(): ProcessBlock | undefined {
    return this.#self;
  }

  #take(): RecordBatch {
    const out = this.#out;
    this.#out = [];
    return Object.assign(out, { lines: this.#lines.take() });
  }

  #process(view: DataView, at: number, size: number): void {
    const description = this.#processDecoder.decode(view, at, size);
    this.#processes.add(description);
    this.#onProcess?.(description);
  }

  #ring(view: DataView, at: number): void {
    const entry = this.#rings.add(view, at, this.#processes);
    if (entry !== undefined) this.#push(entry);
  }

  #ringText(view: DataView, at: number): string {
    const low = view.getUint32(at, true);
    const high = view.getUint32(at + 4, true);
    if (low !== this.#lastRingLow || high !== this.#lastRingHigh) {
      this.#lastRingLow = low;
      this.#lastRingHigh = high;
      this.#lastRing = hexOf(low, high);
    }
    return this.#lastRing;
  }

  #request(view: DataView, at: number, size: number): void {
    const o = this.#at;
    const opcode = view.getUint8(at + o.opcode);
    const userDataLow = view.getUint32(at + o.userData, true);
    const userDataHigh = view.getUint32(at + o.userData + 4, true);
    const cpu = view.getUint16(at + o.cpu, true);
    const bits = view.getUint8(at + o.bits);
    const rejected = (bits & this.#bit.rejected) !== 0;
    const again = (bits & this.#bit.again) !== 0;
    this.totals.arrived++;
    const thread = this.#processes.block(
      view.getUint32(at + o.process, true),
      view.getUint32(at + o.process + 4, true),
      view.getUint32(at + o.tid, true),
      view.getUint32(at + o.pid, true),
    );
    if (opcode === NOP) {
      const canary = this.#canary(userDataLow, userDataHigh);
      if (canary !== undefined) {
        canary.isBack = true;
        this.#self ??= thread.process;
        this.#rings.hide(this.#ringText(view, at + o.ring));
        return;
      }
    }
    this.totals.events++;

    const flags = view.getUint32(at + o.flags, true);
    const facts = new RequestFacts(thread, {
      opcode,
      flags,
      fd: (bits & this.#bit.noFd) === 0 ? view.getInt32(at + o.fd, true) : undefined,
      bufIndex: view.getUint16(at + o.bufIndex, true),
      entryOnly: (bits & (this.#bit.rejected | this.#bit.noRequest)) !== 0,
    });
    if ((bits & this.#bit.entryFd) !== 0) facts.doubt("io_uring.fd");
    if (size > o.requestSize) {
      const sections = this.#sections.read(view, at + o.requestSize, at + size);
      this.#arguments.decode(sections, facts);
    } else if (facts.entryOnly) {
      for (const path of ["op_info", "io_uring.fd", "io_uring.sqe_flags"]) facts.miss(path);
    }
    const ctx = this.#ringText(view, at + o.ring);
    if (ctx === NO_RING) facts.miss("io_uring.ctx");
    const mode = view.getUint8(at + o.seccomp);
    const filters = view.getUint16(at + o.filters, true);
    if (filters === 0 && mode === SECCOMP_MODE_FILTER) facts.miss("seccomp.filters");
    const { info, result, fd, personality, cred, missing, unverified } = facts;
    const entryFlags = facts.flags & 0x7f;
    const { uid, euid } = thread.process;
    const differs = cred !== undefined && (cred.uid !== uid || cred.euid !== euid);
    const user_data = hexOf(userDataLow, userDataHigh);
    const fixed_file = (entryFlags & IOSQE_FIXED_FILE) !== 0;
    const sqe_flags = entryFlags === 0 ? NO_SQE_FLAGS : sqeFlagNames(entryFlags);
    const sq_thread = (bits & this.#bit.sqThread) !== 0;
    const seq = view.getUint32(at + o.seq, true);
    const isPlain = personality === undefined && !differs && !rejected && !again;
    // The keys stand in their order. What most requests have is made at one go.
    const uring: RequestBlock = isPlain && fd !== undefined
      ? { opcode_number: opcode, ctx, user_data, fd, fixed_file, sqe_flags, sq_thread, cpu, seq }
      : isPlain
      ? { opcode_number: opcode, ctx, user_data, fixed_file, sqe_flags, sq_thread, cpu, seq }
      : {
        opcode_number: opcode,
        ctx,
        user_data,
        ...(fd === undefined ? undefined : { fd }),
        fixed_file,
        sqe_flags,
        sq_thread,
        ...(personality === undefined ? undefined : { personality }),
        ...(differs ? { cred } : undefined),
        ...(rejected ? { rejected } : undefined),
        cpu,
        seq,
        ...(again ? { recovered: true } : undefined),
      };
    const type = "IOUringEvent";
    const { process } = thread;
    const name = opcodeName(opcode);
    const timestamp = this.clock.text(
      view.getUint32(at + o.time, true),
      view.getUint32(at + o.time + 4, true),
    );
    const seccomp = { mode, filters };
    const record: IOUringEvent = info === undefined
      ? { type, process, opcode: name, timestamp, io_uring: uring, seccomp }
      : { type, process, opcode: name, op_info: info, timestamp, io_uring: uring, seccomp };
    if (result !== undefined) record.result = result;
    if (missing !== undefined) record.missing = missing;
    if (unverified !== undefined) record.unverified = unverified;

    const waits = this.#results || opcode === ACCEPT;
    const parts = { record, thread, flags: entryFlags, userDataLow, userDataHigh };
    if (!waits) return this.#emit(parts);
    const waiting: Waiting = {
      ...parts,
      requestLow: view.getUint32(at + o.request, true),
      requestHigh: view.getUint32(at + o.request + 4, true),
      time: nsAt(view, at + o.time),
    };
    if (!rejected) return this.#join.wait(waiting);
    // Its completion says the same once more.
    if (this.#results) this.#join.swallow(waiting);
    this.#emit(waiting);
  }

  #completion(view: DataView, at: number, size: number): void {
    const o = this.#at;
    const cqeFlags = view.getUint32(at + o.cqeFlags, true);
    const userDataLow = view.getUint32(at + o.resultUserData, true);
    const userDataHigh = view.getUint32(at + o.resultUserData + 4, true);
    if (this.#canary(userDataLow, userDataHigh) !== undefined) return;
    const res = view.getInt32(at + o.res, true);
    const more = (cqeFlags & IORING_CQE_F_MORE) !== 0;
    const ring = this.#ringText(view, at + o.ring);
    const time = nsAt(view, at + o.time);
    const found = this.#join.find({
      ring,
      userDataLow,
      userDataHigh,
      requestLow: view.getUint32(at + o.resultRequest, true),
      requestHigh: view.getUint32(at + o.resultRequest + 4, true),
      posted: (view.getUint8(at + o.bits) & this.#bit.posted) !== 0,
      more,
      notification: (cqeFlags & IORING_CQE_F_NOTIF) !== 0,
    });
    if (found === undefined) {
      this.totals.unresolved++;
      return;
    }
    if (found.kind === "swallowed") return;
    const { waiting } = found;
    const errno = res < 0 ? errnoName(-res) : undefined;
    const result = {
      res,
      ...(errno === undefined ? undefined : { errno }),
      latency_ns: Math.max(0, time - waiting.time),
    };
    const sections = size > o.resultSize
      ? this.#sections.read(view, at + o.resultSize, at + size)
      : NO_SECTIONS;
    const peer = this.#sockets.peer(sections);
    const opened = sections.find(({ kind }) => kind === this.#fileSection);
    const target = opened && this.#files.target(opened);
    if (target !== undefined) {
      const { record } = waiting;
      record.op_info = { ...record.op_info, target };
      // Another thread may have put another file there before.
      record.unverified = [...record.unverified ?? [], "op_info.target"];
    }
    if (found.kind === "first") {
      const { record } = waiting;
      if (peer !== undefined) record.op_info = { ...peer, ...record.op_info };
      waiting.record = withResult(record, result);
      this.#emit(waiting);
      return;
    }
    const { type: _, ...rest } = waiting.record;
    const record: IOUringResult = {
      type: "IOUringResult",
      ...rest,
      timestamp: this.clock.text(
        view.getUint32(at + o.time, true),
        view.getUint32(at + o.time + 4, true),
      ),
    };
    delete record.result;
    delete record.missing;
    delete record.unverified;
    if (waiting.record.io_uring?.opcode_number === ACCEPT) {
      record.op_info = { ...peer, ...withoutPeer(record.op_info) };
    }
    record.result = result;
    record.more = more;
    const { missing, unverified } = waiting.record;
    if (missing !== undefined) record.missing = missing;
    if (unverified !== undefined) record.unverified = unverified;
    this.#emit({ ...waiting, record });
  }

  #register(view: DataView, at: number): void {
    const o = this.#at;
    const wire = this.wire;
    const u32 = (name: string) => view.getUint32(at + wire.at(`register_record.${name}`), true);
    const thread = this.#processes.block(
      view.getUint32(at + o.process, true),
      view.getUint32(at + o.process + 4, true),
      u32("tid"),
      u32("pid"),
    );
    const res = Number(view.getBigInt64(at + wire.at("register_record.result"), true));
    const errno = res < 0 ? errnoName(-res) : undefined;
    const operation = u32("operation");
    const name = registerOpName(operation);
    const record: IOUringRegister = {
      type: "IOUringRegister",
      process: thread.process,
      operation: name,
      io_uring: { ctx: this.#ringText(view, at + o.ring) },
      count: /FILES/.test(name) ? u32("files") : u32("buffers"),
      result: { res, ...(errno === undefined ? undefined : { errno }) },
      timestamp: this.clock.text(
        view.getUint32(at + o.time, true),
        view.getUint32(at + o.time + 4, true),
      ),
    };
    if (thread.missing !== undefined) record.missing = thread.missing;
    if (thread.unverified !== undefined) record.unverified = thread.unverified;
    this.#push(record);
  }

  #emit(parts: EventParts): void {
    this.#out.push(parts.record);
    this.#events.write(parts);
  }

  #push(record: StreamRecord): void {
    this.#out.push(record);
    writeAny(this.#lines, record);
  }
}

/** The record with its result in its place among the keys. */
function withResult(
  record: IOUringEvent,
  result: NonNullable<IOUringEvent["result"]>,
): IOUringEvent {
  const { missing, unverified, op_info, timestamp, io_uring, seccomp, ...front } = record;
  return {
    ...front,
    ...(op_info === undefined ? undefined : { op_info }),
    timestamp,
    ...(io_uring === undefined ? undefined : { io_uring }),
    ...(seccomp === undefined ? undefined : { seccomp }),
    result,
    ...(missing === undefined ? undefined : { missing }),
    ...(unverified === undefined ? undefined : { unverified }),
  };
}

function withoutPeer(info: JsonObject | undefined): JsonObject {
  const { addr: _, port: __, family: ___, path: ____, ...rest } = info ?? {};
  return rest;
}
