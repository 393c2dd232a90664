/**
 * Writes ISF from BTF, by the published schema of Volatility 3 (6.2.0) and as dwarf2json lays it
 * out. It decodes BTF by itself: what the code under test reads back is not its own.
 *
 * @module
 */

type Json = { [key: string]: unknown };

interface RawType {
  name: string;
  kind: number;
  flag: boolean;
  /** Size, or the id of a type. */
  third: number;
  count: number;
  /** The 32-bit words behind the common part. */
  words: Uint32Array;
}

/** Words behind the common part, by kind: so many, and so many for each element. */
const WORDS: readonly (readonly [fixed: number, each: number])[] = [
  [0, 0], // 0 void
  [1, 0], // 1 int
  [0, 0], // 2 ptr
  [3, 0], // 3 array
  [0, 3], // 4 struct
  [0, 3], // 5 union
  [0, 2], // 6 enum
  [0, 0], // 7 fwd
  [0, 0], // 8 typedef
  [0, 0], // 9 volatile
  [0, 0], // 10 const
  [0, 0], // 11 restrict
  [0, 0], // 12 func
  [0, 2], // 13 func_proto
  [1, 0], // 14 var
  [0, 3], // 15 datasec
  [0, 0], // 16 float
  [1, 0], // 17 decl_tag
  [0, 0], // 18 type_tag
  [0, 3], // 19 enum64
];

function readTypes(btf: Uint8Array, stringAt: (at: number) => string): RawType[] {
  const words = new Uint32Array(btf.slice(0, btf.length & ~3).buffer);
  const types: RawType[] = [
    { name: "void", kind: 0, flag: false, third: 0, count: 0, words: words.subarray(0, 0) },
  ];
  for (let at = 6; at < 6 + words[3]! / 4;) {
    const [name, info, third] = words.subarray(at, at + 3) as unknown as [number, number, number];
    const kind = info >>> 24 & 0x1f;
    const [fixed, each] = WORDS[kind]!;
    const count = info & 0xffff;
    at += 3;
    const own = words.subarray(at, at + fixed + each * count);
    types.push({ name: stringAt(name), kind, flag: info >>> 31 === 1, third, count, words: own });
    at += own.length;
  }
  return types;
}

/** What to write. */
export interface IsfSource {
  readonly btf: Uint8Array;
  /** Addresses where they are linked. */
  readonly symbols: ReadonlyMap<string, bigint>;
  readonly banner?: string;
}

/** The text of an ISF file. */
export function writeIsf({ btf, symbols, banner }: IsfSource): string {
  const typeLength = new Uint32Array(btf.slice(0, 24).buffer)[3]!;
  const strings = new TextDecoder("latin1").decode(btf.subarray(24 + typeLength));
  const stringAt = (at: number) => strings.slice(at, strings.indexOf("\0", at));
  const types = readTypes(btf, stringAt);
  const base: Json = {
    void: { size: 0, signed: false, kind: "void", endian: "little" },
    pointer: { size: 8, signed: false, kind: "int", endian: "little" },
  };
  const user: Json = {};
  const enums: Json = {};
  const nameOf = (id: number) => types[id]!.name || `unnamed_${id.toString(16)}`;
  const sizeOf = (id: number): number => {
    const { kind, third, words } = types[id]!;
    if (kind === 2) return 8;
    if (kind === 3) return words[2]! * sizeOf(words[0]!);
    return [1, 4, 5, 6, 16, 19].includes(kind) ? third : sizeOf(third);
  };

  const describe = (id: number): Json => {
    const { kind, third, words, name } = types[id]!;
    switch (kind) {
      case 1:
      case 16:
        return { kind: "base", name };
      case 2:
        return { kind: "pointer", subtype: describe(third) };
      case 3:
        return { kind: "array", count: words[2]!, subtype: describe(words[0]!) };
      case 4:
        return { kind: "struct", name: nameOf(id) };
      case 5:
        return { kind: "union", name: nameOf(id) };
      case 6:
      case 19:
        return { kind: "enum", name: nameOf(id) };
      case 7:
        return { kind: "struct", name };
      case 13:
        return { kind: "function" };
      case 0:
        return { kind: "base", name: "void" };
      default:
        return describe(third);
    }
  };

  types.forEach((type, id) => {
    const { kind, name, flag, third, count, words } = type;
    if (kind === 1) {
      const encoding = words[0]! >>> 24;
      const of = encoding & 4 ? "bool" : third === 1 ? "char" : "int";
      base[name] = { size: third, signed: (encoding & 1) !== 0, kind: of, endian: "little" };
    } else if (kind === 16) {
      base[name] = { size: third, signed: true, kind: "float", endian: "little" };
    } else if (kind === 6 || kind === 19) {
      const step = kind === 6 ? 2 : 3;
      const constants: Json = {};
      for (let i = 0; i < count; i++) {
        const value = words[i * step + 1]!;
        constants[stringAt(words[i * step]!)] = kind === 6
          ? value | 0
          : value + words[i * step + 2]! * 2 ** 32;
      }
      if (!(nameOf(id) in enums)) {
        enums[nameOf(id)] = {
          size: third,
          base: flag ? "int" : "unsigned int",
          constants: sorted(constants),
        };
      }
    } else if ((kind === 4 || kind === 5) && !(nameOf(id) in user)) {
      const fields: Json = {};
      for (let i = 0; i < count; i++) {
        const [nameAt, member, raw] = words.subarray(i * 3, i * 3 + 3) as unknown as number[];
        const bit = flag ? raw! & 0xffffff : raw!;
        const width = flag ? raw! >>> 24 : 0;
        const unit = sizeOf(member!);
        const offset = width === 0 ? bit / 8 : Math.floor(bit / (unit * 8)) * unit;
        const anonymous = nameAt === 0;
        const key = anonymous ? `unnamed_field_${offset.toString(16)}_${i}` : stringAt(nameAt!);
        fields[key] = {
          type: width === 0 ? describe(member!) : {
            kind: "bitfield",
            bit_position: bit - offset * 8,
            bit_length: width,
            type: describe(member!),
          },
          offset,
          ...(anonymous ? { anonymous: true } : {}),
        };
      }
      const of = kind === 4 ? "struct" : "union";
      user[nameOf(id)] = { size: third, fields: sorted(fields), kind: of };
    }
  });
  // An address has more digits than a number holds.
  const written = [...symbols].map(([name, address]) => {
    const data = banner !== undefined && name === "linux_banner"
      ? `, "constant_data": ${JSON.stringify(btoa(`${banner}\n\0`))}`
      : "";
    return `${JSON.stringify(name)}: {"address": ${address}${data}}`;
  });
  const metadata = { linux: {}, producer: { name: "test", version: "1.0.0" }, format: "6.2.0" };
  return `{"metadata": ${JSON.stringify(metadata)}, "base_types": ${JSON.stringify(base)},
"user_types": ${JSON.stringify(user)}, "enums": ${JSON.stringify(enums)},
"symbols": {${written.join(",\n")}}}\n`;
}

/** As Go writes a map. */
function sorted(object: Json): Json {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => a < b ? -1 : 1));
}
