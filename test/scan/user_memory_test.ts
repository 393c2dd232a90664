import assert from "node:assert/strict";
import { BrokenList } from "../../lib/kernel/lists.ts";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { findVmemmapBase } from "../../lib/scan/page_frames.ts";
import { UserMemory, vmasOf } from "../../lib/scan/user_memory.ts";
import { FakePageTables, u64 } from "../kernel/fake_machine.ts";
import { FakeKernel } from "./fake_kernel.ts";

const VM_READ = 1;
const VMEMMAP = 0xffffea0000000000n;
const CODE = 0x400000n;
const FAIL = (reason: string) => ({ ok: false, reason });

/** A process of a fake machine: page tables of its own, and areas. */
class FakeProcess {
  readonly kernel: FakeKernel;
  readonly tables: FakePageTables;
  readonly mm: KernelObject;
  #last: KernelObject | undefined;

  constructor(levels: 4 | 5 = 4) {
    const base = VMEMMAP;
    this.kernel = new FakeKernel({}, {}, levels);
    const symbol = this.kernel.putBytes(u64(base));
    this.kernel.define("vmemmap_base", symbol);
    this.tables = new FakePageTables(
      this.kernel.memory,
      levels,
      () => this.kernel.allocatePage(),
    );
    const pgd = 0xffffc90000000000n;
    this.kernel.tables.map(pgd, { physical: this.tables.root });
    this.mm = this.kernel.put("mm_struct", { pgd });
  }

  /** Adds an area, and what a page cache has of its file. */
  area(
    start: bigint,
    pages: number,
    { file, flags = VM_READ, offset = 0, ops = 0n }: {
      file?: KernelObject;
      flags?: number;
      offset?: number;
      ops?: bigint;
    } = {},
  ): KernelObject {
    const vma = this.kernel.put("vm_area_struct", {
      vm_start: start,
      vm_end: start + BigInt(pages) * 4096n,
      vm_flags: flags,
      vm_pgoff: offset,
      vm_ops: ops,
      vm_file: file ?? 0n,
    });
    if (this.#last === undefined) this.kernel.set(this.mm, "mmap", vma);
    else this.kernel.set(this.#last, "vm_next", vma);
    return this.#last = vma;
  }

  /** Maps a page and fills it. */
  page(virtual: bigint, bytes: Uint8Array): void {
    const physical = this.tables.map(virtual);
    this.kernel.memory.write(physical, bytes);
  }

  /** A page in the page cache of a file: what the cache holds for it. */
  cached(file: KernelObject, bytes: Uint8Array, { index = 0, pages = 1 } = {}): bigint {
    const physical = this.kernel.allocatePage();
    for (let i = 1; i < pages; i++) this.kernel.allocatePage();
    this.kernel.memory.write(physical, bytes);
    const entry = VMEMMAP + BigInt(physical / 4096 * 64);
    if (!this.kernel.tables.space().isReadable(entry)) this.kernel.tables.map(entry & ~0xfffn);
    const head = this.kernel.program.object("folio", entry);
    this.kernel.set(head, "mapping", file.pointer("f_mapping"));
    this.kernel.set(head, "index", index);
    return entry;
  }

  setCache(file: KernelObject, entry: bigint): void {
    this.kernel.set(file.deref("f_mapping"), "i_pages.xa_head", entry);
  }

  get memory(): UserMemory {
    return new UserMemory(this.mm);
  }
}

function text(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

for (const levels of [4, 5] as const) {
  Deno.test(`UserMemory reads through ${levels} levels`, () => {
    const process = new FakeProcess(levels);
    process.page(CODE, text("/etc/shadow\0rest"));
    assert.deepEqual(process.memory.path(CODE), { ok: true, bytes: text("/etc/shadow") });
    assert.deepEqual(process.memory.bytes(CODE + 12n, 4), { ok: true, bytes: text("rest") });
    assert.deepEqual(process.memory.bytes(CODE, 0), { ok: true, bytes: new Uint8Array() });
  });
}

Deno.test("UserMemory reads across pages", () => {
  const process = new FakeProcess();
  const first = new Uint8Array(4096).fill(0x61);
  process.page(CODE, first);
  process.page(CODE + 4096n, text("bc\0"));
  const path = process.memory.path(CODE + 4090n);
  assert.deepEqual(path, { ok: true, bytes: text("aaaaaabc") });
  assert.deepEqual(process.memory.bytes(CODE + 4095n, 3), { ok: true, bytes: text("abc") });
});

Deno.test("UserMemory.path() refuses what is longer than a path", () => {
  const process = new FakeProcess();
  process.page(CODE, new Uint8Array(4096).fill(0x61));
  process.page(CODE + 4096n, new Uint8Array(4096).fill(0x61));
  assert.deepEqual(process.memory.path(CODE), FAIL("invalid"));
  assert.deepEqual(process.memory.path(CODE + 5n), FAIL("invalid"));
  // With its NUL it takes PATH_MAX.
  process.kernel.memory.write(process.tables.space().translate(CODE + 4096n), Uint8Array.of(0));
  const longest = process.memory.path(CODE + 1n);
  assert.equal(longest.ok && longest.bytes.length, 4095);
  assert.deepEqual(process.memory.path(CODE), FAIL("invalid"));
});

Deno.test("UserMemory says why it cannot read", () => {
  const process = new FakeProcess();
  const { memory } = process;
  process.page(CODE, text("x"));
  const physical = process.tables.map(CODE + 4096n);
  process.kernel.memory.remove(physical);
  process.tables.setEntry(CODE + 8192n, 0x1234000n << 8n | 2n);
  assert.deepEqual(memory.bytes(0n, 8), FAIL("null"));
  assert.deepEqual(memory.bytes(8n, 8), FAIL("unmapped"));
  assert.deepEqual(memory.bytes(CODE + 4096n, 8), FAIL("not_in_image"));
  assert.deepEqual(memory.bytes(CODE + 8192n, 8), FAIL("swapped"));
  assert.deepEqual(memory.bytes(CODE + 12288n, 8), FAIL("unmapped"));
  // The first page is there, the second is not.
  assert.deepEqual(memory.bytes(CODE, 4097), FAIL("not_in_image"));
  for (const length of [-1, 16385, 1.5, NaN]) {
    assert.deepEqual(memory.bytes(CODE, length), FAIL("invalid"));
  }
});

Deno.test("UserMemory never reads the kernel's half for a process", () => {
  const process = new FakeProcess();
  process.tables.map(0xffff888000000000n);
  const { memory } = process;
  assert.deepEqual(memory.bytes(0xffff888000000000n, 8), FAIL("unmapped"));
  assert.deepEqual(memory.bytes(0x800000000000n, 8), FAIL("unmapped"));
  assert.deepEqual(memory.bytes(2n ** 64n - 4n, 8), FAIL("unmapped"));
  assert.deepEqual(memory.path(-1n), FAIL("unmapped"));
});

Deno.test("UserMemory reads pages that are resident without access", () => {
  const process = new FakeProcess();
  const physical = process.kernel.allocatePage();
  process.kernel.memory.write(physical, text("hidden\0"));
  const frame = ~BigInt(physical) & 0x000ffffffffff000n;
  process.tables.setEntry(CODE, frame | 0x100n);
  assert.deepEqual(process.memory.path(CODE), { ok: true, bytes: text("hidden") });
});

Deno.test("UserMemory takes untouched anonymous memory as the zeros it is", () => {
  const process = new FakeProcess();
  process.area(CODE, 2);
  process.area(CODE + 0x10000n, 1, { flags: 0 });
  process.area(CODE + 0x20000n, 1, { flags: VM_READ | 0x200 });
  process.area(CODE + 0x30000n, 1, { ops: 0xffffffff81001000n });
  const { memory } = process;
  assert.deepEqual(memory.bytes(CODE + 4000n, 100), { ok: true, bytes: new Uint8Array(100) });
  assert.deepEqual(memory.path(CODE), { ok: true, bytes: new Uint8Array() });
  assert.deepEqual(memory.bytes(CODE + 8190n, 4), FAIL("unmapped"));
  for (const at of [0x10000n, 0x20000n, 0x30000n]) {
    assert.deepEqual(memory.bytes(CODE + at, 4), FAIL("unmapped"));
  }
});

Deno.test("UserMemory reads mapped files from the page cache", () => {
  const process = new FakeProcess();
  const { kernel } = process;
  const file = kernel.file(kernel.walk("/bin/agent"));
  process.area(CODE, 4, { file, offset: 2 });
  const slots = new BigUint64Array(64);
  slots[2] = process.cached(file, text("/tmp/never-touched\0"), { index: 2 });
  // A shadow of a page that was evicted.
  slots[3] = 0x1235n;
  // A folio of two pages: the second is found through a sibling entry.
  const large = process.cached(file, new Uint8Array(8192).fill(0x62), { index: 4, pages: 2 });
  slots[4] = large;
  slots[5] = 4n << 2n | 2n;
  const node = kernel.put("xa_node", { slots: new Uint8Array(slots.buffer) });
  process.setCache(file, node.address + 2n);
  const { memory } = process;
  assert.deepEqual(memory.path(CODE), { ok: true, bytes: text("/tmp/never-touched") });
  assert.deepEqual(memory.bytes(CODE + 4096n, 4), FAIL("file_backed"));
  assert.deepEqual(memory.bytes(CODE + 12288n, 4), { ok: true, bytes: text("bbbb") });
  assert.deepEqual(memory.bytes(CODE + 12286n, 4), { ok: true, bytes: text("bbbb") });
});

Deno.test("UserMemory does not take another file's page for the mapped one's", () => {
  const process = new FakeProcess();
  const { kernel } = process;
  const file = kernel.file(kernel.walk("/bin/agent"));
  const other = kernel.file(kernel.walk("/bin/other"));
  process.area(CODE, 1, { file });
  process.setCache(file, process.cached(other, text("wrong\0")));
  assert.deepEqual(process.memory.path(CODE), FAIL("file_backed"));
  // Not in the array of pages at all.
  process.setCache(file, kernel.put("folio", { mapping: file.pointer("f_mapping") }).address);
  assert.deepEqual(process.memory.path(CODE), FAIL("file_backed"));
  process.setCache(file, 0xffff8880dead0000n);
  assert.deepEqual(process.memory.path(CODE), FAIL("file_backed"));
});

Deno.test("UserMemory knows shared memory that was swapped or never written", () => {
  const process = new FakeProcess();
  const { kernel } = process;
  const shared = kernel.mountFileSystem("tmpfs", { magic: 0x01021994, namespace: false });
  const file = kernel.file(kernel.pseudoDentry("memfd:x", shared), shared);
  process.area(CODE, 2, { file });
  kernel.set(file.deref("f_inode"), "i_size", 4096);
  assert.deepEqual(process.memory.bytes(CODE, 4), { ok: true, bytes: new Uint8Array(4) });
  assert.deepEqual(process.memory.bytes(CODE + 4096n, 4), FAIL("unmapped"));
  process.setCache(file, 0x77n);
  assert.deepEqual(process.memory.bytes(CODE, 4), FAIL("swapped"));
});

Deno.test("UserMemory has nothing to read without page tables", () => {
  const process = new FakeProcess();
  process.kernel.set(process.mm, "pgd", 0xffff8880dead0000n);
  assert.deepEqual(process.memory.bytes(CODE, 4), FAIL("not_in_image"));
  assert.deepEqual(process.memory.path(CODE), FAIL("not_in_image"));
});

Deno.test("UserMemory does not call unmapped what it could not look up", () => {
  const process = new FakeProcess();
  const vma = process.area(CODE, 1);
  process.kernel.set(vma, "vm_next", 0xffff8880dead0000n);
  assert.equal(process.memory.bytes(CODE, 4).ok, true);
  assert.deepEqual(process.memory.bytes(CODE + 0x10000n, 4), FAIL("not_in_image"));
});

Deno.test("UserMemory.cmdline() gives what it can", () => {
  const process = new FakeProcess();
  const { kernel, mm } = process;
  process.page(CODE, new Uint8Array(4096).fill(0x61));
  kernel.set(mm, "arg_start", CODE + 4090n);
  kernel.set(mm, "arg_end", CODE + 4094n);
  assert.deepEqual(process.memory.cmdline(), { bytes: text("aaaa"), complete: true });
  kernel.set(mm, "arg_end", CODE + 5000n);
  assert.deepEqual(process.memory.cmdline(), { bytes: text("aaaaaa"), complete: false });
  kernel.set(mm, "arg_end", CODE);
  assert.deepEqual(process.memory.cmdline(), { bytes: new Uint8Array(), complete: false });
  kernel.set(mm, "arg_end", 2n ** 64n - 1n);
  assert.deepEqual(process.memory.cmdline(), { bytes: text("aaaaaa"), complete: false });
});

Deno.test("vmasOf() walks the list of old kernels and stops at a loop", () => {
  const process = new FakeProcess();
  const areas = [process.area(CODE, 1), process.area(CODE * 2n, 1), process.area(CODE * 3n, 1)];
  const addresses = () => [...vmasOf(process.mm)].map(({ address }) => address);
  assert.deepEqual(addresses(), areas.map(({ address }) => address));
  process.kernel.set(areas[2]!, "vm_next", areas[1]!);
  assert.throws(addresses, BrokenList);
});

Deno.test("vmasOf() walks the maple tree", () => {
  const structs = {
    maple_tree: { lock: "u32", ma_flags: "u32", ma_root: "*" },
    maple_range_64: { parent: "*", pivot: "u64[15]", slot: "*[16]" },
    maple_arange_64: { parent: "*", pivot: "u64[9]", slot: "*[10]", gap: "u64[10]" },
    mm_struct: { mm_mt: "maple_tree", pgd: "*" },
  };
  const kernel = new FakeKernel(structs);
  const area = kernel.put("vm_area_struct", { vm_start: CODE, vm_end: CODE + 4096n });
  const leaf = kernel.program.object("maple_range_64", kernel.allocate(256, 256));
  kernel.write(leaf.addressOf("pivot"), u64(CODE - 1n));
  kernel.write(leaf.addressOf("pivot") + 8n, u64(CODE + 4095n));
  kernel.write(leaf.addressOf("slot") + 8n, u64(area.address));
  const mm = kernel.put("mm_struct", { "mm_mt.ma_root": leaf.address | 1n << 3n | 6n });
  assert.deepEqual([...vmasOf(mm)].map(({ address }) => address), [area.address]);
});

Deno.test("findVmemmapBase() finds the array without a symbol", () => {
  const kernel = new FakeKernel();
  const base = VMEMMAP + (3n << 30n);
  kernel.tables.map(base);
  kernel.tables.map(base + 0x10000n);
  kernel.memory.add(0x1000000);
  const space = kernel.tables.space();
  assert.equal(findVmemmapBase(space, { page: base + 0x10040n, size: 64 }), base);
  // Beyond the memory of the machine.
  kernel.tables.map(base + 0x3fff0000n);
  assert.equal(findVmemmapBase(space, { page: base + 0x3fff0000n, size: 64 }), undefined);
  assert.equal(findVmemmapBase(space, { page: VMEMMAP, size: 64 }), undefined);
  assert.equal(findVmemmapBase(space, { page: 0x1000n, size: 64 }), undefined);
});
