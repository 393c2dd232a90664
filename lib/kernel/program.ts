import { untilNul } from "../uapi/text.ts";
import type { AddressSpace } from "./address_space.ts";
import type { KernelSymbols } from "./symbols.ts";
import type { KernelTypes, Member, StructType, TypeShape } from "./types.ts";

/** A struct or a member that this kernel does not have: its layout is another one. */
export class AbsentError extends Error {
  override readonly name = "AbsentError";
}

/** Longest string read of kernel memory, bytes. */
const MAX_STRING = 4096;

/** A running kernel as its memory shows it: address space, types and symbols. */
export class Program {
  readonly memory: AddressSpace;
  readonly types: KernelTypes;
  readonly symbols: KernelSymbols;
  /** Members by struct and dotted path; null where the path does not exist. */
  #paths = new Map<StructType, Map<string, Member | null>>();

  constructor(memory: AddressSpace, types: KernelTypes, symbols: KernelSymbols) {
    this.memory = memory;
    this.types = types;
    this.symbols = symbols;
  }

  /**
   * The struct of a type name that lies at an address. Nothing is read yet.
   *
   * @throws {AbsentError} when the kernel has no such struct.
   */
  object(type: string, address: bigint): KernelObject {
    return new KernelObject(this, this.struct(type), address);
  }

  /** The struct that a symbol names, or undefined when there is no such symbol. */
  variable(symbol: string, type: string): KernelObject | undefined {
    const address = this.symbols.lookup(symbol);
    return address === undefined ? undefined : this.object(type, address);
  }

  /** @throws {AbsentError} when the kernel has no such struct. */
  struct(type: string): StructType {
    const struct = this.types.struct(type);
    if (struct === undefined) throw new AbsentError(`struct ${type} is not in this kernel`);
    return struct;
  }

  /** Whether a struct exists and has a member, which may be a dotted path. */
  has(type: string, path: string): boolean {
    const struct = this.types.struct(type);
    return struct !== undefined && this.member(struct, path) !== undefined;
  }

  /**
   * Offset in bytes of a member within a struct.
   *
   * @throws {AbsentError} when there is no such member.
   */
  offsetOf(type: string, path: string): number {
    const struct = this.struct(type);
    const member = this.member(struct, path);
    if (member === undefined) throw new AbsentError(`${type}.${path} is not in this kernel`);
    return member.bitOffset >>> 3;
  }

  /** A member by its dotted path through embedded structs. */
  member(struct: StructType, path: string): Member | undefined {
    let paths = this.#paths.get(struct);
    if (paths === undefined) this.#paths.set(struct, paths = new Map());
    let found = paths.get(path);
    if (found === undefined) paths.set(path, found = this.#resolve(struct, path));
    return found ?? undefined;
  }

  #resolve(struct: StructType, path: string): Member | null {
    let member: Member | undefined;
    let bitOffset = 0;
    for (const name of path.split(".")) {
      if (member !== undefined) {
        const shape = this.types.shape(member.typeId);
        if (shape.kind !== "struct") return null;
        struct = this.types.structOfId(shape.id);
      }
      member = struct.members.get(name);
      if (member === undefined) return null;
      bitOffset += member.bitOffset;
    }
    return member === undefined ? null : { ...member, bitOffset };
  }
}

/**
 * A struct in memory. Every method reads anew and throws {@linkcode MemoryFault} where memory
 * cannot be read, {@linkcode AbsentError} where this kernel has no such member. A path is a
 * member's name, or several joined by dots through embedded structs.
 */
export class KernelObject {
  readonly program: Program;
  readonly type: StructType;
  readonly address: bigint;

  constructor(program: Program, type: StructType, address: bigint) {
    this.program = program;
    this.type = type;
    this.address = address;
  }

  /** Whether this kernel's struct has a member. */
  has(path: string): boolean {
    return this.program.member(this.type, path) !== undefined;
  }

  /** Address of a member. */
  addressOf(path: string): bigint {
    return BigInt.asUintN(64, this.address + BigInt(this.#member(path).bitOffset >>> 3));
  }

  /** An integer, enum, bool or bit-field, with the size and sign it was declared with. */
  bigint(path: string): bigint {
    const member = this.#member(path);
    const shape = this.#shape(member);
    if (shape.kind === "pointer") return this.pointer(path);
    if (shape.kind !== "int") throw new AbsentError(`${this.type.name}.${path} is no integer`);
    if (member.bitWidth > 0) return this.#bitField(member, shape.signed);
    return readInteger(
      this.#read(member.bitOffset >>> 3, shape.size),
      shape.size,
      shape.signed,
    );
  }

  /** {@linkcode KernelObject.bigint} for values that a number holds exactly. */
  number(path: string): number {
    return Number(this.bigint(path));
  }

  /** The value of a pointer; 0n is null. */
  pointer(path: string): bigint {
    const member = this.#member(path);
    return readInteger(this.#read(member.bitOffset >>> 3, 8), 8, false);
  }

  /** The struct that a pointer points to. A null pointer is a {@linkcode MemoryFault}. */
  deref(path: string): KernelObject {
    const object = this.tryDeref(path);
    if (object === undefined) throw this.program.memory.fault(0n, "null");
    return object;
  }

  /** The struct that a pointer points to, or undefined when it is null. */
  tryDeref(path: string): KernelObject | undefined {
    const shape = this.#shape(this.#member(path));
    if (shape.kind !== "pointer") {
      throw new AbsentError(`${this.type.name}.${path} is no pointer`);
    }
    const target = this.program.types.shape(shape.target);
    if (target.kind !== "struct") {
      throw new AbsentError(`${this.type.name}.${path} points to no struct`);
    }
    const address = this.pointer(path);
    if (address === 0n) return undefined;
    return new KernelObject(this.program, this.program.types.structOfId(target.id), address);
  }

  /** The struct of a type name that an untyped pointer points to, or undefined when it is null. */
  derefAs(path: string, type: string): KernelObject | undefined {
    const address = this.pointer(path);
    return address === 0n ? undefined : this.program.object(type, address);
  }

  /** An embedded struct. */
  embedded(path: string): KernelObject {
    const member = this.#member(path);
    const shape = this.#shape(member);
    if (shape.kind !== "struct") {
      throw new AbsentError(`${this.type.name}.${path} is no struct`);
    }
    const address = BigInt.asUintN(64, this.address + BigInt(member.bitOffset >>> 3));
    return new KernelObject(this.program, this.program.types.structOfId(shape.id), address);
  }

  /** The same bytes as another struct: the kernel overlays commands on requests. */
  as(type: string): KernelObject {
    return this.program.object(type, this.address);
  }

  /** Bytes of a member of any type. */
  bytes(path: string): Uint8Array {
    const member = this.#member(path);
    return this.#read(member.bitOffset >>> 3, this.program.types.sizeOf(member.typeId));
  }

  /** Elements that an array member is declared with; 1 for anything else. */
  count(path: string): number {
    const shape = this.#shape(this.#member(path));
    return shape.kind === "array" ? shape.count : 1;
  }

  /** Text of a `char` array up to its NUL, as bytes: it may be anything. */
  text(path: string): Uint8Array {
    return untilNul(this.bytes(path));
  }

  /** The string a `char *` points to, as bytes, at most 4096. */
  string(path: string): Uint8Array {
    const address = this.pointer(path);
    if (address === 0n) throw this.program.memory.fault(0n, "null");
    return untilNul(this.program.memory.readUpTo(address, MAX_STRING));
  }

  #member(path: string): Member {
    const member = this.program.member(this.type, path);
    if (member === undefined) {
      throw new AbsentError(`${this.type.name}.${path} is not in this kernel`);
    }
    return member;
  }

  #shape(member: Member): TypeShape {
    return this.program.types.shape(member.typeId);
  }

  #read(offset: number, length: number): Uint8Array {
    if (this.address === 0n) throw this.program.memory.fault(0n, "null");
    return this.program.memory.read(BigInt.asUintN(64, this.address + BigInt(offset)), length);
  }

  #bitField(member: Member, signed: boolean): bigint {
    const first = member.bitOffset >>> 3;
    const last = (member.bitOffset + member.bitWidth - 1) >>> 3;
    const raw = readInteger(this.#read(first, last - first + 1), last - first + 1, false);
    const value = raw >> BigInt(member.bitOffset & 7);
    return signed ? BigInt.asIntN(member.bitWidth, value) : BigInt.asUintN(member.bitWidth, value);
  }
}

/**
 * The struct that contains a member at an address: `container_of(ptr, type, member)`.
 *
 * @throws {AbsentError} when the kernel has no such member.
 */
export function containerOf(
  program: Program,
  address: bigint,
  { type, member }: { type: string; member: string },
): KernelObject {
  const offset = BigInt(program.offsetOf(type, member));
  return program.object(type, BigInt.asUintN(64, address - offset));
}

/** A little-endian integer of 1 to 8 bytes. */
function readInteger(bytes: Uint8Array, size: number, signed: boolean): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  switch (size) {
    case 1:
      return BigInt(signed ? view.getInt8(0) : view.getUint8(0));
    case 2:
      return BigInt(signed ? view.getInt16(0, true) : view.getUint16(0, true));
    case 4:
      return BigInt(signed ? view.getInt32(0, true) : view.getUint32(0, true));
    case 8:
      return signed ? view.getBigInt64(0, true) : view.getBigUint64(0, true);
    default: {
      let value = 0n;
      for (let i = size - 1; i >= 0; i--) value = value << 8n | BigInt(view.getUint8(i));
      return signed ? BigInt.asIntN(size * 8, value) : value;
    }
  }
}
