import assert from "node:assert/strict";
import { isMapped } from "../../lib/scan/page_frames.ts";
import { FakeMachine, type FakeStructs } from "../kernel/fake_machine.ts";

const PAGE_SIZE = 64n;

/** `struct page` as it was until Linux 7.0, or as it is since. */
function structs(head: "compound_head" | "compound_info"): FakeStructs {
  return {
    page: {
      flags: "u64",
      first: { union: { lru: "u64[2]", [head]: "u64" } },
      mapping: "*address_space",
      rest: "u64[4]",
    },
    folio: { flags: "u64", lru: "u64[2]", mapping: "*address_space" },
    address_space: { host: "*inode" },
    inode: { i_mapping: "*address_space" },
  };
}

/** A machine with the array of pages, and what writes the entry of one. */
function machineWithPages(head: "compound_head" | "compound_info") {
  const at = 0xffff_ea00_0000_0000n;
  const variable = 0xffff_ffff_8200_0000n;
  const machine = new FakeMachine({ structs: structs(head), symbols: { vmemmap_base: variable } });
  machine.tables.map(variable);
  machine.tables.map(at);
  const write = (address: bigint, value: bigint) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    machine.write(address, bytes);
  };
  write(variable, at);
  const page = (frame: number, values: { info?: bigint; mapping?: bigint }) => {
    const address = at + BigInt(frame) * PAGE_SIZE;
    write(address + 8n, values.info ?? 0n);
    write(address + 24n, values.mapping ?? 0n);
    return address;
  };
  return {
    machine,
    page,
    isMapped: (frame: number) => isMapped(machine.program, frame * 4096 + 0x123),
  };
}

Deno.test("isMapped() tells pages of files and of processes from the kernel's own", () => {
  const { machine, page, isMapped } = machineWithPages("compound_head");
  const inode = machine.put("inode");
  const mapping = machine.put("address_space", { host: inode.address });
  machine.set(inode, "i_mapping", mapping.address);
  page(1, { mapping: mapping.address });
  page(2, { mapping: 0xffff_8880_0001_2341n });
  page(3, {});
  // A slab keeps a pointer to another page there, and a tail a value of its own.
  page(4, { mapping: page(3, {}) });
  page(5, { mapping: 0xdead_0000_0000_0400n });
  assert.deepEqual([1, 2, 3, 4, 5].map(isMapped), [true, true, false, false, false]);
  // Behind the array.
  assert.equal(isMapped(1000), false);
});

Deno.test("isMapped() asks the first of the pages that belong together", () => {
  for (const form of ["compound_head", "compound_info"] as const) {
    const { page, isMapped } = machineWithPages(form);
    const head = page(8, { mapping: 0xffff_8880_0001_2341n });
    page(11, { info: head + 1n });
    page(12, {});
    page(13, { info: page(12, {}) + 1n });
    assert.deepEqual([8, 11, 13].map(isMapped), [true, true, false], form);
    if (form === "compound_head") continue;
    // Four pages, aligned: a mask leads to the first.
    page(14, { info: (-4n * PAGE_SIZE & 0xffff_ffff_ffff_ffffn) + 1n });
    page(10, { info: (-4n * PAGE_SIZE & 0xffff_ffff_ffff_ffffn) + 1n });
    assert.deepEqual([10, 14].map(isMapped), [true, false]);
  }
});

Deno.test("isMapped() says no where the kernel's array of pages is not known", () => {
  const machine = new FakeMachine({ structs: structs("compound_head") });
  assert.equal(isMapped(machine.program, 0x1000), false);
});
