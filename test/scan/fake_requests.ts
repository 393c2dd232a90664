import type { KernelObject } from "../../lib/kernel/program.ts";
import {
  FakeMachine,
  type FakeMembers,
  type FakeStructs,
  type FakeValue,
} from "../kernel/fake_machine.ts";

/** Members with their values. */
export type Values = { readonly [path: string]: FakeValue };

const FILE: FakeMembers = { file: "*file" };

/** What does not differ between the kernels below. */
const COMMON: FakeStructs = {
  file: { f_mode: "u32", f_op: "*" },
  fdtable: { max_fds: "u32", fd: "*" },
  files_struct: { count: "u32", fdt: "*fdtable" },
  task_struct: { pid: "s32", files: "*files_struct" },
  sockaddr_storage: { bytes: "u8[128]" },
  timespec64: { tv_sec: "s64", tv_nsec: "s64" },
  open_how: { flags: "u64", mode: "u64", resolve: "u64" },
  xattr_name: { name: "s8[256]" },
  // Packed, as on x86-64.
  epoll_event: { events: "u32", data: "u32[2]" },
  iov_iter: { iter_type: "u8", count: "u64", nr_segs: "u64" },
  msghdr: { msg_name: "*", msg_namelen: "s32", msg_iter: "iov_iter" },
  hrtimer: { node: "u64[4]" },
  io_task_work: { node: "*", func: "*" },
  io_timeout_data: {
    req: "*io_kiocb",
    timer: "hrtimer",
    ts: "timespec64",
    mode: "u32",
    flags: "u32",
  },
  io_sync: { ...FILE, len: "s64", off: "s64", flags: "s32", mode: "s32" },
  io_epoll: { ...FILE, epfd: "s32", op: "s32", fd: "s32", event: "epoll_event" },
  io_shutdown: { ...FILE, how: "s32" },
  io_unlink: { ...FILE, dfd: "s32", flags: "s32", filename: "*filename" },
  io_rename: {
    ...FILE,
    old_dfd: "s32",
    new_dfd: "s32",
    oldpath: "*filename",
    newpath: "*filename",
    flags: "s32",
  },
  io_connect: { ...FILE, addr: "*", addr_len: "s32" },
  filename: { name: "*u8", uptr: "*u8", refcnt: "u32" },
  io_open: {
    ...FILE,
    dfd: "s32",
    file_slot: "u32",
    filename: "*filename",
    how: "open_how",
    nofile: "u64",
  },
  io_statx: {
    ...FILE,
    dfd: "s32",
    mask: "u32",
    flags: "u32",
    filename: "*filename",
    buffer: "*",
  },
};

/** Linux 6.18, as its BTF has it. */
const LINUX_6_18: FakeStructs = {
  ...COMMON,
  io_rsrc_node: { type: "u32", file_ptr: "u64" },
  io_rsrc_data: { nr: "u32", nodes: "*" },
  io_file_table: { data: "io_rsrc_data" },
  io_ring_ctx: { flags: "u32", compat: "u32:1", file_table: "io_file_table" },
  io_uring_task: { last: "*", task: "*task_struct" },
  io_cqe: { user_data: "u64", res: "s32", last: { union: { flags: "u32", fd: "s32" } } },
  io_cmd_data: { file: "*file", data: "u8[56]" },
  io_kiocb: {
    head: { union: { file: "*file", cmd: "io_cmd_data" } },
    opcode: "u8",
    iopoll_completed: "u8",
    buf_index: "u16",
    nr_tw: "u32",
    flags: "u64",
    cqe: "io_cqe",
    ctx: "*io_ring_ctx",
    tctx: "*io_uring_task",
    io_task_work: "io_task_work",
    async_data: "*",
  },
  io_issue_def: { needs_file: "u32:1", async_size: "u16", issue: "*" },
  kiocb: { ki_filp: "*file", ki_pos: "s64", ki_complete: "*", private: "*", ki_flags: "s32" },
  io_rw: { kiocb: "kiocb", addr: "u64", len: "u32", flags: "s32" },
  io_async_rw: { vec: "u64[2]", bytes_done: "u64", iter: "iov_iter", buf_group: "u32" },
  io_nop: { ...FILE, result: "s32", fd: "s32", flags: "u32" },
  io_sr_msg: {
    ...FILE,
    data: { union: { umsg: "*", buf: "*" } },
    len: "s32",
    done_io: "u32",
    msg_flags: "u32",
    nr_multishot_loops: "u32",
    flags: "u16",
    buf_group: "u16",
    mshot_len: "u32",
    msg_control: "*",
    notif: "*io_kiocb",
  },
  io_async_msghdr: { vec: "u64[2]", namelen: "s32", msg: "msghdr", addr: "sockaddr_storage" },
  io_accept: {
    ...FILE,
    addr: "*",
    addr_len: "*",
    flags: "s32",
    iou_flags: "s32",
    file_slot: "u32",
    nofile: "u64",
  },
  io_bind: { ...FILE, addr_len: "s32" },
  io_listen: { ...FILE, backlog: "s32" },
  io_socket: {
    ...FILE,
    domain: "s32",
    type: "s32",
    protocol: "s32",
    flags: "s32",
    file_slot: "u32",
  },
  io_close: { ...FILE, fd: "s32", file_slot: "u32" },
  io_rsrc_update: { ...FILE, arg: "u64", nr_args: "u32", offset: "u32" },
  io_fadvise: { ...FILE, offset: "u64", len: "u64", advice: "u32" },
  io_madvise: { ...FILE, addr: "u64", len: "u64", advice: "u32" },
  io_splice: {
    ...FILE,
    off_out: "s64",
    off_in: "s64",
    len: "u64",
    splice_fd_in: "s32",
    flags: "u32",
  },
  io_provide_buf: { ...FILE, addr: "u64", len: "u32", bgid: "u32", nbufs: "u32", bid: "u16" },
  io_mkdir: { ...FILE, dfd: "s32", mode: "u16", filename: "*filename" },
  io_link: {
    ...FILE,
    old_dfd: "s32",
    new_dfd: "s32",
    oldpath: "*filename",
    newpath: "*filename",
    flags: "s32",
  },
  io_msg: {
    ...FILE,
    src_file: "*file",
    tw: "u64[2]",
    user_data: "u64",
    len: "u32",
    cmd: "u32",
    src_fd: "u32",
    last: { union: { dst_fd: "u32", cqe_flags: "u32" } },
    flags: "u32",
  },
  kernel_xattr_ctx: { value: "*", kvalue: "*", size: "u64", kname: "*xattr_name", flags: "u32" },
  io_xattr: { ...FILE, ctx: "kernel_xattr_ctx", filename: "*filename" },
  io_uring_cmd: { ...FILE, sqe: "*", task_work_cb: "*", cmd_op: "u32", flags: "u32" },
  io_waitid: { ...FILE, which: "s32", upid: "s32", options: "s32" },
  io_futex: {
    ...FILE,
    uaddr: "*",
    futex_val: "u64",
    futex_mask: "u64",
    futexv_owned: "u64",
    futex_flags: "u32",
    futex_nr: "u32",
  },
  io_fixed_install: { ...FILE, o_flags: "u32" },
  io_ftrunc: { ...FILE, len: "s64" },
  io_recvzc: { ...FILE, msg_flags: "u32", flags: "u16", len: "u32", ifq: "*" },
  io_epoll_wait: { ...FILE, maxevents: "s32", events: "*" },
  io_pipe: { ...FILE, fds: "*", flags: "s32", file_slot: "s32" },
  io_timeout: { ...FILE, off: "u32", target_seq: "u32", repeats: "u32" },
  io_timeout_rem: { ...FILE, addr: "u64", ts: "timespec64", flags: "u32", ltimeout: "u8" },
  io_poll: { ...FILE, head: "*", events: "u32", retries: "s32" },
  io_poll_update: {
    ...FILE,
    old_user_data: "u64",
    new_user_data: "u64",
    events: "u32",
    update_events: "u8",
    update_user_data: "u8",
  },
  io_cancel: { ...FILE, addr: "u64", flags: "u32", fd: "s32", opcode: "u8" },
};

/** Linux 7.x where it differs: file names taken later, times in nanoseconds. */
const LINUX_7: FakeStructs = {
  ...LINUX_6_18,
  filename: { head: { name: "*u8", refcnt: "s32", aname: "*" }, iname: "u8[168]" },
  delayed_filename: { __incomplete_filename: "*filename" },
  io_open: { ...LINUX_6_18["io_open"] as FakeMembers, filename: "delayed_filename" },
  io_unlink: { ...FILE, dfd: "s32", flags: "s32", filename: "delayed_filename" },
  io_timeout_data: { req: "*io_kiocb", timer: "hrtimer", time: "s64", mode: "u32", flags: "u32" },
  io_timeout_rem: { ...FILE, addr: "u64", time: "s64", flags: "u32", ltimeout: "u8" },
};

/** Linux 6.1. */
const LINUX_6_1: FakeStructs = {
  ...LINUX_6_18,
  io_ring_ctx: { refs: "u64", compat: "u32:1", file_table: "u64" },
  io_kiocb: {
    head: { union: { file: "*file", cmd: "io_cmd_data" } },
    opcode: "u8",
    iopoll_completed: "u8",
    buf_index: "u16",
    flags: "u32",
    cqe: "io_cqe",
    ctx: "*io_ring_ctx",
    task: "*task_struct",
    imu: "*",
    io_task_work: "io_task_work",
    async_data: "*",
  },
  io_op_def: { needs_file: "u32:1", async_size: "u16", name: "*u8" },
  io_issue_def: { needs_file: "u32:1" },
  io_rw_state: { iter: "iov_iter" },
  io_async_rw: { s: "io_rw_state", free_iovec: "*", bytes_done: "u64" },
  io_async_connect: { address: "sockaddr_storage" },
  io_async_msghdr: { fast_iov: "u64[16]", msg: "msghdr", addr: "sockaddr_storage" },
  io_sr_msg: {
    ...FILE,
    data: { union: { umsg: "*", buf: "*" } },
    len: "u32",
    done_io: "u32",
    msg_flags: "u32",
    flags: "u16",
    addr_len: "u16",
    buf_group: "u16",
    addr: "*",
    msg_control: "*",
    notif: "*io_kiocb",
  },
  io_accept: { ...FILE, addr: "*", addr_len: "*", flags: "s32", file_slot: "u32", nofile: "u64" },
  io_fadvise: { ...FILE, offset: "u64", len: "u32", advice: "u32" },
  xattr_ctx: { value: "*", kvalue: "*", size: "u64", kname: "*xattr_name", flags: "u32" },
  io_xattr: { ...FILE, ctx: "xattr_ctx", filename: "*filename" },
};

/** Linux 5.10, as its source has it. */
const LINUX_5_10: FakeStructs = {
  ...COMMON,
  io_ring_ctx: { refs: "u64", compat: "u32:1" },
  io_completion: { ...FILE, list: "u64[2]", cflags: "s32" },
  io_kiocb: {
    head: {
      union: {
        file: "*file",
        rw: "io_rw",
        poll: "io_poll_iocb",
        open: "io_open",
        sr_msg: "io_sr_msg",
        compl: "io_completion",
      },
    },
    async_data: "*",
    opcode: "u8",
    iopoll_completed: "u8",
    buf_index: "u16",
    result: "u32",
    ctx: "*io_ring_ctx",
    flags: "u32",
    refs: "u32",
    task: "*task_struct",
    user_data: "u64",
    link_list: "u64[2]",
  },
  io_op_def: { needs_file: "u32:1", async_size: "u16", work_flags: "u32" },
  kiocb: { ki_filp: "*file", ki_pos: "s64", ki_complete: "*", private: "*", ki_flags: "s32" },
  io_rw: { kiocb: "kiocb", addr: "u64", len: "u64" },
  io_async_rw: { fast_iov: "u64[16]", free_iovec: "*", iter: "iov_iter", bytes_done: "u64" },
  io_poll_iocb: {
    ...FILE,
    head: { union: { wait: "*", addr: "u64" } },
    events: "u32",
    done: "u8",
    canceled: "u8",
  },
  io_close: { ...FILE, put_file: "*file", fd: "s32" },
  io_timeout_data: { req: "*io_kiocb", timer: "hrtimer", ts: "timespec64", mode: "u32" },
  io_accept: { ...FILE, addr: "*", addr_len: "*", flags: "s32", nofile: "u64" },
  io_cancel: { ...FILE, addr: "u64" },
  io_timeout: { ...FILE, off: "u32", target_seq: "u32" },
  io_timeout_rem: { ...FILE, addr: "u64" },
  io_sr_msg: {
    ...FILE,
    data: { union: { umsg: "*", buf: "*" } },
    msg_flags: "s32",
    bgid: "s32",
    len: "u64",
    kbuf: "*",
  },
  io_async_connect: { address: "sockaddr_storage" },
  io_async_msghdr: {
    fast_iov: "u64[16]",
    iov: "*",
    uaddr: "*",
    msg: "msghdr",
    addr: "sockaddr_storage",
  },
  io_open: {
    ...FILE,
    dfd: "s32",
    ignore_nonblock: "u8",
    filename: "*filename",
    how: "open_how",
    nofile: "u64",
  },
  io_files_update: { ...FILE, arg: "u64", nr_args: "u32", offset: "u32" },
  io_fadvise: { ...FILE, offset: "u64", len: "u32", advice: "u32" },
  io_madvise: { ...FILE, addr: "u64", len: "u32", advice: "u32" },
  io_splice: { ...FILE, file_in: "*file", off_out: "s64", off_in: "s64", len: "u64", flags: "u32" },
  io_provide_buf: { ...FILE, addr: "u64", len: "s32", bgid: "u32", nbufs: "u16", bid: "u16" },
  io_statx: { ...FILE, dfd: "s32", mask: "u32", flags: "u32", filename: "*u8", buffer: "*" },
};

const BITS_6_18 = [
  "FIXED_FILE IO_DRAIN LINK HARDLINK FORCE_ASYNC BUFFER_SELECT CQE_SKIP - FAIL INFLIGHT CUR_POS",
  "NOWAIT LINK_TIMEOUT NEED_CLEANUP POLLED HYBRID_IOPOLL_STATE BUFFER_SELECTED BUFFER_RING REISSUE",
  "CREDS REFCOUNT ARM_LTIMEOUT ASYNC_DATA SKIP_LINK_CQES SINGLE_POLL DOUBLE_POLL MULTISHOT",
  "APOLL_MULTISHOT",
].join(" ");
const BITS_6_1 = BITS_6_18.replace(" HYBRID_IOPOLL_STATE", "");
const BITS_5_10 = [
  "FIXED_FILE IO_DRAIN LINK HARDLINK FORCE_ASYNC BUFFER_SELECT LINK_HEAD FAIL_LINK INFLIGHT CUR_POS",
  "NOWAIT LINK_TIMEOUT ISREG NEED_CLEANUP POLLED BUFFER_SELECTED COMPLETE_INLINE",
].join(" ");

const KERNELS = {
  "7.1": [LINUX_7, BITS_6_18, "io_issue_defs"],
  "6.18": [LINUX_6_18, BITS_6_18, "io_issue_defs"],
  "6.1": [LINUX_6_1, BITS_6_1, "io_op_defs"],
  "5.10": [LINUX_5_10, BITS_5_10, "io_op_defs"],
} as const;

/** Kernels whose requests can be made. */
export type KernelName = keyof typeof KERNELS;

/** A request to be made. */
export interface FakeRequest {
  readonly opcode: number;
  /** `IOSQE_*` and other bits that have no name here. */
  readonly flags?: number;
  /** `REQ_F_*` bits by name. */
  readonly set?: readonly string[];
  /** The struct laid over it, and its members. */
  readonly command?: readonly [type: string, values: Values];
  /** The struct beside it, or its bytes. */
  readonly data?: KernelObject;
  /** Members of the `struct io_kiocb`. */
  readonly kiocb?: Values;
}

/** A machine that holds requests of a kernel. */
export class RequestMachine extends FakeMachine {
  readonly #bits: ReadonlyMap<string, number>;

  /** @param async Sizes of what lies beside requests, by opcode. */
  constructor(
    name: KernelName,
    { async = {}, structs = {}, table = true }: {
      async?: { readonly [opcode: number]: number };
      structs?: FakeStructs;
      table?: boolean;
    } = {},
  ) {
    const [layout, bits, symbol] = KERNELS[name];
    const names = bits.split(" ");
    const values = names.map((bit, i) => [`REQ_F_${bit}_BIT`, i] as const);
    super({
      structs: { ...layout, ...structs },
      enums: { req_flags: Object.fromEntries(values) },
    });
    this.#bits = new Map(names.map((bit, i) => [bit, i]));
    if (!table) return;
    const type = symbol === "io_issue_defs" ? "io_issue_def" : "io_op_def";
    const size = this.types.struct(type)!.size;
    const at = this.allocate(size * 80);
    this.define(symbol, at);
    for (const [opcode, bytes] of Object.entries(async)) {
      const entry = this.program.object(type, at + BigInt(size * Number(opcode)));
      this.set(entry, "async_size", bytes);
    }
  }

  /** Makes a request; with `data`, it has what kernels that say so say of it. */
  request({ opcode, flags = 0, set = [], command, data, kiocb = {} }: FakeRequest): KernelObject {
    const named = data !== undefined && this.#bits.has("ASYNC_DATA") ? [...set, "ASYNC_DATA"] : set;
    const bits = named.reduce((all, name) => {
      const bit = this.#bits.get(name);
      if (bit === undefined) throw new Error(`this kernel has no REQ_F_${name}`);
      return all | 1n << BigInt(bit);
    }, BigInt(flags));
    const request = this.put("io_kiocb", { opcode, flags: bits });
    if (command !== undefined) {
      const [type, values] = command;
      const overlay = request.as(type);
      for (const [path, value] of Object.entries(values)) this.set(overlay, path, value);
    }
    if (data !== undefined) this.set(request, "async_data", data);
    for (const [path, value] of Object.entries(kiocb)) this.set(request, path, value);
    return request;
  }

  /** A `struct filename`. */
  filename(name: string): KernelObject {
    return this.put("filename", { name });
  }

  /** A task whose descriptors name these files, 0 first. */
  task(...files: (KernelObject | undefined)[]): KernelObject {
    const table = this.allocate(8 * files.length);
    files.forEach((file, i) => {
      if (file === undefined) return;
      const word = new Uint8Array(8);
      new DataView(word.buffer).setBigUint64(0, file.address, true);
      this.write(table + BigInt(8 * i), word);
    });
    const fdt = this.put("fdtable", { max_fds: files.length, fd: table });
    return this.put("task_struct", { files: this.put("files_struct", { fdt }) });
  }
}
