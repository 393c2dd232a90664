import type { KernelObject } from "../kernel/program.ts";
import { BrokenList } from "../kernel/lists.ts";
import { xaForEach } from "../kernel/xarray.ts";
import type { IOUringEntry, RingRestrictions } from "../record/records.ts";
import { viewOf } from "../uapi/bytes.ts";
import { capabilityText } from "../uapi/capabilities.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import { hexText } from "../uapi/numbers.ts";
import { registerOpName } from "../uapi/register_ops.ts";
import { sqeFlagNames } from "../uapi/ring_flags.ts";
import { isUnreadable } from "./diagnostics.ts";
import { describeFile } from "./file_target.ts";
import type { RingNotes } from "./ring_notes.ts";

/** What is described one by one; the rest is counted. */
const MOST_DESCRIBED = 64;
/** `IORING_MAX_FIXED_FILES` and `IORING_MAX_REG_BUFFERS` */
const MAX_FILES = 1 << 20;
const MAX_BUFFERS = 1 << 14;
/** Personality ids have 16 bits. */
const MAX_PERSONALITIES = 65_535;
/** Flags in the low bits of a registered file's pointer. */
const FILE_POINTER = ~7n;

/**
 * Puts what has been registered with a ring into its entry: files and buffers, credentials that
 * requests can run with, and what it may not do. What there is none of is left out; a note says what
 * cannot be read.
 */
export function putRegistered(
  entry: IOUringEntry,
  ctx: KernelObject,
  { opcodeOf, notes }: { opcodeOf: (opcode: number) => string; notes: RingNotes },
): void {
  const read = <T>(what: string, from: () => T) => attempt(notes, { what, hides: what }, from);
  const files = read("registered files", () => registeredFiles(ctx, notes));
  if (files !== undefined) entry.registered_files = files;
  const buffers = read("registered buffers", () => registeredBuffers(ctx, notes));
  if (buffers !== undefined) entry.registered_buffers = buffers;
  const personalities = read("personalities", () => registeredPersonalities(ctx, notes)) ?? [];
  if (personalities.length > 0) entry.personalities = personalities;
  const restrictions = read("restrictions", () => restrictionsOf(ctx, opcodeOf));
  if (restrictions !== undefined) entry.restrictions = restrictions;
  const filters = read("BPF filters", () => filteredOpcodes(ctx, opcodeOf)) ?? [];
  if (filters.length > 0) entry.bpf_filters = filters;
}

/** The result of `read`, or undefined with a note where memory or layout do not allow it. */
function attempt<T>(
  notes: RingNotes,
  { what, hides }: { what: string; hides: string },
  read: () => T,
): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    notes.report("registered_unreadable", `${what}: ${error.message}`, hides);
    return undefined;
  }
}

function registeredFiles(ctx: KernelObject, notes: RingNotes): JsonObject | undefined {
  const { program } = ctx;
  // A node for each slot since Linux 6.13 (7029acd8a950), before, a word with the pointer in it.
  const nodes = ctx.has("file_table.data.nodes");
  if (!nodes && !ctx.has("file_table.files")) return undefined;
  const slots = ctx.number(nodes ? "file_table.data.nr" : "nr_user_files");
  const array = ctx.pointer(nodes ? "file_table.data.nodes" : "file_table.files");
  return table({ ctx, slots, array, most: MAX_FILES, name: "files", notes }, (word) => {
    const pointer = nodes ? program.object("io_rsrc_node", word).bigint("file_ptr") : word;
    const target = describeFile(program.object("file", pointer & FILE_POINTER));
    if (target === undefined) throw new BrokenList("the file cannot be read");
    return target;
  });
}

function registeredBuffers(ctx: KernelObject, notes: RingNotes): JsonObject | undefined {
  const { program } = ctx;
  const nodes = ctx.has("buf_table.nodes");
  if (!nodes && !ctx.has("user_bufs")) return undefined;
  const slots = ctx.number(nodes ? "buf_table.nr" : "nr_user_bufs");
  const array = ctx.pointer(nodes ? "buf_table.nodes" : "user_bufs");
  return table({ ctx, slots, array, most: MAX_BUFFERS, name: "buffers", notes }, (word) => {
    const address = nodes ? program.object("io_rsrc_node", word).pointer("buf") : word;
    const buffer = program.object("io_mapped_ubuf", address);
    const start = buffer.bigint("ubuf");
    // Older kernels keep the end in place of the length.
    const length = buffer.has("len") ? buffer.bigint("len") : buffer.bigint("ubuf_end") - start;
    // A slot that is not filled has an empty buffer.
    if (length === 0n) return undefined;
    return { addr: hexText(start), len: length <= 2n ** 53n ? Number(length) : hexText(length) };
  });
}

interface RegisteredTable {
  readonly ctx: KernelObject;
  readonly slots: number;
  /** Address of one word for each slot, 0 in those that are empty. */
  readonly array: bigint;
  readonly most: number;
  readonly name: string;
  readonly notes: RingNotes;
}

function table(
  { ctx, slots, array, most, name, notes }: RegisteredTable,
  describe: (word: bigint) => JsonObject | undefined,
): JsonObject | undefined {
  if (slots === 0 || array === 0n) return undefined;
  if (slots > most) throw new BrokenList(`the table claims ${slots} slots, at most ${most} exist`);
  const bytes = ctx.program.memory.read(array, slots * 8);
  const view = viewOf(bytes);
  const items: JsonObject[] = [];
  let more = 0;
  for (let slot = 0; slot < slots; slot++) {
    const word = view.getBigUint64(slot * 8, true);
    if (word === 0n) continue;
    if (items.length === MOST_DESCRIBED) {
      more++;
      continue;
    }
    const what = { what: `slot ${slot} of registered ${name}`, hides: "what is registered there" };
    const item = attempt(notes, what, () => describe(word));
    if (item !== undefined) items.push({ slot, ...item });
  }
  return { slots, [name]: items, ...(more === 0 ? {} : { more }) };
}

/** `IORING_REGISTER_PERSONALITY`: an xarray since Linux 5.12 (61cf93700fe6), an idr before. */
function registeredPersonalities(ctx: KernelObject, notes: RingNotes): JsonObject[] {
  const xarray = ctx.has("personalities")
    ? ctx.embedded("personalities")
    : ctx.has("personality_idr.idr_rt")
    ? ctx.embedded("personality_idr.idr_rt")
    : undefined;
  if (xarray === undefined) return [];
  const found: JsonObject[] = [];
  let more = 0;
  for (const { index, value } of xaForEach(xarray)) {
    if (index > MAX_PERSONALITIES) {
      throw new BrokenList(
        `a personality has the id ${index}, the largest is ${MAX_PERSONALITIES}`,
      );
    }
    if (found.length === MOST_DESCRIBED) {
      more++;
      continue;
    }
    const cred = ctx.program.object("cred", value);
    const item = attempt(notes, { what: `personality ${index}`, hides: "its credentials" }, () => ({
      id: Number(index),
      uid: cred.number("uid.val"),
      euid: cred.number("euid.val"),
      gid: cred.number("gid.val"),
      egid: cred.number("egid.val"),
      cap_effective: capabilityText(
        cred.program.memory.readPointer(cred.addressOf("cap_effective")),
      ),
    }));
    if (item !== undefined) found.push(item);
  }
  if (more > 0) {
    notes.report(
      "personalities_cut",
      `${found.length} personalities are described, there are ${more} more`,
      "credentials of the others",
    );
  }
  return found;
}

/** `IORING_REGISTER_RESTRICTIONS` (`struct io_restriction`). */
function restrictionsOf(
  ctx: KernelObject,
  opcodeOf: (opcode: number) => string,
): RingRestrictions | undefined {
  if (!ctx.has("restrictions")) return undefined;
  const restrictions = ctx.embedded("restrictions");
  const isSet = (member: string) => restrictions.has(member) && restrictions.number(member) !== 0;
  // Apart since Linux 7.0.
  const ops = isSet("registered") || isSet("op_registered");
  const registrations = isSet("registered") || isSet("reg_registered");
  if (!ops && !registrations) return undefined;
  const found: RingRestrictions = {};
  if (ops) {
    found.sqe_ops = bitsOf(restrictions.bytes("sqe_op")).map(opcodeOf);
    found.sqe_flags_allowed = sqeFlagNames(restrictions.number("sqe_flags_allowed"));
    found.sqe_flags_required = sqeFlagNames(restrictions.number("sqe_flags_required"));
  }
  if (registrations) {
    found.register_ops = bitsOf(restrictions.bytes("register_op")).map(registerOpName);
  }
  return found;
}

/** Opcodes that a BPF program judges (`IORING_REGISTER_BPF_FILTER`, Linux 7.0). */
function filteredOpcodes(ctx: KernelObject, opcodeOf: (opcode: number) => string): string[] {
  const array = ctx.has("bpf_filters") ? ctx.pointer("bpf_filters") : 0n;
  const last = ctx.program.types.enumWith("IORING_OP_NOP")?.get("IORING_OP_LAST") ?? 0;
  if (array === 0n || last > 256) return [];
  const bytes = ctx.program.memory.read(array, last * 8);
  const view = viewOf(bytes);
  const found: string[] = [];
  for (let opcode = 0; opcode < last; opcode++) {
    if (view.getBigUint64(opcode * 8, true) !== 0n) found.push(opcodeOf(opcode));
  }
  return found;
}

function bitsOf(bytes: Uint8Array): number[] {
  const bits: number[] = [];
  for (let i = 0; i < bytes.length * 8; i++) {
    if ((bytes[i >>> 3]! >> (i & 7) & 1) === 1) bits.push(i);
  }
  return bits;
}
