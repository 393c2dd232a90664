import assert from "node:assert/strict";
import { whyNotItsTypes } from "../../lib/kernel/check_kernel.ts";
import type { GivenTypes } from "../../lib/kernel/kernel_files.ts";
import { Program } from "../../lib/kernel/program.ts";
import { Vmcoreinfo } from "../../lib/kernel/vmcoreinfo.ts";
import { FakeMachine, type FakeStructs } from "./fake_machine.ts";

const STRUCTS: FakeStructs = {
  list_head: { next: "*list_head", prev: "*list_head" },
  files_struct: { count: "u32", rest: "u32[15]" },
  io_kiocb: { words: "u64[28]" },
  cred: { uid: "u32" },
  task_struct: {
    state: "u64",
    tasks: "list_head",
    pid: "s32",
    real_parent: "*task_struct",
    real_cred: "*cred",
    comm: "s8[16]",
    files: "*files_struct",
  },
  kmem_cache: { object_size: "u32", refcount: "s32", name: "*s8", list: "list_head" },
};

/** A kernel with its first task, one more, and three caches. */
function machine() {
  const fake = new FakeMachine({ structs: STRUCTS });
  const task = fake.put("task_struct", { comm: "swapper/0" });
  const other = fake.put("task_struct", { pid: 1, comm: "init" });
  const files = fake.put("files_struct");
  const cred = fake.put("cred");
  fake.set(task, "real_parent", task);
  fake.set(task, "files", files);
  fake.set(task, "real_cred", cred);
  fake.link([task.addressOf("tasks"), other.addressOf("tasks")]);
  const caches = [["files_cache", 64], ["kmalloc-8", 8], ["io_kiocb", 224]].map(([name, size]) =>
    fake.put("kmem_cache", { name: name!, object_size: size!, refcount: 1 })
  );
  const head = fake.allocate(16);
  fake.link([head, ...caches.map((cache) => cache.addressOf("list"))]);
  fake.define("init_task", task.address);
  fake.define("init_files", files.address);
  fake.define("init_cred", cred.address);
  fake.define("slab_caches", head);
  return { fake, task, other, caches };
}

/** Types that differ in one struct. */
function otherTypes(struct: string, members: FakeStructs[string]) {
  return new FakeMachine({ structs: { ...STRUCTS, [struct]: members } }).types;
}

function why(
  { fake }: ReturnType<typeof machine>,
  given: Partial<GivenTypes> = {},
  vmcoreinfo?: string,
): string | undefined {
  const all = {
    file: "x",
    source: "btf_file",
    types: fake.types,
    buildId: undefined,
    ...given,
  } as const;
  const program = new Program(fake.tables.space(), all.types, fake.program.symbols);
  return whyNotItsTypes(
    program,
    all,
    vmcoreinfo === undefined ? undefined : new Vmcoreinfo(vmcoreinfo),
  );
}

Deno.test("whyNotItsTypes() finds nothing to say against a kernel's own types", () => {
  assert.equal(why(machine()), undefined);
});

Deno.test("whyNotItsTypes() compares build ids, which decide", () => {
  const kernel = machine();
  assert.equal(why(kernel, { buildId: "ab" }, "BUILD-ID=ab"), undefined);
  assert.equal(
    why(kernel, { buildId: "ab" }, "BUILD-ID=cd"),
    "its build id is ab, the image has cd",
  );
  kernel.fake.define(
    "__start_notes",
    kernel.fake.putBytes(
      Uint8Array.from([4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0, 0xab, 0xcd, 0, 0]),
    ),
  );
  kernel.fake.define("__stop_notes", kernel.fake.program.symbols.lookup("__start_notes")! + 20n);
  assert.equal(why(kernel, { buildId: "abcd" }), undefined);
  assert.equal(why(kernel, { buildId: "ab" }), "its build id is ab, the image has abcd");
});

Deno.test("whyNotItsTypes() compares the size of BTF with that of the image", () => {
  const kernel = machine();
  const { size } = kernel.fake.types;
  kernel.fake.define("__start_BTF", 0xffffffff82000000n);
  kernel.fake.define("__stop_BTF", 0xffffffff82000000n + BigInt(size));
  assert.equal(why(kernel), undefined);
  kernel.fake.define("__stop_BTF", 0xffffffff82000001n + BigInt(size));
  assert.equal(why(kernel), `its types take ${size} bytes, those of the image ${size + 1}`);
});

Deno.test("whyNotItsTypes() looks at the first task, which points to what is linked in", () => {
  const task = STRUCTS["task_struct"] as Record<string, string>;
  const { files, ...others } = task;
  const cases: [FakeStructs[string], RegExp][] = [
    [{ more: "u64", ...task }, /^by its types the first task is called "0"$/],
    [
      { ...task, comm: "s8[8]", more: "u64" },
      /^by its types the first task is called "swapper\/"$/,
    ],
    [
      { ...others, more: "u64", files: files! },
      /^by its types the first task's files is not init_files$/,
    ],
    [{ state: "u64" }, /task_struct\.comm is not in this kernel/],
  ];
  for (const [members, message] of cases) {
    assert.match(String(why(machine(), { types: otherTypes("task_struct", members) })), message);
  }
  const kernel = machine();
  kernel.fake.set(kernel.task, "pid", 1);
  assert.equal(why(kernel), "by its types the first task has another pid, parent or successor");
  const astray = machine();
  astray.fake.set(astray.task, "tasks.next", 0x1000n);
  assert.match(why(astray) ?? "", /^its types lead astray: address 0x1008 is unmapped$/);
});

Deno.test("whyNotItsTypes() compares the sizes that the allocator has", () => {
  const types = otherTypes("io_kiocb", { words: "u64[29]" });
  assert.equal(
    why(machine(), { types }),
    "by its types struct io_kiocb has 232 bytes, in the image 224",
  );
  // Caches that were merged hold several types.
  const merged = machine();
  merged.fake.set(merged.caches[2]!, "refcount", 2);
  assert.equal(why(merged, { types }), undefined);
});

Deno.test("whyNotItsTypes() takes nothing for a reason that the image does not hold", () => {
  const kernel = machine();
  // Its symbols are written into memory when they are first needed.
  assert.equal(why(kernel), undefined);
  const page = kernel.fake.tables.space().translate(kernel.task.address);
  kernel.fake.memory.remove(page);
  assert.equal(why(kernel), undefined);
});
