import assert from "node:assert/strict";
import { openMemory } from "../../lib/memory/open_memory.ts";
import { readVmwareState } from "../../lib/memory/vmware_state.ts";
import { Random } from "../scan/mutations.ts";
import { BufferImage } from "./buffer_image.ts";
import { vmwareBlock, vmwareState, vmwareTag } from "./write_formats.ts";

const MIB = 2 ** 20;
const PAGES = MIB / 4096;

/** Two regions: the file's first MiB belongs at 0, the second at 4 GiB. */
const REGIONS = [
  vmwareTag("regionsCount", [], 2),
  vmwareTag("regionPageNum", [0], 0),
  vmwareTag("regionPPN", [0], 0),
  vmwareTag("regionSize", [0], PAGES),
  vmwareTag("regionPageNum", [1], PAGES),
  vmwareTag("regionPPN", [1], 2 ** 20),
  vmwareTag("regionSize", [1], PAGES),
];

/** A tag whose length follows, as the screenshot in a real file has it. */
function longTag(name: string, data: Uint8Array, padding = 0, indices: number[] = []): Uint8Array {
  const head = vmwareBlock(name, { indices, size: data.length, padding });
  return new Uint8Array([...head, ...data]);
}

function vmem(size = 2 * MIB): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[0] = 1;
  if (size > MIB) bytes[MIB] = 2;
  return bytes;
}

function read(state: Uint8Array) {
  return readVmwareState(new BufferImage(state));
}

Deno.test("openMemory() puts the regions of a .vmem where the state beside it says", () => {
  for (const extension of ["vmss", "vmsn"]) {
    const image = new BufferImage(vmem(), "guest.vmem", {
      [extension]: vmwareState({ other: [vmwareTag("x", [], 1)], memory: REGIONS }),
    });
    const { memory, damage, raw } = openMemory(image);
    assert.equal(memory.format, "vmware");
    assert.deepEqual([damage, raw], [[], undefined]);
    assert.equal(memory.read(0, 1)?.[0], 1);
    assert.equal(memory.read(2 ** 32, 1)?.[0], 2);
    assert.equal(memory.read(MIB, 1), undefined);
  }
});

Deno.test("openMemory() takes a .vmem without a state, or without regions, as it lies", () => {
  assert.equal(openMemory(new BufferImage(vmem(), "guest.vmem")).memory.format, "raw");
  const whole = openMemory(new BufferImage(vmem(), "guest.VMEM", { vmss: vmwareState({}) }));
  assert.equal(whole.memory.format, "vmware");
  assert.equal(whole.memory.read(MIB, 1)?.[0], 2);
  const damaged = openMemory(new BufferImage(vmem(), "guest.vmem", { vmss: new Uint8Array(5) }));
  assert.equal(damaged.memory.format, "raw");
  assert.match(damaged.damage[0]!, /\.vmss beside it cannot be read/);
});

Deno.test("openMemory() cuts regions that end outside the .vmem, and says so", () => {
  const state = vmwareState({ memory: REGIONS });
  const { memory, damage } = openMemory(
    new BufferImage(vmem(MIB + 4096), "guest.vmem", { vmss: state }),
  );
  assert.deepEqual(damage, ["the region at 4294967296 is cut short by the end of the file"]);
  assert.equal(memory.read(2 ** 32, 4096)?.length, 4096);
  assert.equal(memory.read(2 ** 32 + 4096, 1), undefined);
});

Deno.test("openMemory() takes pages of a .vmem for one address alone", () => {
  const state = vmwareState({
    memory: [...REGIONS.slice(0, 4), vmwareTag("regionPageNum", [1], 1), ...REGIONS.slice(5)],
  });
  const { memory, damage } = openMemory(new BufferImage(vmem(), "guest.vmem", { vmss: state }));
  assert.deepEqual(damage, ["1 regions hold the same bytes as another"]);
  assert.equal(memory.read(2 ** 32, 1), undefined);
  assert.equal(memory.read(0, 1)?.[0], 1);
});

Deno.test("openMemory() sends who scans a .vmss to the .vmem", () => {
  assert.throws(
    () => openMemory(new BufferImage(vmwareState({ memory: REGIONS }), "guest.vmss")),
    /Cannot read "guest.vmss": it is the state of a VMware machine; its memory is in the .vmem/,
  );
});

/** A state with memory inside of it, behind all other tags. */
function snapshot(tags: Uint8Array[], memory = vmem(), compressed = false): Uint8Array {
  const block = { indices: [0, 0], size: memory.length, padding: 7, compressed };
  const state = vmwareState({ cpu: [], memory: [...tags, vmwareBlock("Memory", block)] });
  const bytes = new Uint8Array(state.length + memory.length);
  bytes.set(state.subarray(0, -2));
  bytes.set(memory, state.length - 2);
  return bytes;
}

Deno.test("openMemory() reads the memory that a snapshot holds itself", () => {
  const { memory, damage } = openMemory(new BufferImage(snapshot(REGIONS), "guest.vmsn"));
  assert.deepEqual([memory.format, damage], ["vmware", []]);
  assert.equal(memory.read(0, 1)?.[0], 1);
  assert.equal(memory.read(2 ** 32, 1)?.[0], 2);
  assert.equal(memory.read(2 ** 32 + MIB - 1, 1)?.[0], 0);
  assert.equal(memory.read(2 ** 32 + MIB, 1), undefined);
  assert.equal(memory.read(MIB, 1), undefined);
  const whole = openMemory(new BufferImage(snapshot([]), "guest.vmsn")).memory;
  assert.deepEqual([whole.read(MIB, 1)?.[0], whole.read(2 * MIB, 1)], [2, undefined]);
});

Deno.test("openMemory() says of a snapshot that was cut what it lacks, and what it cannot read", () => {
  const good = snapshot(REGIONS);
  const cut = openMemory(new BufferImage(good.slice(0, -MIB), "guest.vmsn"));
  assert.deepEqual(cut.damage, ["the region at 4294967296 is cut short by the end of the file"]);
  assert.equal(cut.memory.read(MIB - 1, 1)?.length, 1);
  const open = (bytes: Uint8Array) => () => openMemory(new BufferImage(bytes, "guest.vmsn"));
  assert.throws(
    open(snapshot(REGIONS, vmem(), true)),
    /"guest.vmsn": it is the state of a VMware machine with compressed memory, which is not supp/,
  );
  assert.throws(open(good.slice(0, 200)), /it is the state of a VMware machine, and damaged/);
});

Deno.test("readVmwareState() skips long tags and reads the control registers", () => {
  const state = vmwareState({
    memory: [longTag("Screenshot", new Uint8Array(1000).fill(0xff), 13), ...REGIONS],
    cpu: [vmwareTag("CR64", [0, 3], 0x1000), vmwareTag("CR64", [0, 4], 0x20), REGIONS[0]!],
  });
  const read = readVmwareState(new BufferImage(state));
  assert.equal(read?.ranges.length, 2);
  assert.deepEqual(read?.cpus, [{ cr3: 0x1000n, cr4: 0x20n }]);
});

Deno.test("readVmwareState() reads control registers that are one block", () => {
  const registers = new BigUint64Array([1n, 0n, 2n, 0x1000n, 0x1020n, 0n, 0n, 0n, 0n]);
  const cpu = [longTag("CR64", new Uint8Array(registers.buffer), 0, [0])];
  assert.deepEqual(read(vmwareState({ cpu }))?.cpus, [{ cr3: 0x1000n, cr4: 0x1020n }]);
});

Deno.test("readVmwareState() refuses what is damaged", () => {
  const good = vmwareState({ memory: REGIONS });
  assert.notEqual(read(good), undefined);
  const cases: Record<string, Uint8Array> = {
    "nothing": new Uint8Array(),
    "another magic": good.map((byte, i) => i === 0 ? 0xd4 : byte),
    "four billion groups": good.map((byte, i) => i >= 8 && i < 12 ? 0xff : byte),
    "tags outside the file": good.map((byte, i) => i >= 76 && i < 84 ? 0xff : byte),
    "more regions than tags": vmwareState({ memory: [vmwareTag("regionsCount", [], -1)] }),
    "a region without its place": vmwareState({ memory: REGIONS.toSpliced(5, 1) }),
    "regions that overlap": vmwareState({
      memory: [...REGIONS, vmwareTag("regionPPN", [1], 1)],
    }),
  };
  for (const [what, bytes] of Object.entries(cases)) assert.equal(read(bytes), undefined, what);
  for (let length = 0; length < good.length; length++) {
    assert.equal(read(good.slice(0, length)), undefined, `cut at ${length}`);
  }
  const random = new Random(8);
  for (let round = 0; round < 5000; round++) {
    const bytes = good.slice();
    for (let n = random.below(4); n >= 0; n--) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    read(bytes);
  }
});
