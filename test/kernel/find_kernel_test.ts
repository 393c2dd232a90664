import assert from "node:assert/strict";
import {
  findKernel,
  type FindKernelOptions,
  type FoundKernel,
  reopenKernel,
} from "../../lib/kernel/find_kernel.ts";
import type { PageTableSource } from "../../lib/kernel/find_page_tables.ts";
import type { Kallsyms } from "../../lib/kernel/kallsyms.ts";
import { ReadBudget } from "../../lib/kernel/read_budget.ts";
import { ImageError } from "../../lib/memory/image_error.ts";
import { RecordingMemory } from "../../lib/memory/recording_memory.ts";
import { buildBtf, u64 } from "./fake_machine.ts";
import { SmallKernel, smallKernel, type SmallKernelOptions } from "./small_kernel.ts";

const CR4_LA57 = 1n << 12n;

function cpusOf({ root }: SmallKernel): FindKernelOptions["cpus"] {
  return [{ cr3: BigInt(root.root), cr4: root.levels === 5 ? CR4_LA57 : 0n }];
}

/** Finds a kernel in one way, with what that way needs. */
function find(kernel: SmallKernel, source: PageTableSource): FoundKernel {
  if (source === "vmcoreinfo_memory") {
    kernel.memory.write(0x3000, new TextEncoder().encode(kernel.vmcoreinfo()));
  }
  return findKernel(kernel.memory, {
    name: "dump",
    cpus: source === "cpu_state" ? cpusOf(kernel) : [],
    vmcoreinfo: source === "vmcoreinfo_note" ? kernel.vmcoreinfo() : undefined,
    sources: [source],
  });
}

function assertRefused(kernel: SmallKernel, options: Partial<FindKernelOptions>, why: RegExp) {
  assert.throws(
    () => findKernel(kernel.memory, { name: "dump", cpus: [], vmcoreinfo: undefined, ...options }),
    (error) => {
      assert.ok(error instanceof ImageError, String(error));
      assert.match(error.message, /^Cannot find a Linux kernel in "dump": /);
      assert.match(error.message, why);
      return true;
    },
  );
}

const SHAPES: readonly SmallKernelOptions[] = [
  { levels: 4, layout: "6.1", encoding: "absolute_percpu" },
  { levels: 5, layout: "6.2", encoding: "absolute_percpu", slide: 0x1a0_0000 },
  { levels: 4, layout: "6.4", encoding: "base_relative", slide: 0x60_0000 },
  { levels: 5, layout: "7.0", encoding: "place_relative" },
];

for (const shape of SHAPES) {
  for (const source of ["vmcoreinfo_note", "vmcoreinfo_memory", "cpu_state", "swapper"] as const) {
    Deno.test(`findKernel() finds a ${shape.levels}-level ${shape.layout} kernel by ${source}`, () => {
      const kernel = smallKernel(shape);
      const found = find(kernel, source);
      assert.equal(found.pageTables, source);
      assert.equal(found.symbols.source, source.startsWith("vmcoreinfo") ? "vmcoreinfo" : "search");
      assert.equal(found.banner, "Linux version 6.1.0-small (someone@host)");
      assert.deepEqual(found.program.memory.pageTable, kernel.root);
      assert.equal((found.program.symbols as Kallsyms).encoding, shape.encoding);
      assert.equal(found.program.symbols.lookup("some_function_77"), kernel.text + 77n * 16n);
      assert.equal(found.program.offsetOf("task_struct", "tasks"), 24);
    });
  }
}

Deno.test("findKernel() tries the ways in order", () => {
  const kernel = smallKernel();
  const options = { name: "dump", cpus: cpusOf(kernel), vmcoreinfo: kernel.vmcoreinfo() };
  assert.equal(findKernel(kernel.memory, options).pageTables, "vmcoreinfo_note");
  const without = { ...options, vmcoreinfo: undefined };
  assert.equal(findKernel(kernel.memory, without).pageTables, "cpu_state");
  assert.equal(findKernel(kernel.memory, { ...without, cpus: [] }).pageTables, "swapper");
});

Deno.test("findKernel() reads VMCOREINFO where the state of a CPU led to the kernel", () => {
  const kernel = smallKernel({ keepsVmcoreinfo: true });
  // A search of memory would find it, too; the header costs nothing.
  const { pageTables, vmcoreinfo } = findKernel(kernel.memory, {
    name: "dump",
    cpus: cpusOf(kernel),
    vmcoreinfo: undefined,
  });
  assert.equal(pageTables, "cpu_state");
  assert.equal(vmcoreinfo?.text, kernel.vmcoreinfo());
  assert.equal(find(smallKernel(), "cpu_state").vmcoreinfo, undefined);
});

Deno.test("findKernel() searches the symbols where VMCOREINFO does not name their tables", () => {
  const kernel = smallKernel({ levels: 5 });
  for (const depth of [true, false]) {
    const vmcoreinfo = kernel.vmcoreinfo({ kallsyms: false, depth });
    const found = findKernel(kernel.memory, { name: "dump", cpus: [], vmcoreinfo });
    assert.equal(found.symbols.source, "search");
    assert.equal(found.program.memory.pageTable.levels, 5);
  }
});

Deno.test("findKernel() takes CR3 of any CPU, in user mode under page-table isolation too", () => {
  const kernel = smallKernel();
  const cr3 = BigInt(kernel.root.root);
  // The user's tables are the page after the kernel's; a PCID is in the low bits, and AMD's
  // encryption bit above all memory.
  for (const value of [cr3 | 0x1000n, cr3 | 0x801n, cr3 | 1n << 63n]) {
    const cpus = [{ cr3: 0n, cr4: 0n }, { cr3: 0x7777_7000n, cr4: 0n }, { cr3: value, cr4: 0n }];
    const found = findKernel(kernel.memory, {
      name: "dump",
      cpus,
      vmcoreinfo: undefined,
      sources: ["cpu_state"],
    });
    assert.equal(found.program.memory.pageTable.root, kernel.root.root);
  }
});

Deno.test("findKernel() passes over the VMCOREINFO of an earlier kernel", () => {
  const kernel = smallKernel({ slide: 0x200_0000 });
  const earlier = smallKernel({ release: "5.10.0-earlier" });
  // Its note lies first, but its memory has long been used for other things.
  kernel.memory.write(0x3000, new TextEncoder().encode(earlier.vmcoreinfo()));
  kernel.memory.write(0x9000, new TextEncoder().encode(kernel.vmcoreinfo()));
  const found = findKernel(kernel.memory, { name: "dump", cpus: [], vmcoreinfo: undefined });
  assert.equal(found.pageTables, "vmcoreinfo_memory");
  assert.equal(found.vmcoreinfo?.value("OSRELEASE"), "6.1.0-small");
  // In the header it loses to all other ways.
  const stale = { name: "dump", cpus: [], vmcoreinfo: earlier.vmcoreinfo() };
  assert.equal(findKernel(kernel.memory, stale).pageTables, "vmcoreinfo_memory");
});

Deno.test("findKernel() finds a kernel without symbols of data", () => {
  for (const source of ["vmcoreinfo_note", "cpu_state"] as const) {
    const found = find(smallKernel({ noDataSymbols: true }), source);
    assert.equal(found.banner, "");
    assert.equal(found.program.symbols.lookup("init_task"), undefined);
  }
});

Deno.test("findKernel() says what it looked for", () => {
  const nothing = smallKernel();
  for (const { start } of nothing.memory.ranges) nothing.memory.remove(start);
  assertRefused(nothing, {}, /looked for VMCOREINFO, .* and for the task "swapper\/0"/);
  const stale = nothing.vmcoreinfo();
  assertRefused(
    nothing,
    { vmcoreinfo: stale },
    /kallsyms cannot be read through them: .* not in image/,
  );
  assertRefused(nothing, { vmcoreinfo: "OSRELEASE=6\n" }, /looked for VMCOREINFO/);
  assertRefused(nothing, { vmcoreinfo: "" }, /looked for VMCOREINFO/);
});

Deno.test("findKernel() says how far it came", () => {
  const noTypes = smallKernel({ noBtf: true });
  assertRefused(noTypes, { cpus: cpusOf(noTypes) }, /carries no BTF \(no symbol __start_BTF/);

  const badTypes = smallKernel();
  badTypes.memory.write(badTypes.btfAt, new Uint8Array(24));
  assertRefused(badTypes, { cpus: cpusOf(badTypes) }, /its BTF cannot be read: not a BTF header/);

  const noPage = smallKernel();
  noPage.memory.remove(noPage.btfAt);
  assertRefused(noPage, { cpus: cpusOf(noPage) }, /its BTF cannot be read: .* not in image/);

  const wrongLength = smallKernel();
  wrongLength.memory.write(wrongLength.btfAt + 20, Uint8Array.of(1, 0));
  wrongLength.memory.write(wrongLength.btfAt + 16, Uint8Array.of(1, 0));
  assertRefused(wrongLength, { cpus: cpusOf(wrongLength) }, /its BTF cannot be read: /);

  const otherBanner = smallKernel();
  otherBanner.memory.write(otherBanner.bannerAt, new TextEncoder().encode("Minix"));
  assertRefused(otherBanner, { cpus: cpusOf(otherBanner) }, /does not hold a kernel's banner/);
});

Deno.test("findKernel() takes types from a copy of damaged ones", () => {
  const kernel = smallKernel();
  kernel.memory.write(kernel.btfAt, new Uint8Array(64));
  // One that is of another kernel, and one that is the same.
  const other = buildBtf({ task_struct: { comm: "s8[16]" } });
  kernel.memory.write(0x70_0000, other);
  kernel.memory.write(0x71_0000, kernel.btf);
  const found = find(kernel, "cpu_state");
  assert.equal(found.types, "copy");
  assert.equal(found.program.offsetOf("task_struct", "tasks"), 24);
  assert.deepEqual(found.damage.map(({ code, hides }) => [code, hides]), [[
    "types_damaged",
    undefined,
  ]]);
  assert.equal(reopenKernel(kernel.memory, found).types, "copy");
});

Deno.test("findKernel() finds types that no symbol leads to", () => {
  const found = find(smallKernel({ noBtfSymbols: true }), "cpu_state");
  assert.equal(found.types, "search");
  assert.equal(found.program.offsetOf("task_struct", "tasks"), 24);
  assert.deepEqual(found.damage, []);
});

Deno.test("findKernel() says that the header of types is damaged, and reads them", () => {
  const kernel = smallKernel();
  kernel.memory.write(kernel.btfAt, new Uint8Array(4));
  const found = find(kernel, "cpu_state");
  assert.equal(found.types, "__start_BTF");
  const [damage] = found.damage;
  assert.match(damage?.message ?? "", /^BTF is damaged: 0 of \d+ types are lost$/);
  assert.equal(damage?.hides, undefined);
});

Deno.test("findKernel() does not take tables of 4 levels for 5, or of 5 for 4", () => {
  for (const levels of [4, 5] as const) {
    const kernel = smallKernel({ levels });
    const cpus = [{ cr3: BigInt(kernel.root.root), cr4: levels === 4 ? CR4_LA57 : 0n }];
    assert.throws(
      () =>
        findKernel(kernel.memory, {
          name: "dump",
          cpus,
          vmcoreinfo: undefined,
          sources: ["cpu_state"],
        }),
      ImageError,
    );
  }
});

Deno.test("findKernel() does not let a damaged page_offset_base decide on the depth", () => {
  for (const value of [0n, 0xffff888012345000n, 0x1234n, 2n ** 64n - 1n]) {
    for (const levels of [4, 5] as const) {
      const kernel = smallKernel({ levels });
      kernel.memory.write(kernel.pageOffsetBaseAt, u64(value));
      assert.equal(find(kernel, "cpu_state").program.memory.pageTable.levels, levels);
    }
  }
});

Deno.test("findKernel() gives up among endless decoys, and says so", () => {
  const kernel = smallKernel();
  kernel.memory.remove(kernel.btfAt);
  // Almost nothing is left for this search.
  const budget = new ReadBudget(5_000);
  assertRefused(kernel, { cpus: cpusOf(kernel), budget }, /gave up among many/);
});

Deno.test("findKernel() gets past page tables that map the same page over and over", () => {
  const kernel = smallKernel();
  const { memory } = kernel;
  const text = (value: string) => new TextEncoder().encode(value);
  // Three tables fill the range of the kernel's image with a quarter of a million pages.
  const root = 0x20_0000;
  const entries = (at: number) =>
    new Uint8Array(512 * 8).map((_, i) => u64(BigInt(at) | 3n)[i % 8]!);
  [root + 4096, root + 8192, root + 12288, root].forEach((next, i) => {
    memory.write(root + i * 4096, entries(next));
  });
  const info = `SYMBOL(swapper_pg_dir)=${(0xffffffff80000000n + BigInt(root)).toString(16)}\n` +
    "NUMBER(phys_base)=0\n";
  memory.write(0x3000, text(`OSRELEASE=6.1.0-decoy\n${info}`));
  memory.write(0x9000, text(kernel.vmcoreinfo({ kallsyms: false })));
  const found = findKernel(memory, { name: "dump", cpus: [], vmcoreinfo: undefined });
  assert.equal(found.vmcoreinfo?.value("OSRELEASE"), "6.1.0-small");
});

Deno.test("findKernel() finds the first task among thousands of planted names", () => {
  const kernel = smallKernel();
  const name = new TextEncoder().encode("swapper/0\0\0\0\0\0\0\0");
  const page = new Uint8Array(4096);
  for (let at = 0; at < 4096; at += 16) page.set(name, at);
  for (let i = 0; i < 16; i++) kernel.memory.write(0x10_0000 + i * 4096, page);
  assert.equal(find(kernel, "swapper").pageTables, "swapper");
});

Deno.test("reopenKernel() reads the same kernel through another view of its memory", () => {
  const kernel = smallKernel();
  const found = find(kernel, "cpu_state");
  const recorder = new RecordingMemory(kernel.memory);
  const again = reopenKernel(recorder, found);
  assert.equal(again.banner, found.banner);
  assert.equal(again.program.symbols.count, found.program.symbols.count);
  assert.ok(recorder.recorded().length > 0);
});
