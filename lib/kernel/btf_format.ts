import { viewOf } from "../uapi/bytes.ts";
/**
 * BTF as bytes (`include/uapi/linux/btf.h`, Documentation/bpf/btf.rst): a header, types one after the
 * other, and the strings that they are named by.
 *
 * @module
 */

/** Bytes are not BTF, or end too early. */
export class BtfError extends Error {
  override readonly name = "BtfError";
}

const HEADER_SIZE = 24;
const MAGIC = 0xeb9f;

/** Kinds of types. */
export const KIND = {
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  TYPEDEF: 8,
  CONST: 10,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  ENUM64: 19,
} as const;

/** The two sections of a blob. */
export interface BtfSections {
  readonly types: DataView;
  readonly strings: Uint8Array;
  /** Bytes of the blob, header included. */
  readonly size: number;
}

/**
 * The sections of a blob that starts with a header; bytes after it are ignored.
 *
 * @throws {BtfError} when it does not, or is cut.
 */
export function btfSections(bytes: Uint8Array): BtfSections {
  const size = btfLength(bytes);
  if (size === undefined) throw new BtfError("not a BTF header");
  if (bytes.length < size) {
    throw new BtfError(`BTF needs ${size} bytes, ${bytes.length} are there`);
  }
  return sectionsAt(bytes.subarray(0, size), viewOf(bytes).getUint32(12, true));
}

/**
 * The sections of a blob whose header is damaged, where what is left of it tells where the strings
 * begin.
 *
 * @param bytes The blob and no more.
 * @throws {BtfError} when nothing tells.
 */
export function salvageSections(bytes: Uint8Array): BtfSections {
  if (bytes.length < HEADER_SIZE) throw new BtfError("not a BTF header");
  const view = viewOf(bytes);
  const byStrings = bytes.length - HEADER_SIZE - view.getUint32(20, true);
  const lengths = [view.getUint32(12, true), view.getUint32(16, true), byStrings];
  // Three numbers say how long the types are; one of them may be damaged.
  const length = lengths.find((length, i) => lengths.indexOf(length) !== i);
  if (length === undefined || length % 4 !== 0 || HEADER_SIZE + length >= bytes.length) {
    throw new BtfError("not a BTF header");
  }
  return sectionsAt(bytes, length);
}

function sectionsAt(bytes: Uint8Array, typeLength: number): BtfSections {
  return {
    types: new DataView(bytes.buffer, bytes.byteOffset + HEADER_SIZE, typeLength),
    strings: bytes.subarray(HEADER_SIZE + typeLength),
    size: bytes.length,
  };
}

/** Length in bytes of the BTF that a header announces, or undefined when it is not one. */
export function btfLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < HEADER_SIZE) return undefined;
  const view = viewOf(bytes);
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
export function trailing(kind: number, count: number): number {
  switch (kind) {
    case KIND.INT:
    case KIND.VAR:
    case KIND.DECL_TAG:
      return 4;
    case KIND.ARRAY:
      return 12;
    case KIND.STRUCT:
    case KIND.UNION:
    case KIND.DATASEC:
    case KIND.ENUM64:
      return 12 * count;
    case KIND.ENUM:
    case KIND.FUNC_PROTO:
      return 8 * count;
    case KIND.FLOAT:
    default:
      return 0;
  }
}
