import assert from "node:assert/strict";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { taskOf } from "../../lib/scan/command_reader.ts";
import {
  opcodeOf,
  readCompletedRequest,
  readPreparedRequest,
  resultOfCompleted,
  userDataOf,
} from "../../lib/scan/prepared_request.ts";
import { isUnreadable } from "../../lib/scan/diagnostics.ts";
import { type ArgumentName, type KnownArguments, NO_MEMORY } from "../../lib/uapi/argument.ts";
import { describeRequest } from "../../lib/uapi/op_info.ts";
import { opcodeName, opcodeNumber } from "../../lib/uapi/opcodes.ts";
import type { RequestFields } from "../../lib/uapi/request_fields.ts";
import { pseudoRandom, randomBytes, sockaddrIn, words64 } from "../uapi/layout.ts";
import { u64 } from "../kernel/fake_machine.ts";
import { type FakeRequest, type KernelName, RequestMachine, type Values } from "./fake_requests.ts";

const USER = 0x7fff12340000n;
const ADDRESS = sockaddrIn([203, 0, 113, 7], 4444);

/** The number of `IORING_OP_` and a name. */
function op(name: string): number {
  const number = opcodeNumber(`IORING_OP_${name}`);
  assert.ok(number !== undefined, name);
  return number;
}

/** Known arguments as text where they are names, else in hex. */
function shown(known: KnownArguments): { [name in ArgumentName]?: string } {
  const names = new Set(["path", "old_path", "new_path", "name"]);
  return Object.fromEntries(
    Object.entries(known).map(([name, argument]) => [
      name,
      !argument.ok
        ? `(${argument.reason})`
        : names.has(name)
        ? new TextDecoder().decode(argument.bytes)
        : argument.bytes.toHex(),
    ]),
  );
}

/** What a request holds besides opcode and flags. */
function slotsOf(fields: RequestFields): Partial<RequestFields> {
  const { opcode: _opcode, flags: _flags, ...slots } = fields;
  return slots;
}

/** A request of one kernel, and what it should hold. */
interface Case {
  readonly name: string;
  readonly kernel: KernelName;
  readonly request: (machine: RequestMachine) => Partial<FakeRequest>;
  readonly slots: Partial<RequestFields>;
  readonly known?: { readonly [name in ArgumentName]?: string };
}

function check({ name, kernel, request, slots, known = {} }: Case): void {
  const machine = new RequestMachine(kernel, {
    async: { 16: 128, 46: 144, 56: 128 },
  });
  const kiocb = machine.request({ opcode: op(name), ...request(machine) });
  const found = readPreparedRequest(kiocb);
  const label = `${name} of ${kernel}`;
  assert.equal(found.fields.opcode, op(name), label);
  assert.deepEqual(slotsOf(found.fields), slots, label);
  assert.deepEqual(shown(found.known), known, label);
  // Nothing but memory decides what is known: whatever it holds can be put into words.
  describeRequest(found.fields, NO_MEMORY, { known: found.known });
}

/** A case of Linux 6.18, whose requests hold members alone. */
function modern(
  name: string,
  type: string,
  values: Values,
  slots: Partial<RequestFields>,
  more: Partial<FakeRequest> = {},
): Case {
  const request = () => ({ command: [type, values] as const, ...more });
  return { name, kernel: "6.18", request, slots };
}

const FD = { kiocb: { "cqe.fd": 9 } };

const MODERN: readonly Case[] = [
  modern("NOP", "io_nop", { result: 3, fd: -1, flags: 0 }, { opFlags: 0 }),
  modern("NOP", "io_nop", { result: -5, fd: 4, flags: 0xb }, {
    opFlags: 0xb,
    len: 0xfffffffb,
    fd: 4,
    bufIndex: 2,
  }, { kiocb: { buf_index: 2 } }),
  modern("NOP128", "io_nop", { flags: 0 }, { opFlags: 0 }),
  ...["READ", "WRITE", "READV", "WRITEV"].map((name) =>
    modern(
      name,
      "io_rw",
      { "kiocb.ki_pos": 4096, addr: USER, len: 64, flags: 0x10 },
      { fd: 9, off: 4096n, addr: USER, len: 64, opFlags: 0x10 },
      FD,
    )
  ),
  ...["READ_FIXED", "WRITE_FIXED", "READV_FIXED", "WRITEV_FIXED"].map((name) =>
    modern(
      name,
      "io_rw",
      { "kiocb.ki_pos": -1, addr: USER, len: 64 },
      { fd: 9, off: 0xffff_ffff_ffff_ffffn, addr: USER, len: 64, opFlags: 0, bufIndex: 5 },
      { kiocb: { "cqe.fd": 9, buf_index: 5 } },
    )
  ),
  modern(
    "READ_MULTISHOT",
    "io_rw",
    { "kiocb.ki_pos": 0, len: 64 },
    { fd: 9, off: 0n, opFlags: 0, bufIndex: 5 },
    { flags: 1 << 5, kiocb: { "cqe.fd": 9, buf_index: 5 } },
  ),
  ...["FSYNC", "SYNC_FILE_RANGE"].map((name) =>
    modern(name, "io_sync", { off: 7, len: 8, flags: 1 }, {
      fd: 9,
      off: 7n,
      len: 8,
      opFlags: 1,
    }, FD)
  ),
  modern("FALLOCATE", "io_sync", { off: 7, len: 8, mode: 3 }, {
    fd: 9,
    off: 7n,
    addr: 8n,
    len: 3,
  }, FD),
  modern("POLL_ADD", "io_poll", { events: 0xc0000001n }, { fd: 9, opFlags: 1, len: 0 }, FD),
  modern("POLL_REMOVE", "io_poll_update", { old_user_data: 5 }, { addr: 5n, len: 0 }),
  modern("SENDMSG", "io_sr_msg", { umsg: USER, msg_flags: 0x4000 }, {
    fd: 9,
    addr: USER,
    opFlags: 0x4000,
    ioprio: 0,
  }, FD),
  modern("SENDMSG_ZC", "io_sr_msg", { umsg: USER, msg_flags: 0x4004000, flags: 8 }, {
    fd: 9,
    addr: USER,
    opFlags: 0x4004000,
    ioprio: 8,
  }, FD),
  modern("RECVMSG", "io_sr_msg", { umsg: USER, msg_flags: 0x40, flags: 1 }, {
    fd: 9,
    addr: USER,
    opFlags: 0x40,
    ioprio: 1,
  }, FD),
  modern("RECV", "io_sr_msg", { buf: USER + 10n, len: 54, done_io: 10, msg_flags: 0x100 }, {
    fd: 9,
    addr: USER,
    len: 64,
    opFlags: 0x100,
    ioprio: 0,
  }, FD),
  ...["SEND", "SEND_ZC"].map((name) =>
    modern(name, "io_sr_msg", { buf: USER + 10n, len: 54, done_io: 10, flags: 4 }, {
      fd: 9,
      addr: USER,
      len: 64,
      opFlags: 0,
      ioprio: 4,
      bufIndex: 3,
    }, { kiocb: { "cqe.fd": 9, buf_index: 3 } })
  ),
  modern("RECV_ZC", "io_recvzc", { len: 64, msg_flags: 0, flags: 2 }, {
    fd: 9,
    len: 64,
    opFlags: 0,
    ioprio: 2,
  }, FD),
  modern("TIMEOUT", "io_timeout", { off: 3, repeats: 3 }, { off: 3n }),
  modern("LINK_TIMEOUT", "io_timeout", {}, { off: 0n }),
  modern("TIMEOUT_REMOVE", "io_timeout_rem", { addr: -1, "ts.tv_sec": 9 }, {
    addr: 0xffff_ffff_ffff_ffffn,
    opFlags: 0,
  }),
  modern("ACCEPT", "io_accept", {
    addr: USER,
    addr_len: USER + 16n,
    flags: 0o2000000,
    iou_flags: 3,
    file_slot: -1,
  }, {
    fd: 9,
    addr: USER,
    off: USER + 16n,
    opFlags: 0o2000000,
    ioprio: 3,
    fileIndex: 0xffffffff,
  }, FD),
  // What its flags do not ask for is of the request before.
  modern("ASYNC_CANCEL", "io_cancel", { addr: 5, fd: 77, opcode: 78 }, { addr: 5n, opFlags: 0 }),
  modern("ASYNC_CANCEL", "io_cancel", { flags: 0x22, fd: 77, opcode: 22 }, {
    addr: 0n,
    opFlags: 0x22,
    fd: 77,
    len: 22,
  }),
  modern(
    "CONNECT",
    "io_connect",
    { addr: USER, addr_len: 16 },
    { fd: 9, addr: USER, off: 16n },
    FD,
  ),
  modern("BIND", "io_bind", { addr_len: 16 }, { fd: 9, off: 16n }, FD),
  modern("LISTEN", "io_listen", { backlog: -1 }, { fd: 9, len: 0xffffffff }, FD),
  modern("CLOSE", "io_close", { fd: 4 }, { fd: 4, fileIndex: 0 }),
  modern("CLOSE", "io_close", { file_slot: 3 }, { fd: 0, fileIndex: 3 }),
  modern("FILES_UPDATE", "io_rsrc_update", { arg: USER, nr_args: 2, offset: -1 }, {
    addr: USER,
    len: 2,
    off: 0xffffffffn,
  }),
  modern("FADVISE", "io_fadvise", { offset: 1, len: 0x1_0000_0002n, advice: 4 }, {
    fd: 9,
    off: 1n,
    addr: 0x1_0000_0002n,
    len: 2,
    opFlags: 4,
  }, FD),
  modern("MADVISE", "io_madvise", { addr: USER, len: 4096, advice: 4 }, {
    addr: USER,
    off: 4096n,
    len: 4096,
    opFlags: 4,
  }),
  modern("EPOLL_CTL", "io_epoll", { epfd: 5, op: 2, fd: 6, "event.events": 1 }, {
    fd: 5,
    len: 2,
    off: 6n,
  }),
  modern("SPLICE", "io_splice", {
    off_out: -1,
    off_in: 512,
    len: 100,
    splice_fd_in: 6,
    flags: 0x80000000n,
  }, {
    fd: 9,
    off: 0xffff_ffff_ffff_ffffn,
    addr: 512n,
    len: 100,
    fileIndex: 6,
    opFlags: 0x80000000,
  }, FD),
  modern("TEE", "io_splice", { off_out: 99, off_in: 99, len: 100, splice_fd_in: 6 }, {
    fd: 9,
    len: 100,
    fileIndex: 6,
    opFlags: 0,
  }, FD),
  modern("PROVIDE_BUFFERS", "io_provide_buf", { addr: USER, len: 64, bgid: 7, nbufs: 4, bid: 1 }, {
    fd: 4,
    addr: USER,
    len: 64,
    bufIndex: 7,
    off: 1n,
  }),
  modern("REMOVE_BUFFERS", "io_provide_buf", { bgid: 7, nbufs: 4 }, { fd: 4, bufIndex: 7 }),
  modern("SHUTDOWN", "io_shutdown", { how: 2 }, { fd: 9, len: 2 }, FD),
  modern("MSG_RING", "io_msg", { user_data: -1, len: 5, cmd: 1, src_fd: 2, dst_fd: 3, flags: 2 }, {
    fd: 9,
    off: 0xffff_ffff_ffff_ffffn,
    len: 5,
    addr: 1n,
    addr3: 2n,
    fileIndex: 3,
    opFlags: 2,
  }, FD),
  modern("SOCKET", "io_socket", { domain: 2, type: 1, protocol: 6, file_slot: 1 }, {
    fd: 2,
    off: 1n,
    len: 6,
    fileIndex: 1,
  }),
  ...["URING_CMD", "URING_CMD128"].map((name) =>
    modern(name, "io_uring_cmd", { cmd_op: 0x1234, flags: 0x80000001n, sqe: USER }, {
      fd: 9,
      off: 0x1234n,
      opFlags: 0x80000001,
      bufIndex: 2,
    }, { kiocb: { "cqe.fd": 9, buf_index: 2 } })
  ),
  modern("WAITID", "io_waitid", { which: 1, upid: 42, options: 4 }, {
    fd: 42,
    len: 1,
    fileIndex: 4,
  }),
  ...["FUTEX_WAIT", "FUTEX_WAKE"].map((name) =>
    modern(
      name,
      "io_futex",
      { uaddr: USER, futex_val: 5, futex_mask: 0xffffffff, futex_flags: 2 },
      {
        addr: USER,
        off: 5n,
        addr3: 0xffffffffn,
        fd: 0x82,
      },
    )
  ),
  modern("FUTEX_WAIT", "io_futex", { futex_flags: 0x292 }, {
    addr: 0n,
    off: 0n,
    addr3: 0n,
    fd: 0xe,
  }),
  modern("FUTEX_WAITV", "io_futex", { uaddr: USER, futex_nr: 2, futex_val: 9 }, {
    addr: USER,
    len: 2,
  }),
  modern("FIXED_FD_INSTALL", "io_fixed_install", { o_flags: 0o2000000 }, {
    fd: 9,
    opFlags: 0,
  }, { ...FD, flags: 1 }),
  modern("FIXED_FD_INSTALL", "io_fixed_install", {}, { fd: 9, opFlags: 1 }, { ...FD, flags: 1 }),
  modern("FTRUNCATE", "io_ftrunc", { len: 4096 }, { fd: 9, off: 4096n }, FD),
  modern("EPOLL_WAIT", "io_epoll_wait", { maxevents: 8 }, { fd: 9, len: 8 }, FD),
  modern("PIPE", "io_pipe", { fds: USER, flags: 0o4000, file_slot: 1 }, {
    opFlags: 0o4000,
    fileIndex: 1,
  }),
];

/** Requests with copies of what their SQE points to. */
const COPIES: readonly Case[] = (["7.1", "6.18", "6.1", "5.10"] as const).flatMap((kernel) => {
  const owns = ["NEED_CLEANUP"];
  const delayed = kernel === "7.1";
  const filename = delayed ? "filename.__incomplete_filename" : "filename";
  const how = { "how.flags": 0o100101, "how.mode": 0o600, "how.resolve": 8 };
  const howBytes = hex(words64(0o100101n, 0o600n, 8n));
  const slot = kernel === "5.10" ? {} : { fileIndex: 0 };
  const cases: Case[] = [
    {
      name: "OPENAT",
      kernel,
      request: (m) => ({
        set: owns,
        command: ["io_open", { dfd: -100, [filename]: m.filename("/etc/shadow"), ...how }],
      }),
      slots: { fd: -100, opFlags: 0o100101, len: 0o600, ...slot },
      known: { path: "/etc/shadow", open_how: howBytes },
    },
    {
      name: "OPENAT2",
      kernel,
      request: (m) => ({
        set: owns,
        command: ["io_open", { dfd: 3, [filename]: m.filename(""), ...how }],
      }),
      slots: { fd: 3, ...slot },
      known: { path: "", open_how: howBytes },
    },
    {
      name: "UNLINKAT",
      kernel,
      request: (m) => ({
        set: owns,
        command: ["io_unlink", { dfd: -100, [filename]: m.filename("/tmp/a"), flags: 0x200 }],
      }),
      slots: { fd: -100, opFlags: 0x200 },
      known: { path: "/tmp/a" },
    },
    {
      name: "RENAMEAT",
      kernel,
      request: (m) => ({
        set: owns,
        command: ["io_rename", {
          old_dfd: 3,
          new_dfd: -100,
          oldpath: m.filename("old"),
          newpath: m.filename("new"),
          flags: 1,
        }],
      }),
      slots: { fd: 3, len: 0xffffff9c, opFlags: 1 },
      known: { old_path: "old", new_path: "new" },
    },
    {
      name: "TIMEOUT",
      kernel,
      request: (m) => ({
        command: ["io_timeout", { off: 3 }],
        data: m.put(
          "io_timeout_data",
          delayed
            ? { time: 7_000_000_005n, flags: 4, mode: 1 }
            : kernel === "5.10"
            ? { "ts.tv_sec": 7, "ts.tv_nsec": 5, mode: 0 }
            : { "ts.tv_sec": 7, "ts.tv_nsec": 5, flags: 4, mode: 1 },
        ),
      }),
      slots: { off: 3n, opFlags: kernel === "5.10" ? 1 : 4 },
      known: { timespec: hex(words64(7n, 5n)) },
    },
    {
      name: "EPOLL_CTL",
      kernel,
      request: () => ({
        command: ["io_epoll", {
          epfd: 5,
          op: 1,
          fd: 6,
          "event.events": 0x80000001n,
          "event.data": u64(0x1122n),
        }],
      }),
      slots: { fd: 5, len: 1, off: 6n },
      known: { epoll_event: "010000802211000000000000" },
    },
    {
      name: "SENDMSG",
      kernel,
      request: (m) => ({
        command: ["io_sr_msg", { umsg: USER }],
        data: message(m, ADDRESS),
      }),
      slots: {
        addr: USER,
        opFlags: 0,
        byteLength: 48n,
        ...(kernel === "5.10" ? {} : { fd: 0, ioprio: 0 }),
      },
      known: { sockaddr: hex(ADDRESS) },
    },
    {
      name: "SENDMSG",
      kernel,
      request: (m) => ({
        command: ["io_sr_msg", { umsg: USER }],
        data: message(m),
      }),
      slots: {
        addr: USER,
        opFlags: 0,
        byteLength: 48n,
        ...(kernel === "5.10" ? {} : { fd: 0, ioprio: 0 }),
      },
      known: { sockaddr: "" },
    },
    {
      name: "CONNECT",
      kernel,
      request: (m) => ({
        command: ["io_connect", { addr: USER, addr_len: 16 }],
        data: m.put("sockaddr_storage", { bytes: ADDRESS }),
      }),
      slots: { addr: USER, off: 16n, ...(kernel === "5.10" ? {} : { fd: 0 }) },
      known: { sockaddr: hex(ADDRESS) },
    },
  ];
  if (kernel !== "5.10") {
    cases.push(
      ...["SETXATTR", "GETXATTR"].map((name): Case => ({
        name,
        kernel,
        request: (m) => ({
          set: owns,
          command: ["io_xattr", {
            filename: m.filename("/bin/ping"),
            "ctx.kname": m.put("xattr_name", { name: "security.capability" }),
            "ctx.size": 5,
            "ctx.flags": 1,
          }],
        }),
        slots: { len: 5, opFlags: 1 },
        known: { path: "/bin/ping", name: "security.capability" },
      })),
      ...["FSETXATTR", "FGETXATTR"].map((name): Case => ({
        name,
        kernel,
        request: (m) => ({
          set: owns,
          command: ["io_xattr", {
            "ctx.kname": m.put("xattr_name", { name: "user.x" }),
            "ctx.size": 64,
          }],
          kiocb: { "cqe.fd": 9 },
        }),
        slots: { fd: 9, len: 64, opFlags: 0 },
        known: { name: "user.x" },
      })),
      {
        name: "STATX",
        kernel,
        request: (m) => ({
          set: owns,
          command: ["io_statx", {
            dfd: -100,
            filename: m.filename("/usr/bin/pkexec"),
            mask: 3,
            flags: 0x100,
          }],
        }),
        slots: { fd: -100, len: 3, opFlags: 0x100 },
        known: { path: "/usr/bin/pkexec" },
      },
      {
        name: "MKDIRAT",
        kernel,
        request: (m) => ({
          set: owns,
          command: ["io_mkdir", { dfd: -100, filename: m.filename("d"), mode: 0o700 }],
        }),
        slots: { fd: -100, len: 0o700 },
        known: { path: "d" },
      },
      {
        name: "SYMLINKAT",
        kernel,
        request: (m) => ({
          set: owns,
          command: ["io_link", {
            old_dfd: 77,
            new_dfd: -100,
            oldpath: m.filename("/etc/passwd"),
            newpath: m.filename("link"),
            flags: 99,
          }],
        }),
        slots: { fd: -100 },
        known: { old_path: "/etc/passwd", new_path: "link" },
      },
      {
        name: "LINKAT",
        kernel,
        request: (m) => ({
          set: owns,
          command: ["io_link", {
            old_dfd: 4,
            new_dfd: -100,
            oldpath: m.filename("/bin/su"),
            newpath: m.filename("hard"),
            flags: 0x400,
          }],
        }),
        slots: { fd: 4, len: 0xffffff9c, opFlags: 0x400 },
        known: { old_path: "/bin/su", new_path: "hard" },
      },
      {
        name: "TIMEOUT_REMOVE",
        kernel,
        request: () => ({
          command: [
            "io_timeout_rem",
            delayed
              ? { addr: 5, flags: 2, time: 7_000_000_005n }
              : { addr: 5, flags: 2, "ts.tv_sec": 7, "ts.tv_nsec": 5 },
          ],
        }),
        slots: { addr: 5n, opFlags: 2 },
        known: { timespec: hex(words64(7n, 5n)) },
      },
      {
        name: "BIND",
        kernel,
        request: (m) => ({
          command: ["io_bind", { addr_len: 16 }],
          data: m.put("sockaddr_storage", { bytes: ADDRESS }),
        }),
        slots: { fd: 0, off: 16n },
        known: { sockaddr: hex(ADDRESS) },
      },
    );
  }
  return cases;
});

function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** A copied message header of 48 bytes of data, to an address or to nobody. */
function message(machine: RequestMachine, address?: Uint8Array): KernelObject {
  const data = machine.put("io_async_msghdr", { "msg.msg_iter.count": 48 });
  if (address === undefined) return data;
  machine.set(data, "msg.msg_name", data.addressOf("addr"));
  machine.set(data, "msg.msg_namelen", address.length);
  machine.write(data.addressOf("addr"), address);
  return data;
}

/** What older kernels keep elsewhere, or not at all. */
const OLDER: readonly Case[] = [
  {
    name: "STATX",
    kernel: "5.10",
    request: () => ({
      set: ["NEED_CLEANUP"],
      command: ["io_statx", {
        dfd: -100,
        filename: USER,
        mask: 3,
        flags: 0x100,
      }],
    }),
    slots: { fd: -100, len: 3, opFlags: 0x100, addr: USER },
  },
  {
    name: "READ",
    kernel: "5.10",
    request: () => ({ command: ["io_rw", { "kiocb.ki_pos": 5, addr: USER, len: 64 }] }),
    slots: { off: 5n, addr: USER, len: 64 },
  },
  {
    name: "POLL_ADD",
    kernel: "5.10",
    request: () => ({ command: ["io_poll_iocb", { events: 1 }] }),
    slots: { opFlags: 1 },
  },
  {
    name: "POLL_REMOVE",
    kernel: "5.10",
    request: () => ({ command: ["io_poll_iocb", { addr: 5 }] }),
    slots: { addr: 5n },
  },
  {
    name: "CLOSE",
    kernel: "5.10",
    request: () => ({ command: ["io_close", { fd: 4, put_file: USER }] }),
    slots: { fd: 4 },
  },
  {
    name: "TIMEOUT_REMOVE",
    kernel: "5.10",
    request: () => ({ command: ["io_timeout_rem", { addr: 5 }] }),
    slots: { addr: 5n },
  },
  {
    name: "ASYNC_CANCEL",
    kernel: "5.10",
    request: () => ({ command: ["io_cancel", { addr: 5 }] }),
    slots: { addr: 5n },
  },
  {
    name: "FILES_UPDATE",
    kernel: "5.10",
    request: () => ({ command: ["io_files_update", { arg: USER, nr_args: 2, offset: 1 }] }),
    slots: { addr: USER, len: 2, off: 1n },
  },
  {
    name: "FADVISE",
    kernel: "5.10",
    request: () => ({ command: ["io_fadvise", { offset: 1, len: 2, advice: 4 }] }),
    slots: { off: 1n, addr: 2n, len: 2, opFlags: 4 },
  },
  {
    name: "SPLICE",
    kernel: "5.10",
    request: () => ({ command: ["io_splice", { off_out: -1, off_in: -1, len: 5, flags: 1 }] }),
    slots: { off: 2n ** 64n - 1n, addr: 2n ** 64n - 1n, len: 5, opFlags: 1 },
  },
  {
    name: "PROVIDE_BUFFERS",
    kernel: "5.10",
    request: () => ({
      command: ["io_provide_buf", { addr: USER, len: 64, bgid: 7, nbufs: 4, bid: 1 }],
    }),
    slots: { fd: 4, addr: USER, len: 64, bufIndex: 7, off: 1n },
  },
  {
    name: "RECV",
    kernel: "5.10",
    request: () => ({
      flags: 1 << 5,
      set: ["BUFFER_SELECTED"],
      command: ["io_sr_msg", { buf: USER, len: 64, msg_flags: 0, bgid: 7 }],
      kiocb: { buf_index: 99 },
    }),
    slots: { len: 64, opFlags: 0, bufIndex: 7 },
  },
  {
    name: "SEND",
    kernel: "5.10",
    request: () => ({ command: ["io_sr_msg", { buf: USER, len: 64, msg_flags: 0x4000 }] }),
    slots: { addr: USER, len: 64, opFlags: 0x4000 },
    known: { sockaddr: "" },
  },
  // The opcode is not of this kernel: an image can claim it all the same.
  {
    name: "MKDIRAT",
    kernel: "5.10",
    request: () => ({}),
    slots: {},
  },
  {
    name: "ACCEPT",
    kernel: "6.1",
    request: () => ({
      set: ["APOLL_MULTISHOT"],
      command: ["io_accept", { flags: 0o4000, file_slot: 2 }],
    }),
    slots: { fd: 0, addr: 0n, off: 0n, opFlags: 0o4000, fileIndex: 2, ioprio: 1 },
  },
  {
    name: "SEND",
    kernel: "6.1",
    request: () => ({
      command: ["io_sr_msg", { buf: USER, len: 64, addr: USER + 64n, addr_len: 16 }],
    }),
    slots: { fd: 0, addr: USER, len: 64, opFlags: 0, ioprio: 0, off: USER + 64n, fileIndex: 16 },
  },
  {
    name: "SEND",
    kernel: "6.1",
    request: (m) => ({
      command: ["io_sr_msg", { buf: USER, len: 64, addr: USER + 64n, addr_len: 16 }],
      // Only the address in it is good.
      data: m.put("io_async_msghdr", { "addr.bytes": ADDRESS, "msg.msg_name": 1 }),
    }),
    slots: { fd: 0, addr: USER, len: 64, opFlags: 0, ioprio: 0 },
    known: { sockaddr: hex(ADDRESS) },
  },
  {
    name: "SEND",
    kernel: "6.1",
    request: () => ({ command: ["io_sr_msg", { buf: USER, len: 64 }] }),
    slots: { fd: 0, addr: USER, len: 64, opFlags: 0, ioprio: 0 },
    known: { sockaddr: "" },
  },
  {
    name: "SEND_ZC",
    kernel: "6.1",
    // A registered buffer's index is not kept.
    request: () => ({ command: ["io_sr_msg", { buf: USER, len: 64, flags: 4 }] }),
    slots: { fd: 0, addr: USER, len: 64, opFlags: 0, ioprio: 4 },
    known: { sockaddr: "" },
  },
];

Deno.test("readPreparedRequest() fills the slots of every opcode", () => {
  const all = new Set([...MODERN, ...COPIES].map(({ name }) => op(name)));
  for (let opcode = 0; opcode <= 64; opcode++) assert.ok(all.has(opcode), opcodeName(opcode));
  for (const row of MODERN) check(row);
});

Deno.test("readPreparedRequest() takes the kernel's copies, in every layout", () => {
  for (const row of COPIES) check(row);
});

Deno.test("readPreparedRequest() leaves out what an older kernel does not keep", () => {
  for (const row of OLDER) check(row);
});

Deno.test("readPreparedRequest() does not follow a name that is used up or not there", () => {
  const machine = new RequestMachine("6.18");
  const pathOf = (set: string[], filename: bigint | KernelObject) => {
    const command = ["io_unlink", { dfd: -100, filename }] as const;
    return shown(readPreparedRequest(machine.request({ opcode: 36, set, command })).known);
  };
  const name = machine.filename("/tmp/a");
  assert.deepEqual(pathOf([], name), {});
  assert.deepEqual(pathOf(["NEED_CLEANUP"], 0n), {});
  assert.deepEqual(pathOf(["NEED_CLEANUP"], name), { path: "/tmp/a" });
  // ERR_PTR(-ENOENT), and memory that is not there.
  assert.deepEqual(pathOf(["NEED_CLEANUP"], -2n), { path: "(unmapped)" });
  const lost = machine.put("filename", { name: 0xffffc90000000000n });
  assert.deepEqual(pathOf(["NEED_CLEANUP"], lost), { path: "(unmapped)" });
});

Deno.test("readPreparedRequest() takes no name that memory cuts short", () => {
  const machine = new RequestMachine("6.18");
  const bytes = new Uint8Array(4096).fill(0x61);
  const page = machine.allocate(4096, 4096);
  machine.write(page, bytes);
  const next = machine.allocate(4096, 4096);
  machine.write(next, bytes);
  const known = (name: bigint) => {
    const filename = machine.put("filename", { name });
    const command = ["io_unlink", { filename }] as const;
    const kiocb = machine.request({ opcode: 36, set: ["NEED_CLEANUP"], command });
    return shown(readPreparedRequest(kiocb).known);
  };
  assert.deepEqual(known(page), { path: "(invalid)" });
  machine.memory.remove(machine.program.memory.translate(next));
  assert.deepEqual(known(page + 100n), { path: "(not_in_image)" });
});

Deno.test("readPreparedRequest() finds a socket address by the size of what lies around it", () => {
  const structs = {};
  const found = (size: number | undefined, type: string, kernel: KernelName = "6.18") => {
    const machine = new RequestMachine(kernel, {
      structs,
      ...(size === undefined ? { table: false } : { async: { 16: size } }),
    });
    const path = machine.program.has(type, "bytes") ? "bytes" : "addr.bytes";
    const data = machine.put(type, { [path]: ADDRESS });
    const command = ["io_connect", { addr: USER, addr_len: 16 }] as const;
    return shown(readPreparedRequest(machine.request({ opcode: 16, command, data })).known);
  };
  const whole = new RequestMachine("6.18").types.struct("io_async_msghdr")!.size;
  const address = { sockaddr: hex(ADDRESS) };
  assert.deepEqual(found(128, "sockaddr_storage"), address);
  assert.deepEqual(found(whole, "io_async_msghdr"), address);
  assert.deepEqual(found(undefined, "sockaddr_storage", "6.1"), address);
  // Nothing tells them apart, or it is something else.
  assert.deepEqual(found(undefined, "sockaddr_storage"), {});
  assert.deepEqual(found(64, "sockaddr_storage"), {});
});

Deno.test("readPreparedRequest() trusts data beside a request only where it is said to be there", () => {
  const machine = new RequestMachine("6.18", { async: { 16: 128 } });
  const data = machine.put("sockaddr_storage", { bytes: ADDRESS });
  const command = ["io_connect", { addr: USER, addr_len: 16 }] as const;
  const stale = machine.request({ opcode: 16, command, kiocb: { async_data: data } });
  assert.deepEqual(readPreparedRequest(stale).known, {});
  for (const length of [-1, 0, 129]) {
    const odd = ["io_connect", { addr: USER, addr_len: length }] as const;
    const kiocb = machine.request({ opcode: 16, command: odd, data });
    assert.deepEqual(readPreparedRequest(kiocb).known, {}, String(length));
  }
});

Deno.test("readPreparedRequest() gives an fd only where nothing can have overwritten it", () => {
  const machine = new RequestMachine("6.18");
  const [first, second] = [machine.put("file"), machine.put("file")];
  const task = machine.task(first, second);
  const tctx = machine.put("io_uring_task", { task });
  const fd = (values: Values, set: string[] = [], taskWork = false) => {
    const kiocb = machine.request({ opcode: 27, set, kiocb: { tctx, ...values } });
    return readPreparedRequest(kiocb, { taskWork }).fields.fd;
  };
  machine.define("io_poll_task_func", 0xffffffff81000100n);
  assert.equal(fd({ "cqe.fd": 9 }), 9);
  assert.equal(fd({ "cqe.fd": 0 }), 0);
  // Completed or failed.
  assert.equal(fd({ "cqe.fd": 9, "cqe.res": -125 }), undefined);
  assert.equal(fd({ "cqe.fd": 9 }, ["FAIL"]), undefined);
  assert.equal(fd({ "cqe.fd": 9 }, [], true), undefined);
  const woken = { "io_task_work.func": 0xffffffff81000100n };
  assert.equal(fd({ "cqe.fd": 9, ...woken }, [], true), 9);
  // Woken by its poll.
  assert.equal(fd({ "cqe.fd": 0 }, ["POLLED"]), undefined);
  const twice = machine.put("file");
  assert.equal(fd({ "cqe.fd": 0, file: second }, ["POLLED"]), 1);
  const both = machine.put("io_uring_task", { task: machine.task(first, twice, twice) });
  assert.equal(fd({ "cqe.fd": 0, file: twice, tctx: both }, ["POLLED"]), undefined);
  assert.equal(fd({ "cqe.fd": 0, file: first }, ["POLLED"]), 0);
  assert.equal(fd({ "cqe.fd": 1, file: first }, ["POLLED"]), 1);
  // An opcode that works on no file has no fd there.
  const close = machine.request({ opcode: 19, kiocb: { "cqe.fd": 9 } });
  assert.equal(readPreparedRequest(close).fields.fd, 0);
});

Deno.test("readPreparedRequest() finds the kept fd in the ring's table for a fixed file", () => {
  const machine = new RequestMachine("6.18");
  const file = machine.put("file");
  const node = machine.put("io_rsrc_node", { file_ptr: file.address | 3n });
  const nodes = machine.putBytes(words64(node.address));
  const ctx = machine.put("io_ring_ctx", {
    "file_table.data.nr": 1,
    "file_table.data.nodes": nodes,
  });
  const set = ["POLLED", "FIXED_FILE"];
  const fd = (file: bigint | KernelObject) =>
    readPreparedRequest(machine.request({ opcode: 27, set, kiocb: { ctx, file } })).fields.fd;
  assert.equal(fd(file), 0);
  assert.equal(fd(machine.put("file")), undefined);
});

Deno.test("readPreparedRequest() tells asked flags from the kernel's own by the SQE", () => {
  const machine = new RequestMachine("6.18");
  const flags = (flags: number, asked?: number, opcode = 0) => {
    const sqe = asked === undefined ? undefined : { opcode, flags: asked };
    return readPreparedRequest(machine.request({ opcode: 0, flags }), { sqe }).fields.flags;
  };
  assert.equal(flags(0x12), 0x12);
  assert.equal(flags(0x2010), 0x10);
  assert.equal(flags(0x12, 0x02), 0x02);
  assert.equal(flags(0x12, 0), 0);
  // Another request's SQE, or one that was changed since.
  assert.equal(flags(0x12, 0x02, 1), 0x12);
  assert.equal(flags(0x12, 0x06), 0x12);
  assert.equal(flags(0x14, 0x10), 0x14);
  assert.equal(flags(0x40), 0x40);
  const old = new RequestMachine("5.10").request({ opcode: 0, set: ["LINK_HEAD", "LINK"] });
  assert.equal(readPreparedRequest(old).fields.flags, 4);
});

Deno.test("readPreparedRequest() takes off the events that the kernel adds to a poll", () => {
  const machine = new RequestMachine("6.18");
  const ALWAYS = 0x2038;
  const poll = (events: bigint, asked?: number) => {
    const kiocb = machine.request({ opcode: 6, command: ["io_poll", { events }] });
    const sqe = asked === undefined ? undefined : { opcode: 6, opFlags: asked };
    const { opFlags, len } = readPreparedRequest(kiocb, { sqe }).fields;
    return [opFlags, len];
  };
  const once = 0xc0000000n;
  assert.deepEqual(poll(once | 0x2001n), [0x2001, 0]);
  assert.deepEqual(poll(once | BigInt(ALWAYS) | 1n), [1, 0]);
  assert.deepEqual(poll(once | BigInt(ALWAYS) | 1n, 0x2001), [0x2001, 0]);
  assert.deepEqual(poll(once | BigInt(ALWAYS) | 1n, 0x2004), [1, 0]);
  assert.deepEqual(poll(0x80000004n), [4, 1]);
  assert.deepEqual(poll(0x40000004n), [4, 8]);

  const update = (values: Values) =>
    slotsOf(
      readPreparedRequest(machine.request({ opcode: 7, command: ["io_poll_update", values] }))
        .fields,
    );
  // Events and data of an update that was not asked for are of the request before.
  const stale = { old_user_data: 5, new_user_data: 6, events: 1 };
  assert.deepEqual(update(stale), { addr: 5n, len: 0 });
  assert.deepEqual(update({ ...stale, update_events: 1 }), { addr: 5n, opFlags: 1, len: 3 });
  assert.deepEqual(update({ ...stale, update_user_data: 1 }), { addr: 5n, off: 6n, len: 4 });
});

Deno.test("readPreparedRequest() gives the offset and the length asked for, not what is left", () => {
  const machine = new RequestMachine("6.18");
  const CURRENT = 2n ** 64n - 1n;
  const read = (pos: number, more: Partial<FakeRequest> = {}, off?: bigint) => {
    const command = ["io_rw", { "kiocb.ki_pos": pos, len: 2 }] as const;
    const kiocb = machine.request({ opcode: 1, command, ...more });
    const sqe = off === undefined ? undefined : { opcode: 1, off };
    return readPreparedRequest(kiocb, { sqe }).fields;
  };
  assert.equal(read(100).off, 100n);
  assert.equal(read(100, { set: ["CUR_POS"] }).off, CURRENT);
  const data = machine.put("io_async_rw", { bytes_done: 30, "iter.count": 70 });
  assert.equal(read(100, { data }).off, 70n);
  assert.equal(read(100, { data }).byteLength, 100n);
  assert.equal(read(10, { data }).off, undefined);
  const stream = { file: machine.put("file", { f_mode: 1 << 21 }) };
  assert.equal(read(0, { kiocb: stream }).off, CURRENT);
  assert.equal(read(0, { kiocb: stream }, 0n).off, 0n);
  assert.equal(read(0, { kiocb: stream }, CURRENT).off, CURRENT);
  assert.equal(read(7, { kiocb: stream }).off, 7n);

  const old = new RequestMachine("6.1");
  const split = old.request({
    opcode: 1,
    command: ["io_rw", { len: 2 }],
    data: old.put("io_async_rw", { bytes_done: 0, "s.iter.count": 70 }),
  });
  assert.equal(readPreparedRequest(split).fields.byteLength, 70n);
});

Deno.test("readPreparedRequest() keeps to the buffer group while buffers come and go", () => {
  const machine = new RequestMachine("6.18");
  const fields = (opcode: number, more: Partial<FakeRequest>) =>
    slotsOf(
      readPreparedRequest(
        machine.request({ opcode, flags: 1 << 5, kiocb: { buf_index: 7 }, ...more }),
      ).fields,
    );
  // Length and address give way to the buffer's.
  const read = ["io_rw", { addr: USER, len: 64 }] as const;
  assert.deepEqual(fields(22, { command: read }), { fd: 0, off: 0n, opFlags: 0, bufIndex: 7 });
  const taken = ["BUFFER_SELECTED", "BUFFER_RING"];
  assert.deepEqual(fields(22, { command: read, set: taken }), { fd: 0, off: 0n, opFlags: 0 });
  const data = machine.put("io_async_rw", { buf_group: 8 });
  assert.equal(fields(22, { command: read, set: taken, data }).bufIndex, 8);
  const receive = (flags: number) => ["io_sr_msg", { buf: USER, flags, buf_group: 9 }] as const;
  assert.equal(fields(27, { command: receive(0), set: taken }).bufIndex, undefined);
  assert.equal(fields(27, { command: receive(0) }).bufIndex, 7);
  assert.equal(fields(27, { command: receive(2), set: taken }).bufIndex, 9);
  // A multishot message keeps its buffer in the header's place.
  assert.equal(fields(10, { command: receive(2) }).addr, undefined);
  assert.equal(fields(10, { command: receive(0) }).addr, USER);
  assert.equal(fields(10, { command: receive(0), data: message(machine) }).byteLength, undefined);
});

Deno.test("readPreparedRequest() adds up the bytes of a message", () => {
  const machine = new RequestMachine("6.18");
  const length = (opcode: number, flags: number) => {
    const command = ["io_sr_msg", { done_io: 16, flags }] as const;
    const kiocb = machine.request({ opcode, command, data: message(machine) });
    return readPreparedRequest(kiocb).fields.byteLength;
  };
  assert.equal(length(9, 0), 64n);
  assert.equal(length(10, 0), 64n);
  assert.equal(length(48, 4), undefined);
  assert.equal(length(26, 0), undefined);
  assert.equal(length(26, 32), 64n);
});

Deno.test("readPreparedRequest() follows no message name but the kernel's own", () => {
  const machine = new RequestMachine("6.18");
  const data = message(machine, ADDRESS);
  machine.set(data, "msg.msg_name", USER);
  const kiocb = machine.request({ opcode: 26, command: ["io_sr_msg", {}], data });
  assert.deepEqual(readPreparedRequest(kiocb).known, {});
});

Deno.test("readPreparedRequest() takes the mark of a 32-bit process off a message's flags", () => {
  const machine = new RequestMachine("6.18");
  const fields = (compat: number) => {
    const ctx = machine.put("io_ring_ctx");
    machine.write(ctx.addressOf("compat"), Uint8Array.of(compat));
    const command = ["io_sr_msg", { msg_flags: 0x80000040n }] as const;
    return readPreparedRequest(machine.request({ opcode: 10, command, kiocb: { ctx } })).fields;
  };
  assert.equal(fields(1).opFlags, 0x40);
  assert.equal(fields(1).compat, true);
  assert.equal(fields(0).opFlags, 0x80000040);
  assert.equal(fields(0).compat, undefined);
});

Deno.test("readPreparedRequest() reads a command's SQE only from the kernel's own copy", () => {
  const machine = new RequestMachine("6.18", { async: { 46: 144 } });
  const sqe = new Uint8Array(64);
  const view = new DataView(sqe.buffer);
  sqe[0] = 46;
  view.setBigUint64(16, 0x0000_0009_0000_0001n, true);
  view.setUint32(44, 4, true);
  const command = (at: bigint, data?: KernelObject) => {
    const values = ["io_uring_cmd", { cmd_op: 2, sqe: at }] as const;
    const kiocb = machine.request({
      opcode: 46,
      command: values,
      ...(data === undefined ? {} : { data }),
    });
    const { addr, fileIndex } = readPreparedRequest(kiocb).fields;
    return [addr, fileIndex];
  };
  const bytes = new Uint8Array(144);
  bytes.set(sqe, 16);
  const at = machine.putBytes(bytes);
  const data = machine.program.object("hrtimer", at);
  const ring = machine.putBytes(sqe);
  assert.deepEqual(command(at + 16n, data), [0x0000_0009_0000_0001n, 4]);
  assert.deepEqual(command(ring, data), [undefined, undefined]);
  assert.deepEqual(command(at + 16n), [undefined, undefined]);
  assert.deepEqual(command(at + 144n - 63n, data), [undefined, undefined]);
  assert.deepEqual(command(at, data), [undefined, undefined]);
});

Deno.test("readPreparedRequest() puts a time that the SQE itself held into its slot", () => {
  const machine = new RequestMachine("7.1");
  const data = machine.put("io_timeout_data", { time: 1_500_000_000, flags: 0x80 });
  const armed = machine.request({ opcode: 11, command: ["io_timeout", {}], data });
  const values = { addr: 5, time: 1_500_000_000, flags: 0x82 };
  const update = machine.request({ opcode: 12, command: ["io_timeout_rem", values] });
  const info = (kiocb: KernelObject) => {
    const { fields, known } = readPreparedRequest(kiocb);
    assert.deepEqual(known, {});
    return describeRequest(fields, NO_MEMORY, { known }).info;
  };
  assert.deepEqual(info(armed), {
    sec: 1,
    nsec: 500_000_000,
    count: 0,
    flags: "IORING_TIMEOUT_IMMEDIATE_ARG",
  });
  assert.deepEqual(info(update), {
    target_user_data: "0x5",
    sec: 1,
    nsec: 500_000_000,
    flags: "IORING_TIMEOUT_UPDATE | IORING_TIMEOUT_IMMEDIATE_ARG",
  });
});

Deno.test("readPreparedRequest() says nothing of an opcode that has no layout", () => {
  const machine = new RequestMachine("6.18");
  const { fields, known } = readPreparedRequest(machine.request({ opcode: 200, flags: 1 }));
  assert.deepEqual(fields, { opcode: 200, flags: 1 });
  assert.deepEqual(known, {});
});

Deno.test("readPreparedRequest() copes with any bytes", () => {
  const next = pseudoRandom(7);
  for (const kernel of ["7.1", "6.18", "6.1", "5.10"] as const) {
    const machine = new RequestMachine(kernel, { async: { 16: 128, 46: 144, 56: 128 } });
    const size = machine.program.struct("io_kiocb").size;
    const kiocb = machine.put("io_kiocb");
    for (let round = 0; round < 400; round++) {
      machine.write(kiocb.address, randomBytes(next, size));
      const { fields, known } = readPreparedRequest(kiocb);
      describeRequest(fields, NO_MEMORY, { known });
      readCompletedRequest(kiocb);
    }
    assert.throws(
      () => readPreparedRequest(machine.program.object("io_kiocb", 0xffffc90000000000n)),
      isUnreadable,
    );
  }
});

Deno.test("readCompletedRequest() gives what a finished request has left, and no pointer", () => {
  const machine = new RequestMachine("6.18", { async: { 16: 128 } });
  const done = (request: FakeRequest) =>
    readCompletedRequest(machine.request({
      ...request,
      kiocb: { "cqe.user_data": 0xa1, "cqe.res": -13, "cqe.fd": 9, ...request.kiocb },
    }));
  const opened = done({
    opcode: 18,
    flags: 0x44,
    command: ["io_open", {
      dfd: -100,
      filename: machine.filename("/etc/shadow"),
      "how.flags": 0o100002,
    }],
  });
  assert.deepEqual(opened, {
    opcode: 18,
    userData: 0xa1n,
    result: -13,
    // The bit of IOSQE_CQE_SKIP_SUCCESS says that the CQE is there.
    flags: 4,
    fields: { opcode: 18, flags: 4, fd: -100, fileIndex: 0, opFlags: 0o100002, len: 0 },
    known: {
      open_how: { ok: true, bytes: words64(0o100002n, 0n, 0n) },
    },
  });
  const slots = (request: FakeRequest) => slotsOf(done(request).fields);
  const data = machine.put("sockaddr_storage", { bytes: ADDRESS });
  assert.deepEqual(
    slots({ opcode: 16, command: ["io_connect", { addr: USER, addr_len: 16 }], data }),
    { off: 16n },
  );
  // The position has moved.
  assert.deepEqual(
    slots({ opcode: 22, command: ["io_rw", { "kiocb.ki_pos": 64, addr: USER, len: 64 }] }),
    { len: 64, opFlags: 0 },
  );
  assert.deepEqual(
    slots({ opcode: 26, command: ["io_sr_msg", { buf: USER, len: 54, done_io: 10 }] }),
    { len: 64, opFlags: 0, ioprio: 0 },
  );
  assert.deepEqual(slots({ opcode: 17, command: ["io_sync", { off: 1, len: 2, mode: 3 }] }), {
    off: 1n,
    addr: 2n,
    len: 3,
  });
  assert.deepEqual(slots({ opcode: 30, command: ["io_splice", { off_in: 5, len: 2 }] }), {
    len: 2,
    opFlags: 0,
    fileIndex: 0,
  });
});

Deno.test("readCompletedRequest() takes nothing from a command that completion overwrites", () => {
  const machine = new RequestMachine("5.10");
  const kiocb = machine.request({
    opcode: 18,
    set: ["COMPLETE_INLINE"],
    command: ["io_open", { dfd: -100 }],
    kiocb: { user_data: 5, result: 0xfffffff3 },
  });
  assert.deepEqual(readCompletedRequest(kiocb), {
    opcode: 18,
    userData: 5n,
    result: -13,
    flags: 0,
    fields: { opcode: 18, flags: 0 },
    known: {},
  });
});

Deno.test("opcodeOf(), userDataOf(), resultOfCompleted() and taskOf() know where they have been", () => {
  const modern = new RequestMachine("6.18");
  const task = modern.task();
  const tctx = modern.put("io_uring_task", { task });
  const values = { "cqe.user_data": -1, "cqe.res": -2, tctx };
  const kiocb = modern.request({ opcode: 7, kiocb: values });
  assert.equal(opcodeOf(kiocb), 7);
  assert.equal(userDataOf(kiocb), 2n ** 64n - 1n);
  assert.equal(resultOfCompleted(kiocb), -2);
  assert.equal(taskOf(kiocb)?.address, task.address);
  assert.equal(taskOf(modern.request({ opcode: 7 })), undefined);

  const old = new RequestMachine("5.10");
  const oldTask = old.task();
  const values5 = { user_data: 5, result: 3, task: oldTask };
  assert.equal(resultOfCompleted(old.request({ opcode: 7, kiocb: values5 })), undefined);
  const older = old.request({ opcode: 7, set: ["COMPLETE_INLINE"], kiocb: values5 });
  assert.equal(userDataOf(older), 5n);
  assert.equal(resultOfCompleted(older), 3);
  assert.equal(taskOf(older)?.address, oldTask.address);
});
