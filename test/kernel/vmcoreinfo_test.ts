import assert from "node:assert/strict";
import { findVmcoreinfo, Vmcoreinfo } from "../../lib/kernel/vmcoreinfo.ts";
import { buildNote } from "../memory/fake_elf.ts";
import { FakePhysicalMemory } from "./fake_machine.ts";

const TEXT = `OSRELEASE=6.1.0-test
BUILD-ID=0123456789abcdef
PAGESIZE=4096
SYMBOL(_stext)=ffffffff9b000000
SYMBOL(swapper_pg_dir)=ffffffff9ca10000
NUMBER(phys_base)=-50331648
NUMBER(pgtable_l5_enabled)=1
NUMBER(sme_mask)=0
NUMBER(KERNEL_IMAGE_SIZE)=0x40000000
KERNELOFFSET=1a000000
`;

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("Vmcoreinfo reads symbols in hex and numbers in decimal, signed", () => {
  const info = new Vmcoreinfo(TEXT);
  assert.equal(info.value("OSRELEASE"), "6.1.0-test");
  assert.equal(info.symbol("_stext"), 0xffffffff9b000000n);
  assert.equal(info.number("phys_base"), -50331648n);
  assert.equal(info.number("KERNEL_IMAGE_SIZE"), 0x40000000n);
  assert.equal(info.number("sme_mask"), 0n);
  assert.equal(info.value("KERNELOFFSET"), "1a000000");
  assert.equal(info.symbol("nothing"), undefined);
  assert.equal(info.number("_stext"), undefined);
});

Deno.test("Vmcoreinfo takes the first of equal keys and skips lines that are none", () => {
  const info = new Vmcoreinfo("SYMBOL(a)=1\nSYMBOL(a)=2\n=3\nnothing\n\nOSRELEASE=a=b\n");
  assert.equal(info.symbol("a"), 1n);
  assert.equal(info.value("OSRELEASE"), "a=b");
  assert.equal(info.value(""), undefined);
});

Deno.test("Vmcoreinfo has no value for what is no number", () => {
  for (const value of ["", "xyz", "0x", "-", "12ab", "1.5", "1 2", "0x12g", "--1"]) {
    assert.equal(new Vmcoreinfo(`NUMBER(n)=${value}`).number("n"), undefined, value);
  }
  assert.equal(new Vmcoreinfo("SYMBOL(s)=nope").symbol("s"), undefined);
  assert.equal(new Vmcoreinfo("NUMBER(n)= 12 \r").number("n"), 12n);
});

Deno.test("findVmcoreinfo() finds the text and its note at page starts, each text once", () => {
  const memory = new FakePhysicalMemory();
  memory.write(0x5000, encode(TEXT));
  memory.write(0x9000, buildNote("VMCOREINFO", encode(TEXT)));
  memory.write(0x20_0000, encode("OSRELEASE=5.10.0-earlier\nPAGESIZE=4096\n"));
  assert.deepEqual([...findVmcoreinfo(memory)].map((info) => info.value("OSRELEASE")), [
    "6.1.0-test",
    "5.10.0-earlier",
  ]);
});

Deno.test("findVmcoreinfo() searches as far as it is asked to", () => {
  const memory = new FakePhysicalMemory();
  memory.write(0x5000, encode(TEXT));
  for (let page = 0x10_0000; page < 0x410_0000; page += 4096) memory.add(page);
  memory.write(0x4000_0000, encode("OSRELEASE=5.10.0-earlier\n"));
  const searched: number[] = [];
  const search = memory.search.bind(memory);
  memory.search = (patterns, options) => {
    searched.push(options?.start ?? 0);
    return search(patterns, options);
  };
  assert.equal(findVmcoreinfo(memory).next().value?.value("OSRELEASE"), "6.1.0-test");
  assert.deepEqual(searched, [0x5000]);
});

Deno.test("findVmcoreinfo() tells how much of memory it has searched", () => {
  const memory = new FakePhysicalMemory();
  for (let page = 0; page < 0x800_0000; page += 4096) memory.add(page);
  memory.add(0x4000_0000);
  const told: unknown[] = [];
  assert.deepEqual([...findVmcoreinfo(memory, (...words) => told.push(words))], []);
  const what = "of memory searched for the kernel";
  assert.deepEqual(told, [
    [0x400_0000, 0x800_1000, what],
    [0x800_1000, 0x800_1000, what],
  ]);
});

Deno.test("findVmcoreinfo() passes over what does not start a page", () => {
  const memory = new FakePhysicalMemory();
  memory.write(0x5010, encode(TEXT));
  memory.write(0x7000, encode("x OSRELEASE=%s"));
  memory.write(0x9010, buildNote("VMCOREINFO", encode(TEXT)));
  assert.deepEqual([...findVmcoreinfo(memory)], []);
});

Deno.test("findVmcoreinfo() survives notes that do not fit in their page", () => {
  const memory = new FakePhysicalMemory();
  const note = buildNote("VMCOREINFO", encode(TEXT));
  new DataView(note.buffer).setUint32(4, 0xffff_fff0, true);
  memory.write(0x9000, note);
  memory.write(0xb000, buildNote("VMCOREINFO", encode("nothing of the kind")));
  assert.deepEqual([...findVmcoreinfo(memory)], []);
});

Deno.test("findVmcoreinfo() finds the kernel's own among many that were planted", () => {
  const memory = new FakePhysicalMemory();
  for (let i = 0; i < 2000; i++) {
    memory.write(0x10_0000 + i * 4096, encode(`OSRELEASE=planted-${i}\n`));
  }
  memory.write(0x4000_0000, encode(TEXT));
  const found = [...findVmcoreinfo(memory)];
  assert.equal(found.length, 2001);
  assert.equal(found.at(-1)!.value("OSRELEASE"), "6.1.0-test");
});

Deno.test("findVmcoreinfo() does not search between ranges, however far apart they are", () => {
  const memory = new FakePhysicalMemory();
  memory.write(0x5000, encode("OSRELEASE=5.10.0-low\n"));
  memory.write(2 ** 52 - 8192, encode("OSRELEASE=5.10.0-high\n"));
  let searches = 0;
  const search = memory.search.bind(memory);
  memory.search = (patterns, options) => {
    assert.ok(++searches < 10, "searched again and again");
    return search(patterns, options);
  };
  assert.equal([...findVmcoreinfo(memory)].length, 2);
});
