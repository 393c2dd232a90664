/** Files in the queues of unix sockets, in kernels made by hand: those of the lab refuse to send rings. */
import assert from "node:assert/strict";
import { BrokenList } from "../../lib/kernel/lists.ts";
import { MemoryFault } from "../../lib/kernel/memory_fault.ts";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { Clock } from "../../lib/scan/clock.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { sockOf } from "../../lib/scan/file_target.ts";
import { findRings, foundByOf } from "../../lib/scan/find_rings.ts";
import { parkedFiles } from "../../lib/scan/parked_files.ts";
import type { Process } from "../../lib/scan/tasks.ts";
import { type FakeStructs, u64 } from "../kernel/fake_machine.ts";
import { FakeKernel, STRUCTS } from "./fake_kernel.ts";

const AF_UNIX = 1;
const AF_INET = 2;
const ESTABLISHED = 1;
const LISTEN = 10;
const RING_OPERATIONS = 0xffffffff82001000n;

/** As Linux 6.12 has them. */
const QUEUES: FakeStructs = {
  sk_buff_head: { next: "*sk_buff", prev: "*sk_buff", qlen: "u32" },
  sk_buff: {
    links: { union: { list: { next: "*sk_buff", prev: "*sk_buff" }, rbnode: "u64[3]" } },
    sk: "*sock",
    cb: "s8[48]",
  },
  scm_fp_list: { count: "s16", max: "s16", user: "*", fp: "*file[253]" },
  unix_skb_parms: { pid: "*", uid: "u32", gid: "u32", fp: "*scm_fp_list", consumed: "u32" },
};

/** A kernel with unix sockets and rings. */
class Sockets extends FakeKernel {
  constructor(queues = QUEUES) {
    const { file, sock, task_struct } = STRUCTS;
    super(
      {
        ...queues,
        file: { ...file, f_op: "*" },
        sock: { ...sock, sk_drops: "u32", ...("sk_buff" in queues ? QUEUE_OF_SOCK : {}) },
        task_struct: { ...task_struct, io_uring: "*io_uring_task" },
        io_uring_task: { last: "*" },
        io_sq_data: { thread: "*task_struct" },
        io_ring_ctx: { sq_data: "*io_sq_data" },
      },
      { io_uring_fops: RING_OPERATIONS },
    );
  }

  /** A socket whose queue holds messages, each with files or, of a listener, the socket it is for. */
  unix(
    messages: readonly (readonly KernelObject[] | KernelObject)[],
    { family = AF_UNIX, state = ESTABLISHED } = {},
  ): KernelObject {
    const file = this.socket(family);
    const sock = sockOf(file)!;
    this.set(sock, "__sk_common.skc_state", state);
    this.send(sock, messages);
    return file;
  }

  send(sock: KernelObject, messages: readonly (readonly KernelObject[] | KernelObject)[]): void {
    const queue = messages.map((message) => {
      const skb = this.put("sk_buff");
      if (!Array.isArray(message)) {
        this.set(skb, "sk", sockOf(message as KernelObject)!);
      } else if (message.length > 0) {
        const list = this.put("scm_fp_list", { count: message.length, max: 253 });
        message.forEach((file, i) =>
          this.write(list.addressOf("fp") + BigInt(i * 8), u64(file.address))
        );
        this.set(this.program.object("unix_skb_parms", skb.addressOf("cb")), "fp", list);
      }
      return skb.address;
    });
    this.link([sock.addressOf("sk_receive_queue"), ...queue]);
  }

  ring(): KernelObject {
    return this.put("file", { f_op: RING_OPERATIONS, private_data: this.put("io_ring_ctx") });
  }

  process(pid: number, files: readonly KernelObject[]): Process {
    const slots = files.flatMap(({ address }) => [...u64(address)]);
    const table = this.put("fdtable", {
      max_fds: files.length,
      fd: this.putBytes(Uint8Array.from(slots)),
    });
    const leader = this.put("task_struct", {
      files: this.put("files_struct", { fdt: table }),
    });
    return { leader, pid, comm: new Uint8Array(), threads: [leader] };
  }

  /** Rings as `findRings()` finds them: context, routes, holders. */
  find(processes: readonly Process[], deep: boolean) {
    const diagnostics = new Diagnostics();
    const context = { program: this.program, clock: new Clock(), diagnostics };
    const rings = findRings(context, processes, { deep }).map((ring) => ({
      ctx: ring.ctx.address,
      routes: foundByOf(ring),
      holders: ring.holders.map(({ process, fd }) => [process.pid, fd]),
    }));
    return { rings, codes: diagnostics.list().map(({ code }) => code) };
  }
}

const QUEUE_OF_SOCK = { sk_receive_queue: "sk_buff_head" } as const;

function parked(socket: KernelObject): bigint[] {
  return [...parkedFiles(sockOf(socket)!)].map(({ address }) => address);
}

Deno.test("parkedFiles() finds the files of every message in a unix socket's queue", () => {
  const kernel = new Sockets();
  const files = Array.from({ length: 5 }, () => kernel.put("file"));
  const socket = kernel.unix([[files[0]!], [], files.slice(1, 4), [files[4]!]]);
  assert.deepEqual(parked(socket), files.map(({ address }) => address));
  assert.deepEqual(parked(kernel.unix([])), []);
  assert.deepEqual(parked(kernel.socket(AF_INET)), []);
});

Deno.test("parkedFiles() looks into connections that nobody has accepted", () => {
  const kernel = new Sockets();
  const file = kernel.put("file");
  const connection = kernel.unix([[file]]);
  const listener = kernel.unix([kernel.unix([]), connection], { state: LISTEN });
  assert.deepEqual(parked(listener), [file.address]);
});

Deno.test("parkedFiles() bounds what a queue claims to hold", () => {
  const kernel = new Sockets();
  const file = kernel.put("file");
  const socket = kernel.unix([Array.from({ length: 253 }, () => file)]);
  const sock = sockOf(socket)!;
  const skb = kernel.program.object("sk_buff", sock.pointer("sk_receive_queue.next"));
  const parms = kernel.program.object("unix_skb_parms", skb.addressOf("cb"));
  kernel.set(parms.deref("fp"), "count", 32_767);
  assert.equal(parked(socket).length, 253);
  kernel.set(parms.deref("fp"), "count", -1);
  assert.deepEqual(parked(socket), []);
  // A message behind itself.
  kernel.set(skb, "next", skb);
  assert.throws(() => parked(socket), BrokenList);
  kernel.set(parms, "fp", 0x1000n);
  assert.throws(() => parked(socket), MemoryFault);
});

Deno.test("findRings() finds rings in messages in a deep scan alone", () => {
  const kernel = new Sockets();
  const ring = kernel.ring();
  const socket = kernel.unix([[kernel.put("file"), ring]]);
  const processes = [kernel.process(7, [socket]), kernel.process(8, [kernel.unix([]), socket])];
  assert.deepEqual(kernel.find(processes, false), { rings: [], codes: [] });
  const found = {
    ctx: ring.pointer("private_data"),
    routes: ["unix"],
    holders: [[7, -1], [8, -1]],
  };
  assert.deepEqual(kernel.find(processes, true), { rings: [found], codes: [] });
});

Deno.test("findRings() follows sockets that wait in sockets, in circles too", () => {
  const kernel = new Sockets();
  const ring = kernel.ring();
  const inner = kernel.unix([[ring]]);
  const middle = kernel.unix([[inner]]);
  const outer = kernel.unix([[middle, inner], [middle]]);
  kernel.send(sockOf(inner)!, [[outer, inner], [ring]]);
  const found = { ctx: ring.pointer("private_data"), routes: ["unix"], holders: [[7, -1]] };
  const processes = [kernel.process(7, [outer])];
  assert.deepEqual(kernel.find(processes, true), { rings: [found], codes: [] });
});

Deno.test("findRings() says where messages cannot be read, and goes on", () => {
  const kernel = new Sockets();
  const ring = kernel.ring();
  const broken = kernel.unix([]);
  kernel.set(sockOf(broken)!, "sk_receive_queue.next", 0xffff8880dead0000n);
  const processes = [kernel.process(7, [broken, kernel.unix([[ring]])])];
  const { rings, codes } = kernel.find(processes, true);
  assert.deepEqual(rings.map(({ ctx }) => ctx), [ring.pointer("private_data")]);
  assert.deepEqual(codes, ["socket_queue_unreadable"]);

  const modular = new Sockets({});
  const socket = modular.process(7, [modular.socket(AF_UNIX)]);
  assert.deepEqual(modular.find([socket], true).codes, ["socket_queues_not_read"]);
  assert.deepEqual(modular.find([socket], false).codes, []);
});
