import type { Btf } from "../kernel/btf.ts";
import {
  type Command,
  COMMAND_LAYOUTS,
  type CommandLayout,
  type CommandMember,
  NARROWED,
  type Slot,
  type SlotMembers,
} from "../kernel/request_commands.ts";
import type { Argument, ArgumentName } from "../uapi/argument.ts";
import type { RequestFields } from "../uapi/request_fields.ts";

/** Bytes at the front of an `io_kiocb` that each opcode lays out in its own way. */
export const COMMAND_BYTES = 64;

/** What is known of a request so far. */
export interface RequestArguments {
  readonly fields: { -readonly [key in keyof RequestFields]: RequestFields[key] };
  readonly known: { [name in ArgumentName]?: Argument };
}

type Filled = Record<Slot, bigint | number>;

/** RWF_HIPRI to RWF_APPEND, and the bits of `ki_flags` by the same meaning. */
const RWF_KEPT = 0x1f;

/** Slots that are 64 bits wide; the others are numbers. */
const WIDE: ReadonlySet<Slot> = new Set(["off", "addr", "addr3", "byteLength"]);

/** One member's place in a command. */
interface Place {
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
}

/** A slot, and the member that it was made from. */
interface SlotPlace {
  readonly slot: Slot;
  readonly isWide: boolean;
  readonly place: Place;
}

/** One opcode's layout on this kernel, over the command that is being read. */
class PreparedCommand implements Command {
  readonly #btf: Btf;
  readonly #struct: string;
  readonly #slots: readonly SlotPlace[];
  readonly #asked: readonly { readonly bit: number; readonly slots: readonly SlotPlace[] }[];
  readonly #convert: CommandLayout["convert"];
  /** Through Linux 5.18 the flags of a transfer lie here, with what its open file asks for. */
  readonly #mergedFlags: Place | undefined;
  readonly #places = new Map<string, Place | undefined>();
  #request: RequestArguments = { fields: { opcode: 0 }, known: {} };
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;

  constructor(layout: CommandLayout, btf: Btf, struct: string) {
    this.#btf = btf;
    this.#struct = struct;
    this.#slots = this.#slotPlaces({ ...layout.moving, ...layout.passing, ...layout.kept });
    this.#asked = (layout.asked ?? []).map(({ bit, slots }) => ({
      bit,
      slots: this.#slotPlaces(slots),
    }));
    this.#convert = layout.convert;
    this.#mergedFlags = this.has("flags") ? undefined : this.#placeOf("kiocb.ki_flags");
  }

  read(request: RequestArguments, view: DataView, at: number): void {
    const { fields } = request;
    fill(fields, this.#slots, { view, at });
    for (const { bit, slots } of this.#asked) {
      if (((fields.opFlags ?? 0) & bit) !== 0) fill(fields, slots, { view, at });
    }
    const merged = this.#mergedFlags;
    if (merged !== undefined && (intAt(view, at, merged) & RWF_KEPT) === 0) fields.opFlags = 0;
    if (this.#convert === undefined) return;
    this.#request = request;
    this.#view = view;
    this.#at = at;
    this.#convert(this);
  }

  hasStruct(name: string): boolean {
    return this.#btf.struct(name) !== undefined;
  }

  has(path: string): boolean {
    return this.#placeOf(path) !== undefined;
  }

  member(member: CommandMember): bigint | undefined {
    const place = this.#placeOf(member);
    return place && bigintAt(this.#view, this.#at, place);
  }

  put(slot: Slot, value: bigint | number | undefined): void {
    if (value === undefined) return;
    (this.#request.fields as Filled)[slot] = typeof value === "number" && !WIDE.has(slot)
      ? narrowed(slot, value)
      : NARROWED[slot](BigInt(value));
  }

  copy(name: ArgumentName, path: string): void {
    const place = this.#placeOf(path);
    if (place === undefined) return;
    const at = this.#view.byteOffset + this.#at + place.offset;
    const bytes = new Uint8Array(this.#view.buffer, at, place.size);
    this.#request.known[name] = { ok: true, bytes };
  }

  #slotPlaces(members: SlotMembers): SlotPlace[] {
    return Object.entries(members).flatMap(([name, member]) => {
      const slot = name as Slot;
      const place = this.#placeOf(member);
      return place === undefined ? [] : [{ slot, isWide: WIDE.has(slot), place }];
    });
  }

  /** By the newest of its names that this kernel has. */
  #placeOf(member: CommandMember): Place | undefined {
    if (typeof member !== "string") {
      for (const name of member) {
        const place = this.#placeOf(name);
        if (place !== undefined) return place;
      }
      return undefined;
    }
    let place = this.#places.get(member);
    if (place === undefined && !this.#places.has(member)) {
      place = placeOf(this.#btf, this.#struct, member);
      this.#places.set(member, place);
    }
    return place;
  }
}

/** Reads prepared commands as this kernel lays them out. */
export class PreparedCommands {
  readonly #commands: readonly (PreparedCommand | undefined)[];

  /** @param btf The kernel's types. */
  constructor(btf: Btf) {
    this.#commands = COMMAND_LAYOUTS.map((layout) => {
      const struct = layout.struct.find((name) => btf.struct(name) !== undefined);
      return struct === undefined ? undefined : new PreparedCommand(layout, btf, struct);
    });
  }

  /** Adds what the command at `at`, the front of the request, holds. */
  read(request: RequestArguments, view: DataView, at: number): void {
    this.#commands[request.fields.opcode]?.read(request, view, at);
  }
}

/** The place of `name` (`"kiocb.ki_pos"`), undefined where there is none within a command. */
function placeOf(btf: Btf, struct: string, name: string): Place | undefined {
  let type = btf.struct(struct);
  let offset = 0;
  let place: Place | undefined;
  for (const part of name.split(".")) {
    const member = type?.members.get(part);
    if (member === undefined || member.bitWidth !== 0) return undefined;
    offset += member.bitOffset / 8;
    const shape = btf.shape(member.typeId);
    type = shape.kind === "struct" ? btf.structOfId(shape.id) : undefined;
    const size = btf.sizeOf(member.typeId);
    place = { offset, size, signed: shape.kind === "int" && shape.signed };
  }
  return place !== undefined && place.offset + place.size <= COMMAND_BYTES ? place : undefined;
}

/** Numbers where they fit, so that the common members cost no bigint. */
function fill(
  fields: RequestArguments["fields"],
  slots: readonly SlotPlace[],
  { view, at }: { view: DataView; at: number },
): void {
  for (const from of slots) {
    (fields as Filled)[from.slot] = from.isWide
      ? bigintAt(view, at, from.place)
      : narrowed(from.slot, intAt(view, at, from.place));
  }
}

function bigintAt(view: DataView, at: number, place: Place): bigint {
  if (place.size === 8) return view.getBigUint64(at + place.offset, true);
  return BigInt.asUintN(64, BigInt(intAt(view, at, place)));
}

/** {@linkcode NARROWED} for a slot of 32 bits or less. */
function narrowed(slot: Slot, value: number): number {
  if (slot === "fd") return value | 0;
  return slot === "bufIndex" || slot === "ioprio" ? value & 0xffff : value >>> 0;
}

/** The lower 32 bits of what is wider: a length of splice fits its slot all the same. */
function intAt(view: DataView, at: number, { offset, size, signed }: Place): number {
  switch (size) {
    case 1:
      return signed ? view.getInt8(at + offset) : view.getUint8(at + offset);
    case 2:
      return signed ? view.getInt16(at + offset, true) : view.getUint16(at + offset, true);
    default:
      return signed ? view.getInt32(at + offset, true) : view.getUint32(at + offset, true);
  }
}
