/** BTF by its bytes (`include/uapi/linux/btf.h`), for tests of what reads it. */

const KIND_STRUCT = 4;
/** Bytes behind a type, by its kind: so many, and so many for each of its members. */
const TAILS: { readonly [kind: number]: readonly [fixed: number, each: number] } = {
  1: [4, 0], // int
  3: [12, 0], // array
  4: [0, 12], // struct
  5: [0, 12], // union
  6: [0, 8], // enum
  13: [0, 8], // function prototype
  14: [4, 0], // variable
  15: [0, 12], // section
  17: [4, 0], // tag
  19: [0, 12], // enum of 64 bits
};

/** The same types, but for a member of a struct that lies elsewhere. */
export function withMemberMoved(
  btf: Uint8Array,
  where: { struct: string; member: string; bytes: number },
): Uint8Array {
  const copy = btf.slice();
  const view = new DataView(copy.buffer);
  const header = view.getUint32(4, true);
  const types = header + view.getUint32(8, true);
  const end = types + view.getUint32(12, true);
  const names = header + view.getUint32(16, true);
  const nameAt = (at: number) => {
    const from = names + view.getUint32(at, true);
    return new TextDecoder().decode(copy.subarray(from, copy.indexOf(0, from)));
  };
  for (let at = types; at < end;) {
    const info = view.getUint32(at + 4, true);
    const kind = info >>> 24 & 0x1f;
    const count = info & 0xffff;
    const [fixed, each] = TAILS[kind] ?? [0, 0];
    if (kind === KIND_STRUCT && nameAt(at) === where.struct) {
      for (let i = 0; i < count; i++) {
        const member = at + 12 + i * each;
        if (nameAt(member) !== where.member) continue;
        view.setUint32(member + 8, view.getUint32(member + 8, true) + where.bytes * 8, true);
        return copy;
      }
    }
    at += 12 + fixed + count * each;
  }
  throw new Error(`No ${where.struct}.${where.member}`);
}

/** The same types, but for a name that is another one of the same length. */
export function withoutName(btf: Uint8Array, name: string): Uint8Array {
  const text = new TextDecoder("latin1").decode(btf);
  const at = text.indexOf(`\0${name}\0`);
  if (at < 0) throw new Error(`No ${name}`);
  const copy = btf.slice();
  copy.fill("X".charCodeAt(0), at + 1, at + 1 + name.length);
  return copy;
}

/** Types that are in order and name nothing of a kernel's. */
export function emptyBtf(): Uint8Array {
  const names = new TextEncoder().encode("\0int\0");
  const bytes = new Uint8Array(24 + 16 + names.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  view.setUint8(2, 1);
  [24, 0, 16, 16, names.length].forEach((word, i) => view.setUint32(4 + i * 4, word, true));
  // A signed int of 4 bytes.
  [1, 1 << 24, 4, 1 << 24 | 32].forEach((word, i) => view.setUint32(24 + i * 4, word, true));
  bytes.set(names, 40);
  return bytes;
}
