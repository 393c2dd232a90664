import { JsonScanner } from "./json_scanner.ts";
import { KernelFileError } from "./kernel_file_error.ts";
import type { LinkedSymbols } from "./symbols.ts";
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

/** What an ISF file holds of a kernel. */
export interface Isf {
  readonly types: KernelTypes;
  readonly symbols: LinkedSymbols;
  /** The text of `linux_banner`, where the file has it. */
  readonly banner: string | undefined;
}

/** A kernel has 10,000 to 20,000 types and 50,000 to 400,000 symbols; far more is no kernel's. */
const MAX_ENTRIES = 4_000_000;

/**
 * Reads symbols and types in the Intermediate Symbol Format of Volatility 3 (its
 * `schemas/schema-6.2.0.json`), as dwarf2json and others write it. A type or symbol is parsed when
 * it is asked for.
 *
 * @param name The file's name, for messages.
 * @param bytes JSON text.
 * @throws {KernelFileError} when it is not ISF. What is parsed later throws it too.
 */
export function readIsf(name: string, bytes: Uint8Array): Isf {
  const sections = new Map<string, IsfSection>();
  try {
    const scanner = new JsonScanner(bytes);
    for (const key of scanner.members()) {
      if (SECTIONS.includes(key)) sections.set(key, new IsfSection({ name, key, bytes, scanner }));
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new KernelFileError(name, `it is not ISF: ${error.message}`);
  }
  const section = (key: string) => {
    const found = sections.get(key);
    if (found === undefined) throw new KernelFileError(name, `it is not ISF: it has no "${key}"`);
    return found;
  };
  const types = new IsfTypes({
    base: section("base_types"),
    user: section("user_types"),
    enums: section("enums"),
  });
  const symbols = new IsfSymbols(section("symbols"));
  return { types, symbols, banner: symbols.text("linux_banner") };
}

const SECTIONS: readonly string[] = ["base_types", "user_types", "enums", "symbols"];

/** An object of the file, whose members are parsed one by one. */
class IsfSection {
  readonly #name: string;
  readonly #key: string;
  readonly #bytes: Uint8Array;
  /** Where the value of each member lies. */
  readonly #offsets = new Map<string, number>();

  constructor(
    { name, key, bytes, scanner }: {
      name: string;
      key: string;
      bytes: Uint8Array;
      scanner: JsonScanner;
    },
  ) {
    this.#name = name;
    this.#key = key;
    this.#bytes = bytes;
    for (const member of scanner.members()) {
      if (!this.#offsets.has(member)) this.#offsets.set(member, scanner.at);
      if (this.#offsets.size > MAX_ENTRIES) {
        throw new KernelFileError(name, `"${key}" has more than ${MAX_ENTRIES} members`);
      }
    }
  }

  get size(): number {
    return this.#offsets.size;
  }

  names(): Iterable<string> {
    return this.#offsets.keys();
  }

  /** The text of a member, or undefined where there is none. */
  text(member: string): string | undefined {
    const at = this.#offsets.get(member);
    return at === undefined ? undefined : new JsonScanner(this.#bytes, at).text();
  }

  /** A member, or undefined where there is none. */
  get(member: string): Fields | undefined {
    const text = this.text(member);
    if (text === undefined) return undefined;
    try {
      return new Fields(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw this.damaged(member);
    }
  }

  damaged(member: string): KernelFileError {
    const what = JSON.stringify(member);
    return new KernelFileError(this.#name, `it is not ISF: ${what} of "${this.#key}" is damaged`);
  }
}

/** A JSON object of which nothing is certain. */
class Fields {
  readonly #value: { readonly [key: string]: unknown };

  constructor(value: unknown) {
    this.#value = typeof value === "object" && value !== null ? { ...value } : {};
  }

  text(key: string): string {
    const value = this.#value[key];
    return typeof value === "string" ? value : "";
  }

  /** A whole number from 0 on; 0 where it is none. */
  number(key: string): number {
    const value = this.#value[key];
    return Number.isSafeInteger(value) && value as number >= 0 ? value as number : 0;
  }

  isTrue(key: string): boolean {
    return this.#value[key] === true;
  }

  object(key: string): Fields {
    return new Fields(this.#value[key]);
  }

  *objects(): Generator<[name: string, value: Fields]> {
    for (const [name, value] of Object.entries(this.#value)) yield [name, new Fields(value)];
  }

  *numbers(): Generator<[name: string, value: number]> {
    for (const [name, value] of Object.entries(this.#value)) {
      if (typeof value === "number") yield [name, value];
    }
  }
}

/** Types; an id is the number of a type descriptor in the order in which they were met. */
class IsfTypes extends KernelTypes {
  readonly #base: IsfSection;
  readonly #user: IsfSection;
  readonly #enums: IsfSection;
  readonly #descriptors: Fields[] = [];
  readonly #shapes = new Map<number, TypeShape>();
  /** By name, as each is known by one. */
  readonly #structs = new Map<string, StructType | undefined>();
  readonly #enumerators = new Map<string, ReadonlyMap<string, number> | undefined>();

  constructor(
    { base, user, enums }: { base: IsfSection; user: IsfSection; enums: IsfSection },
  ) {
    super();
    this.#base = base;
    this.#user = user;
    this.#enums = enums;
  }

  override get typeCount(): number {
    return this.#base.size + this.#user.size + this.#enums.size;
  }

  override struct(name: string): StructType | undefined {
    if (!this.#structs.has(name)) this.#structs.set(name, this.#readStruct(name));
    return this.#structs.get(name);
  }

  override structOfId(id: number): StructType {
    const name = this.#descriptors[id]?.text("name") ?? "";
    return this.struct(name) ?? { name, size: 0, members: new Map() };
  }

  override shape(id: number): TypeShape {
    let shape = this.#shapes.get(id);
    if (shape === undefined) {
      shape = this.#readShape(id);
      this.#shapes.set(id, shape);
    }
    return shape;
  }

  override enumWith(enumerator: string): ReadonlyMap<string, number> | undefined {
    if (!this.#enumerators.has(enumerator)) {
      this.#enumerators.set(enumerator, this.#readEnumWith(enumerator));
    }
    return this.#enumerators.get(enumerator);
  }

  #readStruct(name: string): StructType | undefined {
    const struct = this.#user.get(name);
    if (struct === undefined) return undefined;
    const members = new Map<string, Member>();
    this.#collect(struct, 0, { members, left: MAX_MEMBERS, depth: 0 });
    return { name, size: struct.number("size"), members };
  }

  /** Adds the members of a struct, those of anonymous structs in their place. */
  #collect(struct: Fields, base: number, into: MemberCollection): void {
    for (const [name, field] of struct.object("fields").objects()) {
      // Damaged structs may hold each other over and over.
      if (--into.left < 0) return;
      const type = field.object("type");
      const bitOffset = base + field.number("offset") * 8;
      // Not every writer says which are anonymous; all name them so.
      if (field.isTrue("anonymous") || name.startsWith("unnamed_field_")) {
        const inner = into.depth < MAX_DEPTH ? this.#user.get(type.text("name")) : undefined;
        if (inner === undefined) continue;
        into.depth++;
        this.#collect(inner, bitOffset, into);
        into.depth--;
      } else if (!into.members.has(name)) {
        const isBitField = type.text("kind") === "bitfield";
        into.members.set(name, {
          bitOffset: bitOffset + (isBitField ? type.number("bit_position") : 0),
          bitWidth: isBitField ? type.number("bit_length") : 0,
          typeId: this.#idOf(isBitField ? type.object("type") : type),
        });
      }
    }
  }

  #idOf(descriptor: Fields): number {
    return this.#descriptors.push(descriptor) - 1;
  }

  #readShape(id: number): TypeShape {
    const type = this.#descriptors[id];
    const name = type?.text("name") ?? "";
    switch (type?.text("kind")) {
      case "base":
        return this.#baseShape(name);
      case "pointer":
        return { kind: "pointer", target: this.#idOf(type.object("subtype")) };
      case "array":
        return {
          kind: "array",
          element: this.#idOf(type.object("subtype")),
          count: type.number("count"),
        };
      case "struct":
      case "union":
      case "class":
        return { kind: "struct", id, size: this.struct(name)?.size ?? 0 };
      case "enum": {
        const found = this.#enums.get(name);
        const base = this.#baseShape(found?.text("base") ?? "");
        return integerShape(found?.number("size") ?? 0, base.kind === "int" && base.signed);
      }
      default:
        return { kind: "other" };
    }
  }

  #baseShape(name: string): TypeShape {
    const type = this.#base.get(name);
    const isInteger = ["int", "char", "bool"].includes(type?.text("kind") ?? "");
    return isInteger
      ? integerShape(type!.number("size"), type!.isTrue("signed"))
      : { kind: "other" };
  }

  #readEnumWith(enumerator: string): ReadonlyMap<string, number> | undefined {
    const quoted = JSON.stringify(enumerator);
    for (const name of this.#enums.names()) {
      if (!this.#enums.text(name)!.includes(quoted)) continue;
      const constants = [...this.#enums.get(name)!.object("constants").numbers()];
      // Writers sort them by name; a kernel declares them by value.
      const values = new Map(constants.sort(([, a], [, b]) => a - b));
      if (values.has(enumerator)) return values;
    }
    return undefined;
  }
}

/** Symbols; an address has more digits than a number of JSON holds. */
class IsfSymbols implements LinkedSymbols {
  readonly #section: IsfSection;

  constructor(section: IsfSection) {
    this.#section = section;
  }

  get count(): number {
    return this.#section.size;
  }

  addressesOf(name: string): readonly bigint[] {
    const text = this.#section.text(name);
    if (text === undefined) return [];
    const digits = /"address"\s*:\s*(-?[0-9]{1,20})(?![0-9.eE])/.exec(text)?.[1];
    if (digits === undefined) throw this.#section.damaged(name);
    // What is declared somewhere, but lies nowhere, has the address 0.
    const address = BigInt.asUintN(64, BigInt(digits));
    return address === 0n ? [] : [address];
  }

  /** The text that a symbol is the address of, without its newline and NUL. */
  text(name: string): string | undefined {
    const data = this.#section.get(name)?.text("constant_data") ?? "";
    if (data === "") return undefined;
    try {
      return atob(data).replace(/\0.*$/s, "").trimEnd();
    } catch {
      throw this.#section.damaged(name);
    }
  }
}
