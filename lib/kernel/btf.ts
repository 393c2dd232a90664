import { ImageError } from "../memory/image_error.ts";
import { BtfError, btfSections, KIND, salvageSections } from "./btf_format.ts";
import { LOST, salvageTypeOffsets, typeOffsets } from "./btf_offsets.ts";
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

/** `KSYM_NAME_LEN`: no name in a kernel is longer. */
const MAX_NAME = 512;

/** typedef, volatile, const, restrict, type_tag: they add nothing to a layout. */
const TRANSPARENT = new Set([8, 9, 10, 11, 18]);

/** The types of one kernel. Ids are those of BTF. */
export class Btf extends KernelTypes {
  /** Bytes of the blob, header included. */
  readonly size: number;
  /** Whether it is what damage left. */
  readonly isSalvaged: boolean;
  /** How many types are lost to damage, as far as can be told. */
  readonly lost: number;
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
   * @param options.salvage Index what damage leaves of a blob that has no bytes after it. To ask for
   * a type that is lost then throws {@linkcode ImageError}: it might be taken for one that the kernel
   * does not have.
   * @throws {BtfError} when it is not BTF.
   */
  constructor(bytes: Uint8Array, { salvage = false }: { salvage?: boolean } = {}) {
    super();
    const sections = salvage ? salvageSections(bytes) : btfSections(bytes);
    const { offsets, count, lost } = (salvage ? salvageTypeOffsets : typeOffsets)(sections);
    this.size = sections.size;
    this.isSalvaged = salvage;
    this.lost = lost;
    this.#types = sections.types;
    this.#strings = sections.strings;
    this.#text = LATIN1.decode(this.#strings);
    // No string but the first is empty. Without a name there is no telling what a kernel has.
    if (this.#text.includes("\0\0")) throw new BtfError("strings of BTF are missing");
    this.#offsets = offsets;
    this.#count = count;
    this.#nameTypes();
  }

  /** Number of types, void included. */
  override get typeCount(): number {
    return this.#count;
  }

  override struct(name: string): StructType | undefined {
    const nameOffset = this.#nameOffset(name);
    if (nameOffset === undefined) return undefined;
    const id = this.#structsByName.get(nameOffset);
    if (id !== undefined) return this.structOfId(id);
    if (this.lost > 0 && !this.#isName(nameOffset)) throw lostType(`what "${name}" names`);
    return undefined;
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
      case KIND.INT: {
        const encoding = this.#types.getUint32(at + 12, true);
        return integerShape(sizeOrType, (encoding & (1 << 24)) !== 0);
      }
      case KIND.ENUM:
      case KIND.ENUM64:
        return integerShape(sizeOrType, info >>> 31 === 1);
      case KIND.PTR:
        return { kind: "pointer", target: sizeOrType };
      case KIND.ARRAY:
        return {
          kind: "array",
          element: this.#types.getUint32(at + 12, true),
          count: this.#types.getUint32(at + 20, true),
        };
      case KIND.STRUCT:
      case KIND.UNION:
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
    if (this.lost > 0) throw lostType(`the enum that has ${enumerator}`);
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

  /** Notes which ids are structs, by name, and which are enums. */
  #nameTypes(): void {
    for (let id = 1; id < this.#count; id++) {
      const at = this.#offsets[id]!;
      if (at === LOST) continue;
      const kind = this.#types.getUint8(at + 7) & 0x1f;
      if (kind === KIND.STRUCT || kind === KIND.UNION) {
        const name = this.#types.getUint32(at, true);
        if (name !== 0 && !this.#structsByName.has(name)) this.#structsByName.set(name, id);
      } else if (kind === KIND.ENUM) {
        this.#enums.push(id);
      }
    }
  }

  /** Adds the members of a struct, those of anonymous structs in their place. */
  #collect(id: number, base: number, into: MemberCollection): void {
    const at = this.#offsetOf(id);
    if (at === undefined || into.depth > MAX_DEPTH) return;
    const info = this.#types.getUint32(at + 4, true);
    const kind = (info >>> 24) & 0x1f;
    if (kind !== KIND.STRUCT && kind !== KIND.UNION) return;
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
    const offset = id > 0 && id < this.#count ? this.#offsets[id] : undefined;
    if (this.lost > 0 && (offset === LOST || id >= this.#count)) throw lostType(`type ${id}`);
    return offset;
  }

  /** Whether a string is the name of a type that is known, of any kind. */
  #isName(nameOffset: number): boolean {
    for (let id = 1; id < this.#count; id++) {
      const at = this.#offsets[id]!;
      if (at !== LOST && this.#types.getUint32(at, true) === nameOffset) return true;
    }
    return false;
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

function lostType(what: string): ImageError {
  return new ImageError(
    `Cannot read the kernel's types: ${what} is lost, as its BTF is damaged ` +
      "(--btf or --isf gives the types)",
  );
}

const LATIN1 = new TextDecoder("latin1");
