/**
 * Small machines made by hand: physical memory, x86-64 page tables, BTF and kallsyms, as bytes that
 * the code under test reads like those of a real image.
 *
 * @module
 */

import { AddressSpace } from "../../lib/kernel/address_space.ts";
import { Btf } from "../../lib/kernel/btf.ts";
import { Kallsyms } from "../../lib/kernel/kallsyms.ts";
import { type KernelObject, Program } from "../../lib/kernel/program.ts";
import type { SearchOptions, SearchPattern } from "../../lib/memory/image_file.ts";
import type { MemoryRange, PhysicalMemory } from "../../lib/memory/physical_memory.ts";

const PAGE_SIZE = 4096;
const PRESENT_WRITABLE_USER = 0x7n;
const LARGE = 0x80n;
const CACHE_LINE = 64;
const FRAME_MASK = 0x000ffffffffff000n;

/** Physical memory that holds the pages written to it, and no others. */
export class FakePhysicalMemory implements PhysicalMemory {
  readonly format = "fake";
  readonly #pages = new Map<number, Uint8Array>();

  get ranges(): MemoryRange[] {
    return [...this.#pages.keys()].sort((a, b) => a - b)
      .map((start) => ({ start, end: start + PAGE_SIZE, offset: 0 }));
  }

  /** Makes the page of an address part of the image. */
  add(address: number): void {
    const page = address - address % PAGE_SIZE;
    if (!this.#pages.has(page)) this.#pages.set(page, new Uint8Array(PAGE_SIZE));
  }

  /** Takes the page of an address out of the image. */
  remove(address: number): void {
    this.#pages.delete(address - address % PAGE_SIZE);
  }

  read(address: number, length: number): Uint8Array | undefined {
    const offset = address % PAGE_SIZE;
    const page = this.#pages.get(address - offset);
    if (page === undefined) return undefined;
    if (offset + length <= PAGE_SIZE) return page.subarray(offset, offset + length);
    const rest = this.read(address - offset + PAGE_SIZE, offset + length - PAGE_SIZE);
    if (rest === undefined) return undefined;
    const bytes = new Uint8Array(length);
    bytes.set(page.subarray(offset));
    bytes.set(rest, PAGE_SIZE - offset);
    return bytes;
  }

  /** Writes bytes, and adds the pages that they lie in. */
  write(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const offset = (address + done) % PAGE_SIZE;
      const take = Math.min(bytes.length - done, PAGE_SIZE - offset);
      this.add(address + done);
      this.read(address + done, take)!.set(bytes.subarray(done, done + take));
      done += take;
    }
  }

  /** Page by page: a pattern over a border is not found. */
  search(patterns: readonly SearchPattern[], options: SearchOptions = {}): number[][] {
    return patterns.map((pattern) => this.#searchOne(pattern, options));
  }

  #searchOne(
    { bytes: wanted, align = 1, phase = 0 }: SearchPattern,
    { start = 0, end = Infinity, limit = 64 }: SearchOptions,
  ): number[] {
    const hits: number[] = [];
    const within = [...this.#pages.keys()].filter((page) => page + PAGE_SIZE > start && page < end);
    for (const page of within.sort((a, b) => a - b)) {
      const bytes = this.#pages.get(page)!;
      for (let at = bytes.indexOf(wanted[0]!); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
        const address = page + at;
        if (address < start || address + wanted.length > end) continue;
        if (address % align !== phase || hits.length >= limit) continue;
        if (wanted.every((byte, i) => bytes[at + i] === byte)) hits.push(address);
      }
    }
    return hits;
  }
}

/** What a page table entry says besides where the page lies. */
export interface MapOptions {
  /** Physical address of the page; by default the next free one. */
  readonly physical?: number;
  /** 4 KiB by default, 2 MiB or 1 GiB. */
  readonly size?: 4096 | 0x200000 | 0x40000000;
  /** Add the page to the image; by default, unless it is a large one. */
  readonly resident?: boolean;
}

/** Page tables of one address space, as they are built. */
export class FakePageTables {
  readonly memory: FakePhysicalMemory;
  readonly levels: 4 | 5;
  /** Physical address of the top table. */
  readonly root: number;
  readonly #allocate: () => number;

  constructor(memory: FakePhysicalMemory, levels: 4 | 5, allocate: () => number) {
    this.memory = memory;
    this.levels = levels;
    this.#allocate = allocate;
    this.root = this.#table();
  }

  /** A view of the memory through these tables. Made anew, it knows nothing of earlier reads. */
  space(): AddressSpace {
    return new AddressSpace(this.memory, { root: this.root, levels: this.levels, smeMask: 0n });
  }

  /** Maps the page of a virtual address; its physical address. */
  map(virtual: bigint, { physical, size = 4096, resident }: MapOptions = {}): number {
    const page = physical ?? this.#allocate();
    const level = size === 4096 ? 1 : size === 0x200000 ? 2 : 3;
    const large = level === 1 ? 0n : LARGE;
    this.setEntry(virtual, BigInt(page) | PRESENT_WRITABLE_USER | large, level);
    if (resident ?? level === 1) this.memory.add(page);
    return page;
  }

  /** Writes the entry of a virtual address in the table of a level, 1 being the lowest. */
  setEntry(virtual: bigint, entry: bigint, level = 1): void {
    let table = this.root;
    for (let at: number = this.levels; at > level; at--) {
      const slot = table + index(virtual, at) * 8;
      const next = getU64(this.memory.read(slot, 8)!);
      if ((next & 1n) === 1n) {
        table = Number(next & FRAME_MASK);
      } else {
        table = this.#table();
        this.memory.write(slot, u64(BigInt(table) | PRESENT_WRITABLE_USER));
      }
    }
    this.memory.write(table + index(virtual, level) * 8, u64(entry));
  }

  #table(): number {
    const page = this.#allocate();
    this.memory.add(page);
    return page;
  }
}

function index(virtual: bigint, level: number): number {
  return Number(virtual >> BigInt(12 + 9 * (level - 1)) & 511n);
}

/**
 * A member's type: `u8` to `u64` and `s8` to `s64`, `*` (to void) or `*name`, the name of a struct,
 * any of them with `[count]`, an integer with `:bits`; or the members of an anonymous struct or
 * (`{ union: … }`) union.
 */
export type FakeType = string | FakeMembers | { readonly union: FakeMembers };
/** Members by name, in order. The names of anonymous ones only have to be unique. */
export interface FakeMembers {
  readonly [name: string]: FakeType;
}
/** Structs by name; `union` alone makes a union. */
export interface FakeStructs {
  readonly [name: string]: FakeMembers | { readonly union: FakeMembers };
}
/** Enums by a name of their own (not written), each with its values by name. */
export interface FakeEnums {
  readonly [name: string]: { readonly [enumerator: string]: number };
}

interface Layout {
  readonly size: number;
  readonly align: number;
}

/** Writes BTF for structs laid out as a C compiler lays them out. */
export function buildBtf(structs: FakeStructs, enums: FakeEnums = {}): Uint8Array {
  return new BtfBuilder(structs, enums).bytes();
}

class BtfBuilder {
  readonly #structs: FakeStructs;
  readonly #types: number[][] = [];
  readonly #strings: number[] = [0];
  readonly #offsets = new Map<string, number>();
  readonly #ids = new Map<string, number>();
  readonly #layouts = new Map<string, Layout>();

  constructor(structs: FakeStructs, enums: FakeEnums) {
    this.#structs = structs;
    for (const values of Object.values(enums)) {
      const items = Object.entries(values).flatMap(([name, value]) => [this.#string(name), value]);
      this.#add([0, 6 << 24 | items.length / 2, 4, ...items]);
    }
    for (const name of Object.keys(structs)) this.#struct(name);
  }

  bytes(): Uint8Array {
    const words = this.#types.flat();
    const bytes = new Uint8Array(24 + words.length * 4 + this.#strings.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, 0xeb9f, true);
    view.setUint8(2, 1);
    view.setUint32(4, 24, true);
    view.setUint32(12, words.length * 4, true);
    view.setUint32(16, words.length * 4, true);
    view.setUint32(20, this.#strings.length, true);
    words.forEach((word, i) => view.setUint32(24 + i * 4, word, true));
    bytes.set(this.#strings, 24 + words.length * 4);
    return bytes;
  }

  /** The id of a type's words, which start with its name, info and size or type. */
  #add(words: number[]): number {
    this.#types.push(words);
    return this.#types.length;
  }

  #string(text: string): number {
    // Each text once: a name is looked up by its offset.
    let offset = this.#offsets.get(text);
    if (offset === undefined) {
      this.#offsets.set(text, offset = this.#strings.length);
      this.#strings.push(...new TextEncoder().encode(text), 0);
    }
    return offset;
  }

  #once(key: string, make: () => number): number {
    let id = this.#ids.get(key);
    if (id === undefined) this.#ids.set(key, id = make());
    return id;
  }

  /** The id of a named struct, whose members may point back to it. */
  #struct(name: string): number {
    return this.#once(name, () => {
      const spec = this.#structs[name];
      if (spec === undefined) throw new Error(`the test names no struct ${name}`);
      const id = this.#add([]);
      this.#ids.set(name, id);
      this.#fill(id, spec, this.#string(name));
      return id;
    });
  }

  #fill(id: number, spec: FakeType, nameOffset: number): void {
    const { members, isUnion } = membersOf(spec);
    const words: number[] = [];
    const layout = this.#layOut(spec, (name, type, bit, width) => {
      const anonymous = typeof type !== "string";
      const typeId = anonymous ? this.#add([]) : this.#type(type);
      if (anonymous) this.#fill(typeId, type, 0);
      words.push(anonymous ? 0 : this.#string(name), typeId, (width << 24 | bit) >>> 0);
    });
    const count = Object.keys(members).length;
    const info = (1 << 31 | (isUnion ? 5 : 4) << 24 | count) >>> 0;
    this.#types[id - 1] = [nameOffset, info, layout.size, ...words];
  }

  /** The id of a type that is written as text. */
  #type(text: string): number {
    const { base, count } = parseType(text);
    if (count === undefined) return this.#scalar(base);
    return this.#once(`${base}[${count}]`, () => {
      const element = this.#scalar(base);
      return this.#add([0, 3 << 24, 0, element, this.#scalar("u32"), count]);
    });
  }

  #scalar(base: string): number {
    if (base.startsWith("*")) {
      return this.#once(base, () => {
        const id = this.#add([]);
        this.#ids.set(base, id);
        const target = base === "*" ? 0 : this.#scalar(base.slice(1));
        this.#types[id - 1] = [0, 2 << 24, target];
        return id;
      });
    }
    const size = integerSize(base);
    if (size === undefined) return this.#struct(base);
    return this.#once(base, () => {
      const signed = base.startsWith("s") ? 1 << 24 : 0;
      return this.#add([this.#string(base), 1 << 24, size, signed | size * 8]);
    });
  }

  #layoutOf(type: FakeType): Layout {
    if (typeof type !== "string") return this.#layOut(type);
    const { base, count } = parseType(type);
    const one = this.#layoutOfBase(base);
    return count === undefined ? one : { size: one.size * count, align: one.align };
  }

  #layoutOfBase(base: string): Layout {
    const size = base.startsWith("*") ? 8 : integerSize(base);
    if (size !== undefined) return { size, align: size };
    let layout = this.#layouts.get(base);
    if (layout === undefined) {
      const spec = this.#structs[base];
      if (spec === undefined) throw new Error(`the test names no struct ${base}`);
      this.#layouts.set(base, layout = this.#layOut(spec));
    }
    return layout;
  }

  #layOut(
    spec: FakeType,
    each: (name: string, type: FakeType, bit: number, width: number) => void = () => {},
  ): Layout {
    const { members, isUnion } = membersOf(spec);
    let bits = 0;
    let largest = 0;
    let align = 1;
    for (const [name, type] of Object.entries(members)) {
      const member = this.#layoutOf(type);
      const width = typeof type === "string" ? parseType(type).bits : 0;
      const unit = member.align * 8;
      align = Math.max(align, member.align);
      if (isUnion) bits = 0;
      // A bit-field must not straddle a unit of its type; all else starts at one.
      if (width === 0 || bits % unit + width > member.size * 8) bits = roundUp(bits, unit);
      each(name, type, bits, width);
      bits += width === 0 ? member.size * 8 : width;
      largest = Math.max(largest, bits);
    }
    return { size: roundUp(Math.ceil(largest / 8), align), align };
  }
}

function membersOf(spec: FakeType): { members: FakeMembers; isUnion: boolean } {
  if (typeof spec === "string") throw new Error(`${spec} has no members`);
  const { union } = spec;
  if (typeof union === "object" && Object.keys(spec).length === 1) {
    return { members: union as FakeMembers, isUnion: true };
  }
  return { members: spec as FakeMembers, isUnion: false };
}

function parseType(text: string): { base: string; count: number | undefined; bits: number } {
  const [, base = "", count, bits] = /^(\**\w*)(?:\[(\d+)\])?(?::(\d+))?$/.exec(text) ?? [];
  if (base === "") throw new Error(`"${text}" is no type`);
  return { base, count: count === undefined ? undefined : Number(count), bits: Number(bits ?? 0) };
}

function integerSize(base: string): number | undefined {
  const bits = /^[us](8|16|32|64)$/.exec(base)?.[1];
  return bits === undefined ? undefined : Number(bits) / 8;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** What a fake machine has. */
export interface FakeMachineOptions {
  readonly structs: FakeStructs;
  readonly enums?: FakeEnums;
  /** Addresses of symbols; {@linkcode FakeMachine.define} adds to them. */
  readonly symbols?: { readonly [name: string]: bigint };
  /** Levels of the page tables, 4 by default. */
  readonly levels?: 4 | 5;
}

/** Value of a member to be written: an integer, bytes, or an object's address. */
export type FakeValue = bigint | number | boolean | Uint8Array | string | KernelObject;

/** Where the kernel's image starts. */
const TEXT = 0xffffffff81000000n;
/** Where objects are put, one after the other. */
const HEAP = 0xffff888000000000n;
const HEAP_5_LEVELS = 0xff11000000000000n;
const HEAP_SIZE = 2n ** 21n;

/**
 * A machine with a kernel: objects are put into its memory, and the program under test reads them.
 *
 * ```ts
 * const machine = new FakeMachine({ structs: { node: { value: "u32", next: "*node" } } });
 * const node = machine.put("node", { value: 7 });
 * assert.equal(node.number("value"), 7);
 * ```
 */
export class FakeMachine {
  readonly memory = new FakePhysicalMemory();
  /** The kernel's page tables. */
  readonly tables: FakePageTables;
  readonly types: Btf;
  readonly #symbols = new Map<string, bigint>();
  #nextPage = 0x100000;
  #heap: bigint;
  readonly #heapEnd: bigint;
  #program: Program | undefined;

  constructor({ structs, enums = {}, symbols = {}, levels = 4 }: FakeMachineOptions) {
    this.tables = new FakePageTables(this.memory, levels, () => this.allocatePage());
    this.types = new Btf(buildBtf(structs, enums));
    this.#heap = levels === 5 ? HEAP_5_LEVELS : HEAP;
    this.#heapEnd = this.#heap + HEAP_SIZE;
    // Mapped at once, as a program that has found a page unmapped does not look again.
    for (let page = this.#heap; page < this.#heapEnd; page += 4096n) {
      this.tables.map(page, { resident: false });
    }
    for (const [name, address] of Object.entries(symbols)) this.#symbols.set(name, address);
  }

  /** The program over what is in memory now. Symbols defined later are not in it. */
  get program(): Program {
    this.#program ??= new Program(this.tables.space(), this.types, this.#kallsyms());
    return this.#program;
  }

  /** A free physical page, which is not in the image yet. */
  allocatePage(): number {
    const page = this.#nextPage;
    this.#nextPage += PAGE_SIZE;
    return page;
  }

  /** Free virtual memory of the kernel, mapped and zero, aligned to 16 or more. */
  allocate(size: number, align = 16): bigint {
    const start = (this.#heap + BigInt(align - 1)) / BigInt(align) * BigInt(align);
    const end = start + BigInt(size);
    if (end > this.#heapEnd) throw new Error("the heap of the fake machine is full");
    const space = this.tables.space();
    for (let page = start & ~0xfffn; page < end; page += 4096n) {
      this.memory.add(space.translate(page));
    }
    this.#heap = end;
    return start;
  }

  /** Writes at a virtual address of the kernel. */
  write(address: bigint, bytes: Uint8Array): void {
    const space = this.tables.space();
    for (let done = 0; done < bytes.length;) {
      const at = address + BigInt(done);
      const take = Math.min(bytes.length - done, PAGE_SIZE - Number(at & 0xfffn));
      this.memory.write(space.translate(at), bytes.subarray(done, done + take));
      done += take;
    }
  }

  /**
   * A struct in fresh memory that begins a cache line, with values for some members by dotted path,
   * the rest zero.
   */
  put(type: string, values: { readonly [path: string]: FakeValue } = {}): KernelObject {
    const address = this.allocate(this.program.struct(type).size, CACHE_LINE);
    const object = this.program.object(type, address);
    for (const [path, value] of Object.entries(values)) this.set(object, path, value);
    return object;
  }

  /** Writes a member. Text ends with a NUL; where it is a pointer, it is put into memory first. */
  set(object: KernelObject, path: string, value: FakeValue): void {
    const member = this.program.member(object.type, path);
    if (member === undefined) throw new Error(`${object.type.name} has no ${path}`);
    const address = object.addressOf(path);
    const shape = this.types.shape(member.typeId);
    if (value instanceof Uint8Array) return this.write(address, value);
    if (typeof value === "string") {
      const text = new TextEncoder().encode(`${value}\0`);
      return this.write(address, shape.kind === "pointer" ? u64(this.putBytes(text)) : text);
    }
    const number = typeof value === "object" ? value.address : BigInt(value);
    const size = shape.kind === "pointer" ? 8 : shape.kind === "int" ? shape.size : 0;
    if (size === 0) throw new Error(`${object.type.name}.${path} takes bytes`);
    this.write(address, u64(number).subarray(0, size));
  }

  /** Bytes in fresh memory; their address. */
  putBytes(bytes: Uint8Array): bigint {
    const address = this.allocate(bytes.length);
    this.write(address, bytes);
    return address;
  }

  /** Links embedded `list_head`s (first pointer next, second previous) into a ring, the head first. */
  link(heads: readonly bigint[]): void {
    heads.forEach((head, i) => {
      const next = heads[(i + 1) % heads.length]!;
      this.write(head, u64(next));
      this.write(next + 8n, u64(head));
    });
  }

  /** Makes a symbol known to programs made from now on. */
  define(symbol: string, address: bigint): void {
    this.#symbols.set(symbol, address);
    this.#program = undefined;
  }

  /** A real symbol table in memory: each byte of a name is its own token. */
  #kallsyms(): Kallsyms {
    const symbols = new Map([["_stext", TEXT], ...this.#symbols]);
    // Fewer than this is taken for damage.
    for (let i = symbols.size; i < 256; i++) symbols.set(`fill_${i}`, TEXT + BigInt(i));
    const names: number[] = [];
    const markers: number[] = [];
    [...symbols.keys()].forEach((name, i) => {
      if (i % 256 === 0) markers.push(names.length);
      const text = new TextEncoder().encode(`D${name}`);
      names.push(text.length, ...text);
    });
    const tokens: number[] = [];
    const starts = new Uint16Array(256);
    for (let token = 0; token < 256; token++) {
      starts[token] = tokens.length;
      // A token of the byte 0 would end where it starts.
      if (token > 0) tokens.push(token);
      tokens.push(0);
    }
    const tokenBytes = new Uint8Array(roundUp(tokens.length, 16));
    tokenBytes.set(tokens);
    const markersAt = roundUp(names.length, 8);
    const nameBytes = new Uint8Array(roundUp(markersAt + markers.length * 4, 16));
    nameBytes.set(names);
    nameBytes.set(new Uint8Array(new Uint32Array(markers).buffer), markersAt);
    // Their distances say how long names and tokens are.
    const namesAt = this.allocate(nameBytes.length + tokenBytes.length + starts.byteLength);
    const tokensAt = namesAt + BigInt(nameBytes.length);
    const startsAt = tokensAt + BigInt(tokenBytes.length);
    this.write(namesAt, nameBytes);
    this.write(tokensAt, tokenBytes);
    this.write(startsAt, new Uint8Array(starts.buffer));
    const addresses = new BigUint64Array([...symbols.values()]);
    const tables = {
      numSyms: this.putBytes(u64(BigInt(symbols.size)).subarray(0, 4)),
      names: namesAt,
      tokenTable: tokensAt,
      tokenIndex: startsAt,
      offsets: undefined,
      addresses: this.putBytes(new Uint8Array(addresses.buffer)),
      relativeBase: undefined,
    };
    return new Kallsyms(this.tables.space(), tables, (_symbol, address) => address === TEXT);
  }
}

/** A 64-bit value as memory has it. */
export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return bytes;
}

function getU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
