/** Structs within structs, arrays of arrays, typedefs in a row. */
export const MAX_DEPTH = 32;
/** Members of one struct, those of anonymous ones included; a kernel's largest have hundreds. */
export const MAX_MEMBERS = 65_536;

/** Where a member lies in its struct, members of anonymous structs and unions included. */
export interface Member {
  /** Offset in bits from the start of the outermost struct. */
  readonly bitOffset: number;
  /** Width in bits of a bit-field, or 0. */
  readonly bitWidth: number;
  /** Id of its type. */
  readonly typeId: number;
}

/** A struct or union with its members by name. */
export interface StructType {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly members: ReadonlyMap<string, Member>;
}

/** What a type is once typedefs and qualifiers are taken off. */
export type TypeShape =
  | { readonly kind: "int"; readonly size: number; readonly signed: boolean }
  | { readonly kind: "pointer"; readonly target: number }
  | { readonly kind: "array"; readonly element: number; readonly count: number }
  | { readonly kind: "struct"; readonly id: number; readonly size: number }
  | { readonly kind: "other" };

/** The members of a struct as they are collected. */
export interface MemberCollection {
  readonly members: Map<string, Member>;
  /** Members that may still be looked at. */
  left: number;
  /** Structs within structs. */
  depth: number;
}

/** The types of one kernel. Ids are of the object that gives them out. */
export abstract class KernelTypes {
  /** Number of types. */
  abstract readonly typeCount: number;
  /** The struct or union of a name, or undefined. */
  abstract struct(name: string): StructType | undefined;
  /** The struct or union with an id. */
  abstract structOfId(id: number): StructType;
  /** What the type with an id is, typedefs and qualifiers taken off. */
  abstract shape(id: number): TypeShape;
  /** Names and values of the first enum that has an enumerator of a name. */
  abstract enumWith(enumerator: string): ReadonlyMap<string, number> | undefined;

  /** Bytes that a value of a type takes, or 0 for void and functions. */
  sizeOf(id: number): number {
    let count = 1;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const shape = this.shape(id);
      switch (shape.kind) {
        case "int":
        case "struct":
          return count * shape.size;
        case "pointer":
          return count * 8;
        case "array":
          count *= shape.count;
          id = shape.element;
          break;
        default:
          return 0;
      }
    }
    return 0;
  }
}

/** Bytes of the largest integer type, `__int128`. */
const LARGEST_INT = 16;

/** An integer, where it has a size that one can have. */
export function integerShape(size: number, signed: boolean): TypeShape {
  return size > 0 && size <= LARGEST_INT ? { kind: "int", size, signed } : { kind: "other" };
}
