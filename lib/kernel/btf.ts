/**
 * BTF, the type information a kernel carries of itself (`include/uapi/linux/btf.h`,
 * Documentation/bpf/btf.rst).
 */

import {
  integerShape,
  KernelTypes,
  MAX_DEPTH,
  MAX_MEMBERS,
  type Member,
  type MemberCollection,
  type StructType,
  type TypeShape,
} from "./types.ts";

/** Bytes are not BTF, or end too early. */
export class BtfError extends Error {
  override readonly name = "BtfError";
}

const HEADER_SIZE = 24;
const MAGIC = 0xeb9f;
/** A kernel has 50,000 to 200,000 types; far more is damage. */
const MAX_TYPES = 4_000_000;
/** `KSYM_NAME_LEN`: no name in a kernel is longer. */
const MAX_NAME = 512;

const KIND_INT = 1;
const KIND_PTR = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_FUNC_PROTO = 13;
const KIND_VAR = 14;
const KIND_DATASEC = 15;
const KIND_FLOAT = 16;
const KIND_DECL_TAG = 17;
const KIND_ENUM64 = 19;
/** typedef, volatile, const, restrict, type_tag: they add nothing to a layout. */
const TRANSPARENT = new Set([8, 9, 10, 11, 18]);

/** The types of one kernel. Ids are those of BTF. */
export class Btf extends KernelTypes {
  /** Bytes of the blob, header included. */
  readonly size: number;
  #types: DataView;
  #strings: Uint8Array;
  /** All strings with their NULs: an engine searches text much faster than bytes. */
  #text: string;
  /** Offset of each type in the type section, by id; id 0 is void. */
  #offsets: Uint32Array;
  #count: number;
  /** Ids of structs and unions by the offset of their name. */
  #structsByName = new Map<number, number>();
  #enums: number[] = [];
  #structs = new Map<number, StructType>();
  /** Offsets of names that were asked for, undefined where there is no such string. */
  #nameOffsets = new Map<string, number | undefined>();

  /**
   * Indexes a blob that starts with a BTF header; bytes after it are ignored.
   *
   * @throws {BtfError} when it is not BTF.
   */
  constructor(bytes: Uint8Array) {
    super();
    const length = btfLength(bytes);
    if (length === undefined) throw new BtfError("not a BTF header");
    if (bytes.length < length) {
      throw new BtfError(`BTF needs ${length} bytes, ${bytes.length} are there`);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const headerLength = view.getUint32(4, true);
    const typeStart = headerLength + view.getUint32(8, true);
    const typeLength = view.getUint32(12, true);
    const stringStart = headerLength + view.getUint32(16, true);
    const stringLength = view.getUint32(20, true);
    this.size = length;
    this.#types = new DataView(bytes.buffer, bytes.byteOffset + typeStart, typeLength);
    this.#strings = bytes.subarray(stringStart, stringStart + stringLength);
    this.#text = LATIN1.decode(this.#strings);
    // The smallest type takes 12 bytes.
    this.#offsets = new Uint32Array(Math.min(MAX_TYPES, typeLength / 12 + 2));
    this.#count = this.#index(typeLength);
  }

  /** Number of types, void included. */
  override get typeCount(): number {
    return this.#count;
  }

  override struct(name: string): StructType | undefined {
    const nameOffset = this.#nameOffset(name);
    if (nameOffset === undefined) return undefined;
    const id = this.#structsByName.get(nameOffset);
    return id === undefined ? undefined : this.structOfId(id);
  }

  override structOfId(id: number): StructType {
    let struct = this.#structs.get(id);
    if (struct === undefined) {
      const members = new Map<string, Member>();
      this.#collect(id, 0, { members, left: MAX_MEMBERS, depth: 0 });
      const at = this.#offsets[id]!;
      struct = {
        name: this.#string(this.#types.getUint32(at, true)),
        size: this.#types.getUint32(at + 8, true),
        members,
      };
      this.#structs.set(id, struct);
    }
    return struct;
  }

  override shape(id: number): TypeShape {
    const at = this.#offsetOf(this.#bare(id));
    if (at === undefined) return { kind: "other" };
    const info = this.#types.getUint32(at + 4, true);
    const sizeOrType = this.#types.getUint32(at + 8, true);
    switch ((info >>> 24) & 0x1f) {
      case KIND_INT: {
        const encoding = this.#types.getUint32(at + 12, true);
        return integerShape(sizeOrType, (encoding & (1 << 24)) !== 0);
      }
      case KIND_ENUM:
      case KIND_ENUM64:
        return integerShape(sizeOrType, info >>> 31 === 1);
      case KIND_PTR:
        return { kind: "pointer", target: sizeOrType };
      case KIND_ARRAY:
        return {
          kind: "array",
          element: this.#types.getUint32(at + 12, true),
          count: this.#types.getUint32(at + 20, true),
        };
      case KIND_STRUCT:
      case KIND_UNION:
        return { kind: "struct", id: this.#bare(id), size: sizeOrType };
      default:
        return { kind: "other" };
    }
  }

  override enumWith(enumerator: string): Map<string, number> | undefined {
    const wanted = this.#nameOffset(enumerator);
    if (wanted === undefined) return undefined;
    for (const id of this.#enums) {
      const at = this.#offsets[id]!;
      const count = this.#types.getUint32(at + 4, true) & 0xffff;
      for (let i = 0; i < count; i++) {
        if (this.#types.getUint32(at + 12 + i * 8, true) === wanted) return this.#enum(at, count);
      }
    }
    return undefined;
  }

  #enum(at: number, count: number): Map<string, number> {
    const values = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const item = at + 12 + i * 8;
      values.set(
        this.#string(this.#types.getUint32(item, true)),
        this.#types.getInt32(item + 4, true),
      );
    }
    return values;
  }

  /** Records where each type lies; the number of ids. */
  #index(typeLength: number): number {
    const view = this.#types;
    let id = 1;
    let at = 0;
    while (at + 12 <= typeLength) {
      if (id >= this.#offsets.length) throw new BtfError(`BTF has more than ${id} types`);
      this.#offsets[id] = at;
      const info = view.getUint32(at + 4, true);
      const count = info & 0xffff;
      const kind = (info >>> 24) & 0x1f;
      if (kind === 0 || kind > KIND_ENUM64) {
        throw new BtfError(`BTF type ${id} has the unknown kind ${kind}`);
      }
      if (kind === KIND_STRUCT || kind === KIND_UNION) {
        const name = view.getUint32(at, true);
        if (name !== 0 && !this.#structsByName.has(name)) this.#structsByName.set(name, id);
      } else if (kind === KIND_ENUM) {
        this.#enums.push(id);
      }
      at += 12 + trailing(kind, count);
      id++;
    }
    if (at !== typeLength) throw new BtfError(`BTF type ${id - 1} ends outside the type section`);
    return id;
  }

  /** Adds the members of a struct, those of anonymous structs in their place. */
  #collect(id: number, base: number, into: MemberCollection): void {
    const at = this.#offsetOf(id);
    if (at === undefined || into.depth > MAX_DEPTH) return;
    const info = this.#types.getUint32(at + 4, true);
    const kind = (info >>> 24) & 0x1f;
    if (kind !== KIND_STRUCT && kind !== KIND_UNION) return;
    const hasBitFields = info >>> 31 === 1;
    for (let i = 0; i < (info & 0xffff); i++) {
      // Damaged structs may hold each other over and over.
      if (--into.left < 0) return;
      const item = at + 12 + i * 12;
      const nameOffset = this.#types.getUint32(item, true);
      const typeId = this.#types.getUint32(item + 4, true);
      const raw = this.#types.getUint32(item + 8, true);
      const bitOffset = base + (hasBitFields ? raw & 0xffffff : raw);
      if (nameOffset === 0) {
        into.depth++;
        this.#collect(this.#bare(typeId), bitOffset, into);
        into.depth--;
        continue;
      }
      const name = this.#string(nameOffset);
      if (into.members.has(name)) continue;
      into.members.set(name, { bitOffset, bitWidth: hasBitFields ? raw >>> 24 : 0, typeId });
    }
  }

  /** The id below typedefs and qualifiers. */
  #bare(id: number): number {
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const at = this.#offsetOf(id);
      if (at === undefined) return 0;
      if (!TRANSPARENT.has((this.#types.getUint32(at + 4, true) >>> 24) & 0x1f)) return id;
      id = this.#types.getUint32(at + 8, true);
    }
    return 0;
  }

  #offsetOf(id: number): number | undefined {
    return id > 0 && id < this.#count ? this.#offsets[id] : undefined;
  }

  #string(offset: number): string {
    const bytes = this.#strings.subarray(offset, offset + MAX_NAME);
    const end = bytes.indexOf(0);
    return LATIN1.decode(end < 0 ? bytes : bytes.subarray(0, end));
  }

  /** Offset of a string. BTF keeps each string once, between NULs. */
  #nameOffset(name: string): number | undefined {
    if (!this.#nameOffsets.has(name)) {
      const found = this.#text.indexOf(`\0${name}\0`);
      this.#nameOffsets.set(name, found < 0 ? undefined : found + 1);
    }
    return this.#nameOffsets.get(name);
  }
}

/** Length in bytes of the BTF that a header announces, or undefined when it is not one. */
export function btfLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  if (view.getUint16(0, true) !== MAGIC || view.getUint8(2) !== 1) return undefined;
  const headerLength = view.getUint32(4, true);
  const typeOffset = view.getUint32(8, true);
  const typeLength = view.getUint32(12, true);
  const stringOffset = view.getUint32(16, true);
  const stringLength = view.getUint32(20, true);
  if (headerLength !== HEADER_SIZE || typeOffset !== 0) return undefined;
  if (stringOffset !== typeLength || stringLength === 0 || typeLength === 0) return undefined;
  return headerLength + stringOffset + stringLength;
}

/** Bytes of a type after its common 12. */
function trailing(kind: number, count: number): number {
  switch (kind) {
    case KIND_INT:
    case KIND_VAR:
    case KIND_DECL_TAG:
      return 4;
    case KIND_ARRAY:
      return 12;
    case KIND_STRUCT:
    case KIND_UNION:
    case KIND_DATASEC:
    case KIND_ENUM64:
      return 12 * count;
    case KIND_ENUM:
    case KIND_FUNC_PROTO:
      return 8 * count;
    case KIND_FLOAT:
    default:
      return 0;
  }
}

const LATIN1 = new TextDecoder("latin1");
