import assert from "node:assert/strict";
import { type KnownArguments, NO_MEMORY } from "../../lib/uapi/argument.ts";
import { describeRequest } from "../../lib/uapi/op_info.ts";
import { opcodeName, opcodeNumber } from "../../lib/uapi/opcodes.ts";
import type { OpInfo } from "../../lib/uapi/request_description.ts";
import type { RequestFields } from "../../lib/uapi/request_fields.ts";
import { readSqe, type Sqe } from "../../lib/uapi/sqe.ts";
import { FakeMemory } from "./fake_memory.ts";
import {
  bytesOf,
  pseudoRandom,
  randomBytes,
  sockaddrIn,
  sockaddrIn6,
  sockaddrUn,
  words32,
  words64,
} from "./layout.ts";

const PATH = 0x1000n;
const OTHER_PATH = 0x2000n;
const ADDRESS = 0x3000n;
const STRUCT = 0x4000n;
const NAME = 0x5000n;
const FDCWD = 0xffffff9c;

/** An SQE as liburing leaves it: what is not set is 0. */
function sqe(name: string, slots: Partial<Sqe> = {}): Sqe {
  const opcode = opcodeNumber(`IORING_OP_${name}`);
  assert.ok(opcode !== undefined, name);
  return {
    opcode,
    flags: 0,
    ioprio: 0,
    fd: 0,
    off: 0n,
    addr: 0n,
    len: 0,
    opFlags: 0,
    userData: 0n,
    bufIndex: 0,
    personality: 0,
    fileIndex: 0,
    addr3: 0n,
    ...slots,
  };
}

function memory(): FakeMemory {
  return new FakeMemory().put(PATH, "/etc/passwd").put(OTHER_PATH, "/tmp/x").put(
    NAME,
    "security.capability",
  );
}

/** Compares by text, so that the order of the keys counts. */
function assertInfo(got: OpInfo, want: Record<string, unknown> | undefined, message: string): void {
  assert.equal(JSON.stringify(got.info), JSON.stringify(want), message);
}

/** Every opcode once, as a program would submit it. */
const CASES: [Sqe, Record<string, unknown> | undefined][] = [
  [sqe("NOP"), undefined],
  [sqe("READV", { fd: 3, off: 100n, addr: STRUCT, len: 2 }), {
    fd: 3,
    offset: 100,
    iovecs: 2,
    len: 0x3010,
  }],
  [sqe("WRITEV", { fd: 3, addr: STRUCT, len: 1, opFlags: 0x12 }), {
    fd: 3,
    offset: 0,
    iovecs: 1,
    len: 16,
    flags: "RWF_DSYNC | RWF_APPEND",
  }],
  [sqe("FSYNC", { fd: 3, opFlags: 1 }), { offset: 0, len: 0, flags: "IORING_FSYNC_DATASYNC" }],
  [sqe("READ_FIXED", { fd: 3, off: 1n, len: 8, bufIndex: 2 }), {
    fd: 3,
    offset: 1,
    len: 8,
    buf_index: 2,
  }],
  [sqe("WRITE_FIXED", { fd: 3, len: 8 }), { fd: 3, offset: 0, len: 8, buf_index: 0 }],
  [sqe("POLL_ADD", { fd: 3, opFlags: 0x2001, len: 1 }), {
    events: "POLLIN | POLLRDHUP",
    flags: "IORING_POLL_ADD_MULTI",
  }],
  [sqe("POLL_REMOVE", { addr: 0xabn, off: 0xcdn, len: 6, opFlags: 4 }), {
    target_user_data: "0xab",
    events: "POLLOUT",
    new_user_data: "0xcd",
    flags: "IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA",
  }],
  [sqe("SYNC_FILE_RANGE", { off: 4096n, len: 10, opFlags: 7 }), {
    offset: 4096,
    len: 10,
    flags: "SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER",
  }],
  [sqe("SENDMSG", { fd: 5, addr: 0x6000n, len: 1 }), {
    addr: "10.1.2.3",
    port: 53,
    family: "AF_INET",
    fd: 5,
    iovecs: 2,
    len: 0x3010,
  }],
  [sqe("RECVMSG", { fd: 5, addr: 0x6000n, len: 1, ioprio: 2, flags: 0x20, bufIndex: 7 }), {
    fd: 5,
    iovecs: 2,
    len: 0x3010,
    uring_flags: "IORING_RECV_MULTISHOT",
    buf_group: 7,
  }],
  [sqe("TIMEOUT", { addr: 0x7000n, len: 1, off: 3n, opFlags: 4 }), {
    sec: 5,
    nsec: 500000000,
    count: 3,
    flags: "IORING_TIMEOUT_BOOTTIME",
  }],
  [sqe("TIMEOUT_REMOVE", { addr: 0xffffffffffffffffn }), {
    target_user_data: "0xffffffffffffffff",
  }],
  [sqe("ACCEPT", { fd: 4, addr: ADDRESS, off: 0x7100n, opFlags: 0o2004000, ioprio: 1 }), {
    flags: "SOCK_NONBLOCK | SOCK_CLOEXEC",
    uring_flags: "IORING_ACCEPT_MULTISHOT",
  }],
  [sqe("ASYNC_CANCEL", { addr: 0x77n }), { target_user_data: "0x77" }],
  [sqe("LINK_TIMEOUT", { addr: 0x7000n, len: 1 }), { sec: 5, nsec: 500000000 }],
  [sqe("CONNECT", { fd: 4, addr: ADDRESS, off: 16n }), {
    addr: "10.1.2.3",
    port: 53,
    family: "AF_INET",
  }],
  [sqe("FALLOCATE", { fd: 3, off: 0n, addr: 1n << 40n, len: 3 }), {
    offset: 0,
    len: 1099511627776,
    mode: "FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE",
  }],
  [sqe("OPENAT", { fd: -100, addr: PATH, len: 0o644, opFlags: 0o1101 }), {
    path: "/etc/passwd",
    access_flags: "O_WRONLY",
    creation_flags: "O_CREAT | O_TRUNC | O_LARGEFILE",
    dfd: "AT_FDCWD",
    mode: "0644",
  }],
  [sqe("CLOSE", { fd: 9 }), { fd: 9 }],
  [sqe("FILES_UPDATE", { off: 2n, len: 4, addr: STRUCT }), { offset: 2, count: 4 }],
  [sqe("STATX", { fd: -100, addr: PATH, len: 0xfff, opFlags: 0x100 }), {
    path: "/etc/passwd",
    flags: "AT_SYMLINK_NOFOLLOW",
    mask: "STATX_BASIC_STATS | STATX_BTIME",
    dfd: "AT_FDCWD",
  }],
  [sqe("READ", { fd: 3, off: 0xffffffffffffffffn, len: 65536 }), { fd: 3, len: 65536 }],
  [sqe("WRITE", { fd: 0, flags: 1, off: 1n << 60n, len: 1 }), {
    fd: 0,
    fixed_file: true,
    offset: "0x1000000000000000",
    len: 1,
  }],
  [sqe("FADVISE", { off: 1n, len: 2, opFlags: 4 }), {
    offset: 1,
    len: 2,
    advice: "POSIX_FADV_DONTNEED",
  }],
  [sqe("MADVISE", { addr: 0x7f0000000000n, off: 1n << 33n, opFlags: 21 }), {
    address: "0x7f0000000000",
    len: 8589934592,
    advice: "MADV_PAGEOUT",
  }],
  [sqe("SEND", { fd: 5, len: 100, opFlags: 0x4040 }), {
    fd: 5,
    len: 100,
    flags: "MSG_DONTWAIT",
  }],
  [sqe("RECV", { fd: 5, len: 65535, opFlags: 0x100 }), {
    fd: 5,
    len: 65535,
    flags: "MSG_WAITALL",
  }],
  [sqe("OPENAT2", { fd: 6, addr: PATH, off: 0x7200n, len: 24, fileIndex: 0xffffffff }), {
    path: "/etc/passwd",
    access_flags: "O_RDWR",
    creation_flags: "O_CREAT | O_LARGEFILE | O_CLOEXEC",
    dfd: 6,
    mode: "0600",
    resolve: "RESOLVE_BENEATH",
    file_slot: "alloc",
  }],
  [sqe("EPOLL_CTL", { fd: 4, off: 5n, addr: 0x7300n, len: 1 }), {
    op: "EPOLL_CTL_ADD",
    epfd: 4,
    fd: 5,
    events: "EPOLLIN | EPOLLET",
  }],
  [sqe("SPLICE", { fd: 4, off: 0xffffffffffffffffn, addr: 7n, len: 9, fileIndex: 3 }), {
    fd_in: 3,
    off_in: 7,
    fd_out: 4,
    len: 9,
  }],
  [sqe("PROVIDE_BUFFERS", { fd: 8, addr: 0x8000n, len: 1024, bufIndex: 3, off: 16n }), {
    count: 8,
    address: "0x8000",
    len: 1024,
    buf_group: 3,
    buf_id: 16,
  }],
  [sqe("REMOVE_BUFFERS", { fd: 8, bufIndex: 3 }), { count: 8, buf_group: 3 }],
  [sqe("TEE", { fd: 4, len: 9, fileIndex: 3, opFlags: 0x80000002 }), {
    fd_in: 3,
    fd_out: 4,
    len: 9,
    flags: "SPLICE_F_NONBLOCK | SPLICE_F_FD_IN_FIXED",
  }],
  [sqe("SHUTDOWN", { fd: 4, len: 2 }), { how: "SHUT_RDWR" }],
  [sqe("RENAMEAT", { fd: -100, addr: PATH, off: OTHER_PATH, len: FDCWD, opFlags: 1 }), {
    old_path: "/etc/passwd",
    new_path: "/tmp/x",
    old_dfd: "AT_FDCWD",
    new_dfd: "AT_FDCWD",
    flags: "RENAME_NOREPLACE",
  }],
  [sqe("UNLINKAT", { fd: -100, addr: PATH, opFlags: 0x200 }), {
    path: "/etc/passwd",
    flags: "AT_REMOVEDIR",
    dfd: "AT_FDCWD",
  }],
  [sqe("MKDIRAT", { fd: 3, addr: OTHER_PATH, len: 0o755 }), {
    path: "/tmp/x",
    mode: "0755",
    dfd: 3,
  }],
  [sqe("SYMLINKAT", { fd: -100, addr: PATH, off: OTHER_PATH }), {
    old_path: "/etc/passwd",
    new_path: "/tmp/x",
    new_dfd: "AT_FDCWD",
  }],
  [sqe("LINKAT", { fd: 3, addr: PATH, off: OTHER_PATH, len: 4, opFlags: 0x400 }), {
    old_path: "/etc/passwd",
    new_path: "/tmp/x",
    old_dfd: 3,
    new_dfd: 4,
    flags: "AT_SYMLINK_FOLLOW",
  }],
  [sqe("MSG_RING", { fd: 7, len: 0xffffffff, off: 0xbeefn, addr: 0n }), {
    cmd: "IORING_MSG_DATA",
    target_user_data: "0xbeef",
    target_res: -1,
  }],
  [sqe("FSETXATTR", { fd: 3, addr: NAME, off: STRUCT, len: 20, opFlags: 1 }), {
    fd: 3,
    name: "security.capability",
    size: 20,
    flags: "XATTR_CREATE",
  }],
  [sqe("SETXATTR", { addr: NAME, off: STRUCT, len: 20, addr3: PATH }), {
    path: "/etc/passwd",
    name: "security.capability",
    size: 20,
  }],
  [sqe("FGETXATTR", { fd: 3, addr: NAME, len: 20 }), {
    fd: 3,
    name: "security.capability",
    size: 20,
  }],
  [sqe("GETXATTR", { addr: NAME, len: 20, addr3: PATH }), {
    path: "/etc/passwd",
    name: "security.capability",
    size: 20,
  }],
  [sqe("SOCKET", { fd: 2, off: 0o2000001n, len: 6, fileIndex: 4 }), {
    domain: "AF_INET",
    type: "SOCK_STREAM | SOCK_CLOEXEC",
    protocol: "IPPROTO_TCP",
    file_slot: 3,
  }],
  [sqe("URING_CMD", { fd: 3, off: 0xc0484e80n, opFlags: 1, bufIndex: 4 }), {
    cmd_op: 0xc0484e80,
    flags: "IORING_URING_CMD_FIXED",
    buf_index: 4,
  }],
  [sqe("SEND_ZC", { fd: 5, len: 9, off: 0x7400n, fileIndex: 28, ioprio: 4, bufIndex: 1 }), {
    addr: "fe80::1",
    port: 443,
    family: "AF_INET6",
    scope_id: 2,
    fd: 5,
    len: 9,
    uring_flags: "IORING_RECVSEND_FIXED_BUF",
    buf_index: 1,
  }],
  [sqe("SENDMSG_ZC", { fd: 5, addr: 0x6100n, opFlags: 0x4004000 }), { fd: 5, iovecs: 0, len: 0 }],
  [sqe("READ_MULTISHOT", { fd: 3, flags: 0x20, bufIndex: 2 }), {
    fd: 3,
    offset: 0,
    len: 0,
    buf_group: 2,
  }],
  [sqe("WAITID", { fd: 1234, len: 1, off: STRUCT, fileIndex: 4 }), {
    which: "P_PID",
    id: 1234,
    options: "WEXITED",
  }],
  [sqe("FUTEX_WAIT", { fd: 0x82, addr: 0x9000n, off: 1n, addr3: 0xffffffffn }), {
    address: "0x9000",
    value: 1,
    mask: "0xffffffff",
    flags: "FUTEX2_SIZE_U32 | FUTEX2_PRIVATE",
  }],
  [sqe("FUTEX_WAKE", { fd: 2, addr: 0x9000n, off: 1n, addr3: 1n }), {
    address: "0x9000",
    value: 1,
    mask: "0x1",
    flags: "FUTEX2_SIZE_U32",
  }],
  [sqe("FUTEX_WAITV", { addr: 0x9000n, len: 2 }), { address: "0x9000", count: 2 }],
  [sqe("FIXED_FD_INSTALL", { fd: 3, flags: 1, opFlags: 1 }), {
    file_slot: 3,
    flags: "IORING_FIXED_FD_NO_CLOEXEC",
  }],
  [sqe("FTRUNCATE", { fd: 3, off: 10n }), { len: 10 }],
  [sqe("BIND", { fd: 4, addr: 0x7500n, off: 7n }), { path: "@evil", family: "AF_UNIX" }],
  [sqe("LISTEN", { fd: 4, len: 128 }), { backlog: 128 }],
  [sqe("RECV_ZC", { fd: 5, ioprio: 2, fileIndex: 1 }), {
    fd: 5,
    len: 0,
    zcrx_ifq: 1,
    uring_flags: "IORING_RECV_MULTISHOT",
  }],
  [sqe("EPOLL_WAIT", { fd: 4, addr: STRUCT, len: 32 }), { epfd: 4, max_events: 32 }],
  [sqe("READV_FIXED", { fd: 3, addr: STRUCT, len: 1, bufIndex: 3 }), {
    fd: 3,
    offset: 0,
    iovecs: 1,
    len: 16,
    buf_index: 3,
  }],
  [sqe("WRITEV_FIXED", { fd: 3, addr: STRUCT, len: 2 }), {
    fd: 3,
    offset: 0,
    iovecs: 2,
    len: 0x3010,
    buf_index: 0,
  }],
  [sqe("PIPE", { addr: STRUCT, opFlags: 0o2004000, fileIndex: 1 }), {
    flags: "O_NONBLOCK | O_CLOEXEC",
    file_slot: 0,
  }],
  [sqe("NOP128", { opFlags: 1, len: 0xfffffffb }), {
    injected_result: -5,
    flags: "IORING_NOP_INJECT_RESULT",
  }],
  [sqe("URING_CMD128", { fd: 3, off: 1n }), { cmd_op: 1 }],
];

/** The memory that CASES point into. */
function fullMemory(): FakeMemory {
  const iovecs = words64(0x10000n, 16n, 0x20000n, 0x3000n);
  return memory()
    .put(ADDRESS, sockaddrIn([10, 1, 2, 3], 53))
    .put(STRUCT, iovecs)
    .put(0x6000n, words64(ADDRESS, 16n, STRUCT, 2n, 0n, 0n, 0n))
    .put(0x6100n, words64(0n, 0n, 0n, 0n, 0n, 0n, 0n))
    .put(0x7000n, words64(5n, 500000000n))
    .put(0x7100n, words32(16))
    .put(0x7200n, words64(0o2000102n, 0o600n, 8n))
    .put(0x7300n, words32(0x80000001, 1, 2))
    .put(0x7400n, sockaddrIn6([0xfe80, 0, 0, 0, 0, 0, 0, 1], 443, 2))
    .put(0x7500n, sockaddrUn(0, "evil"));
}

for (const [fields, want] of CASES) {
  Deno.test(`describeRequest() describes ${opcodeName(fields.opcode)}`, () => {
    const got = describeRequest(fields, fullMemory());
    assertInfo(got, want, opcodeName(fields.opcode));
    assert.deepEqual(got.missing, []);
    for (const path of got.unverified) {
      assert.ok(Object.hasOwn(got.info ?? {}, path.replace("op_info.", "")), path);
    }
  });
}

Deno.test("describeRequest() describes every opcode", () => {
  assert.deepEqual(CASES.map(([fields]) => fields.opcode), CASES.map((_, index) => index));
  assert.equal(CASES.length, 65);
});

Deno.test("describeRequest() reproduces the model's five events", () => {
  const agent = "/home/fedotoff/RingReaper/agent";
  const cases: [Sqe, FakeMemory, Record<string, unknown>][] = [
    [
      sqe("CONNECT", { fd: 3, addr: ADDRESS, off: 16n }),
      memory().put(ADDRESS, sockaddrIn([127, 0, 0, 1], 443)),
      { addr: "127.0.0.1", port: 443 },
    ],
    [sqe("OPENAT", { fd: -100, addr: PATH }), memory(), {
      path: "/etc/passwd",
      access_flags: "O_RDONLY",
      creation_flags: "O_LARGEFILE",
    }],
    [
      sqe("STATX", { fd: -100, addr: 0xa000n, len: 0x7ff }),
      memory().put(0xa000n, "/usr/bin/pkexec"),
      { path: "/usr/bin/pkexec" },
    ],
    [sqe("UNLINKAT", { fd: -100, addr: 0xa000n }), memory().put(0xa000n, agent), { path: agent }],
    [
      sqe("OPENAT", { fd: -100, addr: 0xa000n, len: 0o644, opFlags: 0o1101 }),
      memory().put(0xa000n, "/tmp/shadow.pdf"),
      {
        path: "/tmp/shadow.pdf",
        access_flags: "O_WRONLY",
        creation_flags: "O_CREAT | O_TRUNC | O_LARGEFILE",
      },
    ],
  ];
  for (const [fields, user, want] of cases) {
    const { info } = describeRequest(fields, user);
    const first = Object.entries(info ?? {}).slice(0, Object.keys(want).length);
    assert.deepEqual(first, Object.entries(want));
  }
});

Deno.test("describeRequest() says that a value is user memory's word", () => {
  const open = describeRequest(sqe("OPENAT", { fd: -100, addr: PATH }), fullMemory());
  assert.deepEqual(open.unverified, ["op_info.path"]);
  const open2 = describeRequest(
    sqe("OPENAT2", { addr: PATH, off: 0x7200n, len: 24 }),
    fullMemory(),
  );
  assert.deepEqual(open2.unverified, [
    "op_info.path",
    "op_info.access_flags",
    "op_info.creation_flags",
    "op_info.mode",
    "op_info.resolve",
  ]);
  const connect = describeRequest(sqe("CONNECT", { addr: ADDRESS, off: 16n }), fullMemory());
  assert.deepEqual(connect.unverified, ["op_info.addr", "op_info.port", "op_info.family"]);
});

Deno.test("describeRequest() prefers the kernel's copy", () => {
  const known: KnownArguments = {
    path: { ok: true, bytes: bytesOf("/etc/shadow") },
    open_how: { ok: true, bytes: words64(0o100001n, 0n, 0n) },
  };
  const fields = sqe("OPENAT", { fd: -100, addr: PATH, opFlags: 2 });
  const got = describeRequest(fields, fullMemory(), { known });
  assertInfo(got, {
    path: "/etc/shadow",
    access_flags: "O_WRONLY",
    creation_flags: "O_LARGEFILE",
    dfd: "AT_FDCWD",
  }, "OPENAT");
  assert.deepEqual(got.unverified, []);
});

Deno.test("describeRequest() passes on that a known argument came from user memory", () => {
  const known: KnownArguments = {
    sockaddr: { ok: true, bytes: sockaddrIn([1, 2, 3, 4], 5), unverified: true },
  };
  const got = describeRequest({ opcode: 16, fd: 3 }, NO_MEMORY, { known });
  assertInfo(got, { addr: "1.2.3.4", port: 5, family: "AF_INET" }, "CONNECT");
  assert.deepEqual(got.unverified, ["op_info.addr", "op_info.port", "op_info.family"]);
});

Deno.test("describeRequest() reads user memory where the kernel's copy cannot be read", () => {
  const known: KnownArguments = { path: { ok: false, reason: "not_in_image" } };
  const fields = sqe("UNLINKAT", { fd: -100, addr: PATH });
  const got = describeRequest(fields, fullMemory(), { known });
  assert.equal(got.info?.path, "/etc/passwd");
  assert.deepEqual(got.unverified, ["op_info.path"]);
  const neither = describeRequest({ opcode: 36, fd: -100, opFlags: 0 }, NO_MEMORY, { known });
  assert.deepEqual(neither.missing, [{ path: "op_info.path", reason: "not_in_image" }]);
});

Deno.test("describeRequest() cuts the kernel's sockaddr_storage at the request's length", () => {
  const storage = new Uint8Array(128);
  storage.set(sockaddrUn(0, "evil"));
  const known: KnownArguments = { sockaddr: { ok: true, bytes: storage } };
  const got = describeRequest({ opcode: 16, off: 7n }, NO_MEMORY, { known });
  assertInfo(got, { path: "@evil", family: "AF_UNIX" }, "abstract");
});

Deno.test("describeRequest() serves prepared requests, which hold only some slots", () => {
  const rename: RequestFields = { opcode: 35, fd: 3, len: FDCWD, opFlags: 0 };
  const known: KnownArguments = {
    old_path: { ok: true, bytes: bytesOf("a") },
    new_path: { ok: true, bytes: bytesOf("b") },
  };
  const got = describeRequest(rename, NO_MEMORY, { known });
  assertInfo(
    got,
    { old_path: "a", new_path: "b", old_dfd: 3, new_dfd: "AT_FDCWD" },
    "RENAMEAT",
  );
  assert.deepEqual(got.missing, []);

  const read = describeRequest({ opcode: 22, fd: 3, flags: 0, off: 0n }, NO_MEMORY);
  assertInfo(read, { fd: 3, offset: 0 }, "READ");
  assert.deepEqual(read.missing, [
    { path: "op_info.len", reason: "not_kept" },
    { path: "op_info.flags", reason: "not_kept" },
  ]);

  const writev = describeRequest(
    { opcode: 2, fd: 3, flags: 0, off: 0n, len: 3, opFlags: 0, byteLength: 12288n },
    NO_MEMORY,
  );
  assertInfo(writev, { fd: 3, offset: 0, iovecs: 3, len: 12288 }, "WRITEV");

  const poll = describeRequest({ opcode: 6, opFlags: 0xc0000001, len: 0 }, NO_MEMORY);
  assertInfo(poll, { events: "POLLIN" }, "POLL_ADD");
});

Deno.test("describeRequest() gives the reason for what cannot be read", () => {
  const cases: [string, Sqe, FakeMemory, Record<string, unknown>, [string, string][]][] = [
    [
      "path swapped",
      sqe("OPENAT", { fd: -100, addr: PATH }),
      new FakeMemory().fail(PATH, "swapped"),
      {
        path: "",
        access_flags: "O_RDONLY",
        creation_flags: "O_LARGEFILE",
        dfd: "AT_FDCWD",
      },
      [["path", "swapped"]],
    ],
    [
      "open_how",
      sqe("OPENAT2", { fd: 3, addr: PATH, off: STRUCT, len: 24 }),
      memory().fail(STRUCT, "file_backed"),
      { path: "/etc/passwd", access_flags: "", creation_flags: "", dfd: 3 },
      [
        ["access_flags", "file_backed"],
        ["creation_flags", "file_backed"],
        ["mode", "file_backed"],
        ["resolve", "file_backed"],
      ],
    ],
    [
      "NULL path",
      sqe("UNLINKAT", { fd: 3 }),
      new FakeMemory(),
      { path: "", dfd: 3 },
      [["path", "null"]],
    ],
    [
      "second path",
      sqe("LINKAT", { fd: 3, len: 3, addr: PATH, off: OTHER_PATH }),
      new FakeMemory().put(PATH, "a").fail(OTHER_PATH, "not_in_image"),
      { old_path: "a", new_path: "", old_dfd: 3, new_dfd: 3 },
      [["new_path", "not_in_image"]],
    ],
    [
      "address",
      sqe("CONNECT", { addr: ADDRESS, off: 16n }),
      new FakeMemory(),
      { addr: "" },
      [["addr", "unmapped"], ["port", "unmapped"], ["family", "unmapped"]],
    ],
    [
      "address of no length",
      sqe("CONNECT", { addr: ADDRESS, off: 0n }),
      fullMemory(),
      { addr: "" },
      [["addr", "invalid"], ["port", "invalid"], ["family", "invalid"]],
    ],
    [
      "address too short",
      sqe("CONNECT", { addr: ADDRESS, off: 4n }),
      fullMemory(),
      { addr: "" },
      [["addr", "invalid"], ["port", "invalid"], ["family", "invalid"]],
    ],
    [
      "message header",
      sqe("SENDMSG", { fd: 5, addr: 0x6000n }),
      new FakeMemory(),
      { fd: 5 },
      [["addr", "unmapped"], ["port", "unmapped"], ["family", "unmapped"], ["len", "unmapped"]],
    ],
    [
      "buffers",
      sqe("READV", { fd: 5, addr: STRUCT, len: 2000 }),
      fullMemory(),
      { fd: 5, offset: 0, iovecs: 2000 },
      [["len", "invalid"]],
    ],
    [
      "time",
      sqe("TIMEOUT", { len: 1 }),
      new FakeMemory(),
      { count: 0 },
      [["sec", "null"], ["nsec", "null"]],
    ],
  ];
  for (const [name, fields, user, info, missing] of cases) {
    const got = describeRequest(fields, user);
    assertInfo(got, info, name);
    const want = missing.map(([key, reason]) => ({ path: `op_info.${key}`, reason }));
    assert.deepEqual(got.missing, want, name);
  }
});

Deno.test("describeRequest() finds the peer once the request has completed", () => {
  const accept = sqe("ACCEPT", { fd: 4, addr: ADDRESS, off: 0x7100n });
  const done = describeRequest(accept, fullMemory(), { completed: true });
  assertInfo(done, { addr: "10.1.2.3", port: 53, family: "AF_INET" }, "ACCEPT");

  const unwanted = describeRequest(sqe("ACCEPT", { fd: 4 }), fullMemory(), { completed: true });
  assert.equal(unwanted.info, undefined);
  assert.deepEqual(unwanted.missing, []);

  const known: KnownArguments = { sockaddr: { ok: true, bytes: sockaddrIn([8, 8, 8, 8], 53) } };
  const told = describeRequest({ ...accept, addr: 0n }, NO_MEMORY, { completed: true, known });
  assert.equal(told.info?.addr, "8.8.8.8");
  assert.deepEqual(told.unverified, []);

  const message = sqe("RECVMSG", { fd: 5, addr: 0x6000n });
  const received = describeRequest(message, fullMemory(), { completed: true });
  assert.equal(received.info?.addr, "10.1.2.3");
});

Deno.test("describeRequest() reads the headers of 32-bit processes", () => {
  const user = new FakeMemory()
    .put(ADDRESS, sockaddrIn([10, 1, 2, 3], 53))
    .put(STRUCT, words32(0x10000, 16, 0x20000, 5))
    .put(0x6000n, words32(Number(ADDRESS), 16, Number(STRUCT), 2, 0, 0, 0));
  const fields = { ...sqe("SENDMSG", { fd: 5, addr: 0x6000n }), compat: true };
  assertInfo(describeRequest(fields, user), {
    addr: "10.1.2.3",
    port: 53,
    family: "AF_INET",
    fd: 5,
    iovecs: 2,
    len: 21,
  }, "SENDMSG");
});

Deno.test("describeRequest() writes hostile text as text and hex", () => {
  const user = new FakeMemory()
    .put(PATH, bytesOf("/tmp/", 0xff, "\x1b]0;x\x07", 0))
    .put(ADDRESS, sockaddrUn(0, 0xfe, 0));
  const open = describeRequest(sqe("MKDIRAT", { addr: PATH, fd: 3 }), user);
  assertInfo(open, {
    path: "/tmp/\uFFFD\x1b]0;x\x07",
    path_hex: "2f746d702fff1b5d303b7807",
    mode: "0000",
    dfd: 3,
  }, "path");
  const bind = describeRequest(sqe("BIND", { addr: ADDRESS, off: 5n }), user);
  assertInfo(bind, { path: "@\uFFFD\0", path_hex: "00fe00", family: "AF_UNIX" }, "abstract");
});

Deno.test("describeRequest() tells the variants of an opcode apart", () => {
  const cases: [string, RequestFields, Record<string, unknown> | undefined][] = [
    ["cancel by file and opcode", sqe("ASYNC_CANCEL", { fd: 3, len: 16, opFlags: 0x22 }), {
      target_fd: 3,
      target_opcode: "IORING_OP_CONNECT",
      flags: "IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP",
    }],
    ["cancel anything", sqe("ASYNC_CANCEL", { opFlags: 5 }), {
      flags: "IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY",
    }],
    ["close of a slot", sqe("CLOSE", { fileIndex: 1 }), { file_slot: 0 }],
    ["file over to a ring", sqe("MSG_RING", { addr: 1n, addr3: 2n, fileIndex: 0xffffffff }), {
      cmd: "IORING_MSG_SEND_FD",
      target_user_data: "0x0",
      src_slot: 2,
      file_slot: "alloc",
    }],
    ["unknown message", sqe("MSG_RING", { addr: 0xffffffffffffffffn }), {
      cmd: "18446744073709551615",
      target_user_data: "0x0",
      target_res: 0,
    }],
    ["immediate timeout", sqe("TIMEOUT", { addr: 1500000000n, opFlags: 0x80 }), {
      sec: 1,
      nsec: 500000000,
      count: 0,
      flags: "IORING_TIMEOUT_IMMEDIATE_ARG",
    }],
    ["timeout update", sqe("TIMEOUT_REMOVE", { addr: 1n, off: 0x7000n, opFlags: 2 }), {
      target_user_data: "0x1",
      sec: 5,
      nsec: 500000000,
      flags: "IORING_TIMEOUT_UPDATE",
    }],
    ["vectored send", sqe("SEND", { fd: 5, addr: STRUCT, len: 2, ioprio: 0x20 }), {
      fd: 5,
      iovecs: 2,
      len: 0x3010,
      uring_flags: "IORING_SEND_VECTORIZED",
    }],
    ["statx of a file, NULL path", sqe("STATX", { fd: 3, opFlags: 0x1000, len: 0x200 }), {
      path: "",
      flags: "AT_EMPTY_PATH",
      mask: "STATX_SIZE",
      dfd: 3,
    }],
    ["epoll delete", sqe("EPOLL_CTL", { fd: 4, off: 5n, len: 2 }), {
      op: "EPOLL_CTL_DEL",
      epfd: 4,
      fd: 5,
    }],
    ["open by O_PATH", sqe("OPENAT", { fd: 3, addr: PATH, opFlags: 0o10000002 }), {
      path: "/etc/passwd",
      access_flags: "O_RDONLY",
      creation_flags: "O_PATH",
      dfd: 3,
    }],
    ["file table", sqe("FILES_UPDATE", { off: 0xffffffffn, len: 1 }), {
      offset: "alloc",
      count: 1,
    }],
    ["socket option", {
      ...sqe("URING_CMD", { fd: 3, off: 3n, addr: (9n << 32n) | 1n, fileIndex: 4 }),
      socket: true,
    }, { cmd_op: 3, cmd: "SOCKET_URING_OP_SETSOCKOPT", level: 1, optname: 9, optlen: 4 }],
    ["disconnect", sqe("CONNECT", { addr: 0x7600n, off: 16n }), { family: "AF_UNSPEC" }],
    ["unnamed values", sqe("SHUTDOWN", { len: 7 }), { how: "7" }],
    ["unknown opcode", { ...sqe("NOP"), opcode: 200, addr: 0xffffffffffffffffn, len: 5 }, {
      ioprio: 0,
      off: "0x0",
      addr: "0xffffffffffffffff",
      len: 5,
      op_flags: 0,
      buf_index: 0,
      file_index: 0,
      addr3: "0x0",
    }],
  ];
  const user = fullMemory().put(0x7600n, new Uint8Array(16));
  for (const [name, fields, want] of cases) assertInfo(describeRequest(fields, user), want, name);
});

Deno.test("describeRequest() takes any request and any memory", () => {
  const next = pseudoRandom(5);
  const reasons = ["swapped", "file_backed", "not_in_image", "unmapped"] as const;
  const read = (length: number) => {
    const kind = next() % 8;
    if (kind < 4) return { ok: false, reason: reasons[kind]! } as const;
    return { ok: true, bytes: randomBytes(next, kind === 4 ? next() % 16 : length) } as const;
  };
  const reader = {
    path: () => read(next() % 300),
    bytes: (_address: bigint, length: number) => {
      assert.ok(length > 0 && length <= 16384, `asked for ${length} bytes`);
      return read(length);
    },
  };
  for (let round = 0; round < 20000; round++) {
    const bytes = randomBytes(next, 64);
    bytes[0] = round % 70;
    // Small values reach more of the code than random ones.
    for (let offset = 8; offset < 64; offset += 8) {
      if (next() % 2 === 0) bytes.fill(0, offset + 1, offset + 8);
    }
    const fields = { ...readSqe(bytes, 0), compat: round % 3 === 0, socket: round % 2 === 0 };
    const { info, missing, unverified } = describeRequest(fields, reader, {
      completed: round % 5 === 0,
    });
    assert.ok(JSON.stringify({ info, missing, unverified }).isWellFormed());
  }
});
