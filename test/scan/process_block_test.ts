import assert from "node:assert/strict";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { Clock } from "../../lib/scan/clock.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { readProcess } from "../../lib/scan/process_block.ts";
import { FakePageTables, type FakeValue, u64 } from "../kernel/fake_machine.ts";
import { FakeKernel } from "./fake_kernel.ts";

const ID = "0123456789abcdef".repeat(4);
const ARGS = 0x7ffc0000n;
const CLOCK = new Clock({ bootTime: 1_700_000_000_000_000_000n, now: undefined });

function read(kernel: FakeKernel, task: KernelObject, clock = CLOCK) {
  return readProcess(task, { program: kernel.program, clock, diagnostics: new Diagnostics() });
}

/** Cgroups of a path, the root first. */
function cgroup(kernel: FakeKernel, path: string): KernelObject {
  let node = kernel.put("kernfs_node", { name: "" });
  for (const name of path.split("/").filter(Boolean)) {
    node = kernel.put("kernfs_node", { name, parent: node });
  }
  return kernel.put("cgroup", { kn: node });
}

/** A process in its memory: `/usr/bin/agent -v --key`, of user 1000 in a container. */
function process(
  kernel: FakeKernel,
  { executable, args = "agent\0-v\0--key\0", auxv = [6n, 4096n, 23n, 0n] }: {
    executable?: KernelObject;
    args?: string;
    auxv?: bigint[];
  } = {},
) {
  const tables = new FakePageTables(kernel.memory, 4, () => kernel.allocatePage());
  const pgd = 0xffffc90000000000n;
  kernel.tables.map(pgd, { physical: tables.root });
  const bytes = new TextEncoder().encode(args);
  kernel.memory.write(tables.map(ARGS), bytes);
  const mm = kernel.put("mm_struct", {
    pgd,
    arg_start: ARGS,
    arg_end: ARGS + BigInt(bytes.length),
    saved_auxv: Uint8Array.of(...auxv.flatMap((value) => [...u64(value)])),
    exe_file: executable ?? kernel.file(kernel.walk("/usr/bin/agent")),
  });
  const parent = kernel.put("task_struct", { tgid: 1 });
  const cred = kernel.put("cred", {
    "uid.val": 1000,
    "euid.val": 0,
    "gid.val": 1001,
    "egid.val": 1002,
    cap_permitted: Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0),
    cap_effective: Uint8Array.of(0, 0x20, 0, 0, 0, 1, 0, 0),
  });
  const fs = kernel.put("fs_struct", {
    "pwd.mnt": kernel.root.mount.addressOf("mnt"),
    "pwd.dentry": kernel.walk("/home/me"),
  });
  return kernel.put("task_struct", {
    tgid: 4242,
    real_parent: parent,
    mm,
    fs,
    cred,
    start_boottime: 1_500_000_000n,
    comm: "agent",
    "loginuid.val": 1000,
    self_exec_id: 3,
    cgroups: kernel.put("css_set", {
      dfl_cgrp: cgroup(kernel, `/system.slice/docker-${ID}.scope`),
    }),
  });
}

Deno.test("readProcess() gives every key in its order", () => {
  const kernel = new FakeKernel();
  const { process: block, missing, unverified } = read(kernel, process(kernel));
  const expected = {
    start_time: "2023-11-14T22:13:21.500Z",
    pid: 4242,
    tid: 4242,
    ppid: 1,
    uid: 1000,
    euid: 0,
    auid: 1000,
    cap_inheritable: "",
    cap_permitted: "ANY_CAPS",
    cap_effective: "CAP_NET_RAW | CAP_CHECKPOINT_RESTORE",
    secureexec: "",
    filename: "agent",
    binary_path: "/usr/bin/agent",
    args: "-v --key",
    container_id: ID,
    gid: 1001,
    egid: 1002,
    comm: "agent",
    cgroup: `/system.slice/docker-${ID}.scope`,
    exec_id: "4242:1500000000:3",
    cwd: "/home/me",
  };
  // As text, so that the order counts.
  assert.equal(JSON.stringify(block), JSON.stringify(expected));
  assert.deepEqual(missing, []);
  assert.deepEqual(unverified, ["process.args"]);
});

Deno.test("readProcess() gives the time since boot where there is no clock", () => {
  const kernel = new FakeKernel();
  const { process: block, missing } = read(kernel, process(kernel), new Clock());
  assert.equal(block.start_time, "");
  assert.equal(block.start_ns, "0x59682f00");
  assert.deepEqual(missing, ["process.start_time"]);
});

Deno.test("readProcess() names everything that it could not read", () => {
  const kernel = new FakeKernel();
  const task = kernel.program.object("task_struct", 0xffff8880dead0000n);
  const { process: block, missing, unverified } = read(kernel, task);
  const expected = {
    start_time: "",
    pid: 4294967295,
    tid: 4294967295,
    ppid: 4294967295,
    uid: 4294967295,
    euid: 4294967295,
    auid: 4294967295,
    cap_inheritable: "",
    cap_permitted: "",
    cap_effective: "",
    secureexec: "",
    filename: "",
    binary_path: "",
    args: "",
    container_id: "",
  };
  assert.equal(JSON.stringify(block), JSON.stringify(expected));
  assert.deepEqual(missing.toSorted(), Object.keys(expected).map((k) => `process.${k}`).toSorted());
  assert.deepEqual(unverified, []);
});

Deno.test("readProcess() misses nothing of a kernel thread", () => {
  const kernel = new FakeKernel();
  const task = process(kernel);
  kernel.set(task, "flags", 0x200000);
  kernel.set(task, "mm", 0n);
  const { process: block, missing, unverified } = read(kernel, task);
  assert.equal(block.binary_path, "");
  assert.equal(block.filename, "");
  assert.equal(block.args, "");
  assert.deepEqual([missing, unverified], [[], []]);
});

Deno.test("readProcess() takes the memory of a thread where the leader has exited", () => {
  const kernel = new FakeKernel();
  const thread = process(kernel);
  const signal = kernel.put("signal_struct");
  const leader = kernel.put("task_struct", {
    tgid: 4242,
    signal,
    cred: thread.pointer("cred"),
    cgroups: thread.pointer("cgroups"),
    real_parent: thread.pointer("real_parent"),
  });
  kernel.link(
    [signal, leader, thread].map((object) =>
      object.addressOf(object === signal ? "thread_head" : "thread_node")
    ),
  );
  const { process: block, missing } = read(kernel, leader);
  assert.equal(block.binary_path, "/usr/bin/agent");
  assert.equal(block.args, "-v --key");
  assert.equal(block.cwd, "/home/me");
  assert.deepEqual(missing, []);

  kernel.set(thread, "mm", 0n);
  const gone = read(kernel, leader);
  assert.deepEqual(gone.missing, [
    "process.secureexec",
    "process.filename",
    "process.binary_path",
    "process.args",
  ]);
});

Deno.test("readProcess() tells why a program was executed securely", () => {
  const secure = [23n, 1n];
  const of = (mode: number, auxv: bigint[]) => {
    const kernel = new FakeKernel();
    const { superBlock, root } = kernel.root;
    const dentry = kernel.dentry("su", { parent: root, superBlock, mode });
    const task = process(kernel, { executable: kernel.file(dentry), auxv });
    return read(kernel, task).process.secureexec;
  };
  assert.equal(of(0o104755, secure), "SETUID");
  assert.equal(of(0o102755, secure), "SETGID");
  assert.equal(of(0o102745, secure), "FILE_CAPS");
  assert.equal(of(0o106755, secure), "SETUID | SETGID");
  assert.equal(of(0o100755, secure), "FILE_CAPS");
  assert.equal(of(0o104755, [23n, 0n]), "");
  assert.equal(of(0o104755, [0n, 0n, 23n, 1n]), "");
  assert.equal(of(0o104755, [6n, 1n, 7n, 1n, 8n, 1n, 9n, 1n]), "");
});

Deno.test("readProcess() tells a memfd from a file of that name", () => {
  const kernel = new FakeKernel();
  const memfds = kernel.mountFileSystem("tmpfs", { namespace: false });
  const executable = kernel.file(kernel.pseudoDentry("memfd:payload", memfds), memfds);
  const { process: block } = read(kernel, process(kernel, { executable }));
  assert.equal(block.secureexec, "FILELESS_EXEC");
  assert.equal(block.binary_path, "/memfd:payload");
  assert.equal(block.filename, "memfd:payload");
  assert.equal(block.binary_deleted, true);

  const other = new FakeKernel();
  const dentry = other.walk("/memfd:payload");
  other.set(dentry, "d_hash.pprev", 0n);
  const { process: plain } = read(other, process(other, { executable: other.file(dentry) }));
  assert.equal(plain.secureexec, "");
  assert.equal(plain.binary_deleted, true);
});

Deno.test("readProcess() keeps bytes that are not text", () => {
  const kernel = new FakeKernel();
  const task = process(kernel);
  kernel.set(task, "comm", Uint8Array.of(0xff, 0x1b, 0));
  const { process: block } = read(kernel, task);
  assert.equal(block.comm, "\ufffd\u001b");
  const keys = Object.keys(block);
  assert.equal(keys[keys.indexOf("comm") + 1], "comm_hex");
  assert.equal(block.comm_hex, "ff1b");
});

Deno.test("readProcess() separates arguments by spaces", () => {
  const argsOf = (args: string) => {
    const kernel = new FakeKernel();
    return read(kernel, process(kernel, { args }));
  };
  assert.equal(argsOf("a\0b c\0\0d\0\0\0").process.args, "b c  d");
  assert.equal(argsOf("a\0").process.args, "");
  assert.deepEqual(argsOf("a\0").unverified, []);
  assert.equal(argsOf("title without end").process.args, "");
  assert.deepEqual(argsOf("").missing, []);
});

Deno.test("readProcess() says that arguments are cut", () => {
  const kernel = new FakeKernel();
  const task = process(kernel);
  kernel.set(task.deref("mm"), "arg_end", ARGS + 5000n);
  const { process: block, missing, unverified } = read(kernel, task);
  assert.equal(block.args, "-v --key");
  assert.deepEqual(missing, ["process.args"]);
  assert.deepEqual(unverified, ["process.args"]);
});

Deno.test("readProcess() finds the cgroup of version 1 hosts", () => {
  const kernel = new FakeKernel();
  const task = process(kernel);
  const state = (path: string) =>
    kernel.put("cgroup_subsys_state", { cgroup: cgroup(kernel, path) }).address;
  const use = (unified: string, memory: string, pids: string) => {
    const states = [0n, state(memory), state(pids), 0n];
    const values: { [key: string]: FakeValue } = {
      dfl_cgrp: cgroup(kernel, unified),
      subsys: Uint8Array.of(...states.flatMap((value) => [...u64(value)])),
    };
    kernel.set(task, "cgroups", kernel.put("css_set", values));
    const { cgroup: path, container_id } = read(kernel, task).process;
    return [path, container_id];
  };
  assert.deepEqual(use("/", "/memory", "/pids"), ["/pids", ""]);
  assert.deepEqual(use("/", "/memory", "/"), ["/memory", ""]);
  assert.deepEqual(use("/", "/", "/"), ["/", ""]);
  assert.deepEqual(use("/init.scope", "/memory", "/pids"), ["/init.scope", ""]);
  assert.deepEqual(use("/init.scope", `/docker/${ID}`, "/pids"), [`/docker/${ID}`, ID]);
});

Deno.test("readProcess() follows the parents of kernfs by their new name", () => {
  const kernel = new FakeKernel({
    kernfs_node: { count: "u32", __parent: "*kernfs_node", name: "*s8" },
  });
  const root = kernel.put("kernfs_node", { name: "" });
  const kn = kernel.put("kernfs_node", { name: "user.slice", __parent: root });
  const set = kernel.put("css_set", { dfl_cgrp: kernel.put("cgroup", { kn }) });
  const leader = kernel.put("task_struct", { cgroups: set });
  assert.equal(read(kernel, leader).process.cgroup, "/user.slice");
  kernel.set(root, "__parent", kn);
  const { process: block, missing } = read(kernel, leader);
  assert.equal(block.cgroup, undefined);
  assert.ok(missing.includes("process.container_id"));
});

Deno.test("readProcess() reads capabilities of one word, and the old name of the start", () => {
  const kernel = new FakeKernel({
    kernel_cap_t: { val: "u64" },
    cred: { uid: "kuid", cap_effective: "kernel_cap_t" },
    task_struct: { tgid: "s32", cred: "*cred", real_start_time: "u64", self_exec_id: "u32" },
  });
  const cred = kernel.put("cred", { "cap_effective.val": 1n << 39n });
  const leader = kernel.put("task_struct", { cred, real_start_time: 7n, tgid: 5 });
  const { process: block } = read(kernel, leader);
  assert.equal(block.cap_effective, "CAP_BPF");
  assert.equal(block.exec_id, "5:7:0");
});
