import { type FaultReason, MemoryFault } from "../kernel/memory_fault.ts";
import type { KernelObject, Program } from "../kernel/program.ts";
import {
  type Command,
  type CommandMember,
  NARROWED,
  type Slot,
  type SlotMembers,
} from "../kernel/request_commands.ts";
import type { Argument, ArgumentName, KnownArguments, MissingReason } from "../uapi/argument.ts";
import type { RequestFields } from "../uapi/request_fields.ts";
import { isUnreadable, readable } from "./diagnostics.ts";

/** PATH_MAX, the NUL included. */
const MAX_PATH = 4096;

const REASONS: { readonly [reason in FaultReason]: MissingReason } = {
  unmapped: "unmapped",
  swapped: "swapped",
  not_in_image: "not_in_image",
  non_canonical: "invalid",
  null: "null",
  // The end record says that not everything was read.
  over_budget: "not_in_image",
};

/** What is known of a request beyond its `struct io_kiocb`. */
export interface RequestContext {
  /**
   * The SQE that it came from, where that is still there. It decides only what the kernel's form
   * leaves open, and only where both agree in all else.
   */
  readonly sqe?: RequestFields | undefined;
  /** It waits for its task to run the work that it has left for it. */
  readonly taskWork?: boolean | undefined;
  /** The io-wq worker that runs it. */
  readonly worker?: KernelObject | undefined;
}

/**
 * Fills the slots of an SQE from the struct that an opcode overlays on its `struct io_kiocb`
 * (`io_kiocb_to_cmd()`, `include/linux/io_uring_types.h`). What cannot be read, or is not in this
 * kernel, leaves its slot out.
 */
export class CommandReader implements Command {
  readonly kiocb: KernelObject;
  readonly program: Program;
  readonly opcode: number;
  /** False for a request that has completed: its pointers lead nowhere now. */
  readonly inFlight: boolean;
  readonly context: RequestContext;
  /** `REQ_F_*` bits. */
  readonly flags: bigint;
  /** As in {@linkcode RequestFields}. */
  compat = false;
  #fields: Record<string, unknown> = {};
  #known: { [name in ArgumentName]?: Argument } = {};
  #command: KernelObject | undefined;

  constructor(kiocb: KernelObject, options: { inFlight: boolean; context?: RequestContext }) {
    this.kiocb = kiocb;
    this.program = kiocb.program;
    this.opcode = kiocb.number("opcode");
    this.inFlight = options.inFlight;
    this.context = options.context ?? {};
    this.flags = BigInt.asUintN(64, kiocb.bigint("flags"));
  }

  /** The SQE of this very opcode that the request came from, where it is known. */
  get sqe(): RequestFields | undefined {
    const { sqe } = this.context;
    return sqe?.opcode === this.opcode ? sqe : undefined;
  }

  /** All slots filled so far. */
  fields(flags: number): RequestFields {
    const compat = this.compat ? { compat: true } : {};
    return { opcode: this.opcode, flags, ...this.#fields, ...compat };
  }

  /** The kernel's own copies of arguments found so far. */
  known(): KnownArguments {
    return this.#known;
  }

  /** Chooses the command struct: the first of these names that this kernel has. */
  overlay(names: readonly string[]): boolean {
    const name = names.find((name) => this.hasStruct(name));
    this.#command = name === undefined ? undefined : this.kiocb.as(name);
    return this.#command !== undefined;
  }

  hasStruct(name: string): boolean {
    return this.program.types.struct(name) !== undefined;
  }

  /** Whether the command struct has a member. */
  has(path: string): boolean {
    return this.#command?.has(path) === true;
  }

  /** An integer or a pointer of the command struct. */
  member(member: CommandMember): bigint | undefined {
    return this.#command && integerOf(this.#command, member);
  }

  /** Whether a pointer of the command struct is one to a struct. */
  pointsToStruct(path: string): boolean {
    const { types } = this.program;
    const member = this.#command && this.program.member(this.#command.type, path);
    const shape = member && types.shape(member.typeId);
    return shape?.kind === "pointer" && types.shape(shape.target).kind === "struct";
  }

  /** The struct a pointer of the command struct leads to; undefined for null and for other types. */
  target(path: string): KernelObject | undefined {
    return this.#command && readable(() => this.#command!.tryDeref(path));
  }

  /** Fills a slot, unless the value is not known. */
  put(slot: Slot, value: bigint | number | undefined): void {
    if (value !== undefined) this.#fields[slot] = NARROWED[slot](BigInt(value));
  }

  /** Fills slots from members of the command struct. */
  putMembers(members: SlotMembers): void {
    for (const [slot, member] of Object.entries(members)) {
      this.put(slot as Slot, this.member(member));
    }
  }

  /** The number that a slot was filled with. */
  slot(slot: Slot): number | undefined {
    const value = this.#fields[slot];
    return typeof value === "number" ? value : undefined;
  }

  /** Keeps the kernel's copy of an argument, or why it cannot be read. */
  know(name: ArgumentName, read: () => Uint8Array | MissingReason): void {
    try {
      const bytes = read();
      this.#known[name] = typeof bytes === "string"
        ? { ok: false, reason: bytes }
        : { ok: true, bytes };
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const reason = error instanceof MemoryFault ? REASONS[error.reason] : "not_kept";
      this.#known[name] = { ok: false, reason };
    }
  }

  /** Keeps a struct within the command struct, where it has one. */
  copy(name: ArgumentName, path: string): void {
    const command = this.#command;
    if (command?.has(path) === true) this.know(name, () => command.bytes(path));
  }

  /** Keeps a string of kernel memory. One that memory cuts short is none. */
  knowString(name: ArgumentName, address: () => bigint): void {
    const { memory } = this.program;
    this.know(name, () => {
      const at = address();
      const bytes = memory.readUpTo(at, MAX_PATH);
      const end = bytes.indexOf(0);
      if (end >= 0) return bytes.subarray(0, end);
      // Where it goes on, either there is nothing, and this says why, or it is no string.
      if (bytes.length < MAX_PATH) memory.read(at + BigInt(bytes.length), 1);
      return "invalid";
    });
  }

  /** Whether this kernel has a `REQ_F_*` bit, named without the prefix: `"NEED_CLEANUP"`. */
  knowsFlag(name: string): boolean {
    return flagBits(this.program).has(`REQ_F_${name}_BIT`);
  }

  /** Whether a `REQ_F_*` bit is set; false where this kernel has none of that name. */
  hasFlag(name: string): boolean {
    const bit = flagBits(this.program).get(`REQ_F_${name}_BIT`);
    return bit !== undefined && (this.flags >> BigInt(bit) & 1n) === 1n;
  }

  /**
   * Address of the data that a request in flight keeps beside itself, or undefined. Since Linux
   * 5.16 (d886e185a128) a bit says whether the pointer is good; before, it was null if not.
   */
  asyncAddress(): bigint | undefined {
    if (!this.inFlight) return undefined;
    const trusted = this.knowsFlag("ASYNC_DATA")
      ? this.hasFlag("ASYNC_DATA")
      : flagBits(this.program).size > 0;
    const address = trusted ? readable(() => this.kiocb.pointer("async_data")) : undefined;
    return address === 0n ? undefined : address;
  }

  /** The data beside a request in flight, as a struct. */
  asyncData(type: string): KernelObject | undefined {
    const address = this.asyncAddress();
    if (address === undefined || !this.hasStruct(type)) return undefined;
    return this.program.object(type, address);
  }

  /** Bytes of the data beside a request of this opcode, or undefined where no table says. */
  asyncSize(): number | undefined {
    return readable(() => asyncSizeOf(this.program, this.opcode));
  }
}

/**
 * The `struct task_struct` that submitted a `struct io_kiocb`, or undefined; by way of its
 * `struct io_uring_task` since Linux 6.13 (b6f58a3f4aa8).
 */
export function taskOf(kiocb: KernelObject): KernelObject | undefined {
  if (kiocb.has("tctx")) return kiocb.tryDeref("tctx")?.tryDeref("task");
  return kiocb.tryDeref("task");
}

/** An integer or a pointer of a struct, by the first of its names that this kernel has. */
export function integerOf(object: KernelObject, member: CommandMember): bigint | undefined {
  const path = typeof member === "string" ? member : member.find((path) => object.has(path));
  return path === undefined ? undefined : readable(() => object.bigint(path));
}

const NO_FLAGS: ReadonlyMap<string, number> = new Map();
const FLAG_BITS = new WeakMap<Program, ReadonlyMap<string, number>>();

/** Bits of `io_kiocb.flags` by name, from the kernel's own enum: most have moved at times. */
function flagBits(program: Program): ReadonlyMap<string, number> {
  let bits = FLAG_BITS.get(program);
  if (bits === undefined) {
    bits = program.types.enumWith("REQ_F_NEED_CLEANUP_BIT") ?? NO_FLAGS;
    FLAG_BITS.set(program, bits);
  }
  return bits;
}

/**
 * Tables of what each opcode needs, newest first: `async_size` lies in `io_issue_defs` since
 * Linux 6.10, in `io_cold_defs` since 6.3 (f30bd4d03824), in `io_op_defs` before.
 */
const DEFINITION_TABLES: readonly (readonly [symbol: string, type: string])[] = [
  ["io_issue_defs", "io_issue_def"],
  ["io_cold_defs", "io_cold_def"],
  ["io_op_defs", "io_op_def"],
];

function asyncSizeOf(program: Program, opcode: number): number | undefined {
  for (const [symbol, type] of DEFINITION_TABLES) {
    if (!program.has(type, "async_size")) continue;
    const table = program.symbols.lookup(symbol);
    if (table === undefined) continue;
    const at = table + BigInt(opcode * program.struct(type).size);
    return program.object(type, at).number("async_size");
  }
  return undefined;
}
