/** One program header, and the bytes it is for. */
export interface FakeSegment {
  /** PT_LOAD by default. */
  readonly type?: number;
  readonly address?: number | bigint;
  readonly bytes?: Uint8Array;
  /** What the header claims, where that is not so. */
  readonly offset?: number | bigint;
  readonly fileSize?: number | bigint;
  readonly memorySize?: number | bigint;
}

/** Values of the ELF header that differ from those of an x86-64 core. */
export interface FakeElfHeader {
  readonly class?: number;
  readonly endianness?: number;
  readonly type?: number;
  readonly machine?: number;
  readonly table?: number | bigint;
  readonly entrySize?: number;
  readonly count?: number;
  /** Offset and `sh_info` of section header 0. */
  readonly sections?: { readonly at: number; readonly info: number };
}

export const PT_LOAD = 1;
export const PT_NOTE = 4;

/** An ELF core as its headers say, sound or not. */
export function buildElf(
  segments: readonly FakeSegment[],
  header: FakeElfHeader = {},
): Uint8Array<ArrayBuffer> {
  const table = 64;
  let end = table + segments.length * 56;
  const offsets = segments.map(({ bytes }) => {
    const at = end;
    end += bytes?.length ?? 0;
    return at;
  });
  const file = new Uint8Array(Math.max(end, (header.sections?.at ?? 0) + 64));
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, header.class ?? 2, header.endianness ?? 1, 1]);
  view.setUint16(16, header.type ?? 4, true);
  view.setUint16(18, header.machine ?? 62, true);
  view.setBigUint64(32, BigInt(header.table ?? table), true);
  view.setUint16(54, header.entrySize ?? 56, true);
  view.setUint16(56, header.count ?? segments.length, true);
  segments.forEach((segment, i) => {
    const at = table + i * 56;
    const size = segment.bytes?.length ?? 0;
    view.setUint32(at, segment.type ?? PT_LOAD, true);
    view.setBigUint64(at + 8, BigInt(segment.offset ?? offsets[i]!), true);
    view.setBigUint64(at + 24, BigInt(segment.address ?? 0), true);
    view.setBigUint64(at + 32, BigInt(segment.fileSize ?? size), true);
    view.setBigUint64(at + 40, BigInt(segment.memorySize ?? segment.fileSize ?? size), true);
    if (segment.bytes !== undefined) file.set(segment.bytes, offsets[i]!);
  });
  if (header.sections !== undefined) {
    view.setBigUint64(40, BigInt(header.sections.at), true);
    view.setUint32(header.sections.at + 44, header.sections.info, true);
  }
  return file;
}

/** One note as an ELF file has it. */
export function buildNote(owner: string, data: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(`${owner}\0`);
  const dataAt = 12 + Math.ceil(name.length / 4) * 4;
  const bytes = new Uint8Array(dataAt + Math.ceil(data.length / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name.length, true);
  view.setUint32(4, data.length, true);
  bytes.set(name, 12);
  bytes.set(data, dataAt);
  return bytes;
}

/** The data of a `QEMU` note. */
export function qemuState(cr3: bigint, cr4: bigint): Uint8Array {
  const bytes = new Uint8Array(440);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 440, true);
  view.setBigUint64(416, cr3, true);
  view.setBigUint64(424, cr4, true);
  return bytes;
}

/** Bytes that differ from those of other seeds. */
export function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 31 + (i >> 8)) & 0xff);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
