import assert from "node:assert/strict";
import { KernelFileError } from "../../lib/kernel/kernel_file_error.ts";
import { readVmlinux } from "../../lib/kernel/vmlinux.ts";
import { BufferImage } from "../memory/buffer_image.ts";
import { buildBtf } from "./fake_machine.ts";

const BTF = buildBtf({ s: { a: "u32" } });
const SHT_NOTE = 7;
const SHT_NOBITS = 8;
const SHT_PROGBITS = 1;

interface Section {
  readonly name: string;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** An ELF64 file of sections, whose names come last. */
function elf(sections: readonly Section[]): Uint8Array<ArrayBuffer> {
  const names = [...sections.map(({ name }) => name), ".shstrtab"];
  const strings = new TextEncoder().encode(`\0${names.join("\0")}\0`);
  const all = [...sections, { name: ".shstrtab", type: 3, bytes: strings }];
  const data = all.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const file = new Uint8Array(64 + data + all.length * 64);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setBigUint64(40, BigInt(64 + data), true);
  view.setUint16(60, all.length, true);
  view.setUint16(62, all.length - 1, true);
  let at = 64;
  all.forEach(({ name, type, bytes }, i) => {
    const header = 64 + data + i * 64;
    const before = names.slice(0, names.indexOf(name)).join("").length + names.indexOf(name) + 1;
    view.setUint32(header, before, true);
    view.setUint32(header + 4, type, true);
    view.setBigUint64(header + 24, BigInt(at), true);
    view.setBigUint64(header + 32, BigInt(bytes.length), true);
    file.set(bytes, at);
    at += bytes.length;
  });
  return file;
}

/** ELF notes: one of another kind, then the build id. */
const NOTES = Uint8Array.from([
  ...[4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0x47, 0x4e, 0x55, 0, 9, 9, 9, 9],
  ...[4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, 0xde, 0xad, 0xbe, 0xef],
]);

const BTF_SECTION = { name: ".BTF", type: SHT_PROGBITS, bytes: BTF };
const NOTES_SECTION = { name: ".notes", type: SHT_NOTE, bytes: NOTES };

const read = (bytes: Uint8Array<ArrayBuffer>) => readVmlinux(new BufferImage(bytes, "vmlinux"));

function assertRefused(bytes: Uint8Array<ArrayBuffer>, why: RegExp): void {
  assert.throws(() => read(bytes), (error) => {
    assert.ok(error instanceof KernelFileError, String(error));
    assert.match(error.message, /^Cannot read "vmlinux": /);
    assert.match(error.message, why);
    return true;
  });
}

Deno.test("readVmlinux() reads types and build id", () => {
  assert.deepEqual(read(elf([NOTES_SECTION, BTF_SECTION])), { btf: BTF, buildId: "deadbeef" });
  assert.deepEqual(read(elf([BTF_SECTION])), { btf: BTF, buildId: undefined });
  // .BTF_ids begins with the same letters.
  const ids = { name: ".BTF_ids", type: SHT_PROGBITS, bytes: new Uint8Array(8) };
  assert.deepEqual(read(elf([ids, BTF_SECTION])).btf, BTF);
});

Deno.test("readVmlinux() says what it cannot read", () => {
  assertRefused(elf([NOTES_SECTION]), /it has no .BTF section$/);
  assertRefused(elf([{ ...BTF_SECTION, type: SHT_NOBITS }]), /its .BTF section is empty/);
  const patched = (at: number, ...bytes: number[]) => {
    const file = elf([NOTES_SECTION, BTF_SECTION]);
    file.set(bytes, at);
    return file;
  };
  assertRefused(patched(4, 1), /no 64-bit little-endian ELF file$/);
  assertRefused(patched(5, 2), /no 64-bit little-endian ELF file$/);
  assertRefused(patched(40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), /its section headers lie outside/);
  assertRefused(patched(60, 0xff, 0xff), /its section headers lie outside/);
  assertRefused(patched(62, 9), /its sections have no names$/);
});

Deno.test("readVmlinux() throws nothing but KernelFileError on a damaged file", () => {
  const whole = elf([NOTES_SECTION, BTF_SECTION]);
  const attempt = (bytes: Uint8Array<ArrayBuffer>) => {
    try {
      read(bytes);
    } catch (error) {
      assert.ok(error instanceof KernelFileError, String(error));
    }
  };
  for (let length = 1; length < whole.length; length++) {
    assertRefused(whole.slice(0, length), /outside the file/);
  }
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0, 0x7f, 0xff]) {
      const bytes = whole.slice();
      bytes[at] = value;
      attempt(bytes);
    }
  }
});
