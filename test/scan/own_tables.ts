/**
 * A kernel's own symbols and types as its image has them, to be given back in files, and taken away
 * so that files are needed. Nothing here is decoded by the code under test.
 *
 * @module
 */

import type { PatchedImage } from "./patched_image.ts";

/** Where something of a kernel lies. */
interface Stretch {
  readonly start: bigint;
  readonly length: number;
}

/** What VMCOREINFO in the image's header says of a symbol. */
function noted(image: PatchedImage, symbol: string): bigint | undefined {
  const head = new TextDecoder("latin1").decode(image.bytes.subarray(0, 1 << 20));
  const digits = new RegExp(`SYMBOL\\(${symbol}\\)=([0-9a-f]+)`).exec(head)?.[1];
  return digits === undefined ? undefined : BigInt(`0x${digits}`);
}

function bytesOf({ program }: PatchedImage, start: bigint, length: number): Uint8Array {
  return program.memory.read(start, length).slice();
}

function btfStretch({ program }: PatchedImage): Stretch {
  const start = program.symbols.lookup("__start_BTF")!;
  return { start, length: Number(program.symbols.lookup("__stop_BTF")! - start) };
}

/** The types: what the host has as /sys/kernel/btf/vmlinux. */
export function ownBtf(image: PatchedImage): Uint8Array<ArrayBuffer> {
  const { start, length } = btfStretch(image);
  return new Uint8Array(bytesOf(image, start, length));
}

/** The symbols with their types, in the order of their addresses: what /proc/kallsyms says. */
export function ownSymbols(image: PatchedImage): [name: string, type: string, address: bigint][] {
  const at = (symbol: string) => noted(image, `kallsyms_${symbol}`)!;
  const view = (start: bigint, length: number) => {
    const bytes = bytesOf(image, start, length);
    return new DataView(bytes.buffer);
  };
  const count = view(at("num_syms"), 4).getUint32(0, true);
  const names = bytesOf(image, at("names"), Number(at("token_table") - at("names")));
  const tokenIndex = view(at("token_index"), 512);
  const tokenTable = new TextDecoder("latin1").decode(
    bytesOf(image, at("token_table"), Number(at("token_index") - at("token_table"))),
  );
  const tokens = Array.from({ length: 256 }, (_, i) => {
    const start = tokenIndex.getUint16(i * 2, true);
    return tokenTable.slice(start, tokenTable.indexOf("\0", start));
  });
  const offsetsAt = at("offsets");
  const offsets = view(offsetsAt, count * 4);
  const base = noted(image, "kallsyms_relative_base");
  const baseAddress = base === undefined ? 0n : view(base, 8).getBigUint64(0, true);
  const symbols: [string, string, bigint][] = [];
  let next = 0;
  for (let i = 0; i < count; i++) {
    let length = names[next++]!;
    if (length > 0x7f) length = (length & 0x7f) | names[next++]! << 7;
    const text = [...names.subarray(next, next + length)].map((token) => tokens[token]).join("");
    next += length;
    const offset = BigInt(offsets.getInt32(i * 4, true));
    // Since 7.0 from where it stands, before that from a base, where it is negative.
    const address = base === undefined
      ? offsetsAt + BigInt(i * 4) + offset
      : offset >= 0n
      ? offset
      : baseAddress - 1n - offset;
    symbols.push([text.slice(1), text[0]!, address]);
  }
  return symbols;
}

/** Text of a System.map: as it is linked, or with `slide` 0 what /proc/kallsyms says. */
export function systemMap(
  symbols: readonly (readonly [name: string, type: string, address: bigint])[],
  slide = 0n,
): string {
  return symbols.map(([name, type, address]) => {
    const linked = address >= 0xffffffff80000000n ? address - slide : address;
    return `${linked.toString(16).padStart(16, "0")} ${type} ${name}\n`;
  }).join("");
}

/** Overwrites the types with zeros. */
export function eraseBtf(image: PatchedImage): void {
  const { start, length } = btfStretch(image);
  image.write(start, new Uint8Array(length));
}

/** Overwrites names and tokens of the symbols with zeros, and takes away what points to them. */
export function eraseSymbols(image: PatchedImage): void {
  const start = noted(image, "kallsyms_names")!;
  const end = noted(image, "kallsyms_token_index")! + 512n;
  image.write(start, new Uint8Array(Number(end - start)));
  eraseVmcoreinfo(image);
}

/** Takes VMCOREINFO away: the note in the header, and what is in memory. */
function eraseVmcoreinfo({ bytes }: PatchedImage): void {
  const text = new TextDecoder("latin1").decode(bytes);
  for (const word of ["VMCOREINFO\0", "OSRELEASE="]) {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      bytes.fill(0x58, at, at + word.length - 1);
    }
  }
}
