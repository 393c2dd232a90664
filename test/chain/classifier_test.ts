import assert from "node:assert/strict";
import { Classifier } from "../../lib/chain/classifier.ts";
import { parseConfig } from "../../lib/config/config.ts";
import { RULES } from "../../lib/config/rules.ts";
import type {
  IOUringEvent,
  IOUringRegister,
  ProcessBlock,
  RingRequest,
  StreamRecord,
} from "../../lib/record/records.ts";
import type { JsonObject } from "../../lib/uapi/json_value.ts";
import { opcodeNumber } from "../../lib/uapi/opcodes.ts";
import { countedList } from "../counted_work.ts";
import { event, ring, status } from "./records.ts";

const FILTERED = { mode: 2, filters: 1 };
const SOCKET = { kind: "socket", family: "AF_INET", addr: "192.0.2.1", port: 443 };
const PIPE = { kind: "pipe", path: "pipe:[8887]" };

/** An event of an opcode, without its prefix. */
function op(
  name: string,
  info?: JsonObject,
  over: Partial<IOUringEvent> & { uring?: JsonObject } = {},
): IOUringEvent {
  const { uring, ...rest } = over;
  return event({
    opcode: `IORING_OP_${name}`,
    ...(info === undefined ? {} : { op_info: info }),
    ...(uring === undefined
      ? {}
      : { io_uring: uring as unknown as IOUringEvent["io_uring"] & object }),
    ...rest,
  });
}

/** A request of a ring. */
function past(name: string, info?: JsonObject, over: Partial<RingRequest> = {}): RingRequest {
  const opcode = `IORING_OP_${name}`;
  return {
    opcode,
    opcode_number: opcodeNumber(opcode)!,
    user_data: "0x0",
    source: ["sqe"],
    ...(info === undefined ? {} : { op_info: info }),
    ...over,
  };
}

function register(operation: string): IOUringRegister {
  const { process, timestamp } = event();
  return {
    type: "IOUringRegister",
    process,
    operation,
    io_uring: { ctx: "0x1" },
    count: 0,
    result: { res: 0 },
    timestamp,
  };
}

function open(path: string, access = "O_RDONLY", creation = "O_LARGEFILE"): IOUringEvent {
  return op("OPENAT", { path, access_flags: access, creation_flags: creation, dfd: "AT_FDCWD" });
}

function stats(directory: string, count: number, over: Partial<IOUringEvent> = {}) {
  return Array.from({ length: count }, (_, i) => op("STATX", { path: `${directory}${i}` }, over));
}

/** A request of process 42 on ring 0x1, so many ms after the first. */
function use(
  ms: number,
  process: Partial<Pick<ProcessBlock, "pid" | "ppid" | "binary_path">> = {},
): IOUringEvent {
  const timestamp = new Date(Date.UTC(2026, 0, 1) + ms).toISOString();
  return op("NOP", {}, {
    uring: { ctx: "0x1" },
    timestamp,
    process: { ...event().process, ...process },
  });
}

/** A ring of the parent of process 42. */
const MADE_BY_PARENT = ring({
  pid: 1,
  ctx_addr: "0x1",
  found_by: ["create"],
  process: { ...event().process, pid: 1 },
});

const HOLDERS = Array.from({ length: 64 }, (_, i) => ({ pid: 1000 + i, comm: "worker", fd: 3 }));

type Case = readonly StreamRecord[];

/** For each rule, streams whose last record it fires on, and streams on which it never does. */
const CASES: Readonly<Record<string, { fires: readonly Case[]; silent: readonly Case[] }>> = {
  "seccomp-bypass": {
    fires: [
      [op("SEND", { fd: 3, len: 1 }, { seccomp: FILTERED })],
      [op("READ", { fd: 3, target: SOCKET }, { seccomp: FILTERED })],
      [ring({ seccomp_active: true, pending_opcodes: [22, 9] })],
      [ring({ seccomp: FILTERED, history: [past("CONNECT")] })],
    ],
    silent: [
      [op("SEND", { fd: 3, len: 1 }, { seccomp: { mode: 0, filters: 0 } })],
      [op("SEND", { fd: 3, len: 1 })],
      [op("READ", { fd: 3, target: { kind: "file", path: "/x" } }, { seccomp: FILTERED })],
      [ring({ seccomp_active: true, missing: ["seccomp_active"], pending_opcodes: [9] })],
      [ring({ seccomp_active: true, pending_opcodes: [18, 22] })],
    ],
  },
  "seccomp-file": {
    fires: [[op("OPENAT", { path: "/x" }, { seccomp: FILTERED })]],
    silent: [[op("OPENAT", { path: "/x" })], [op("CLOSE", {}, { seccomp: FILTERED })]],
  },
  "c2-channel": {
    fires: [
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("WRITE", { fd: 5, target: SOCKET }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      [
        op("CONNECT", { addr: "192.0.2.1", port: 443 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SPLICE", { target: PIPE, target_in: SOCKET }, { uring: { ctx: "0x1", fd: 7 } }),
      ],
      // Descriptors are the process's, whichever ring they are used on.
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x2", fd: 5 } }),
      ],
      // A connection that was duplicated, put into a slot, or inherited, by its peer.
      [
        op("CONNECT", { addr: "192.0.2.1", port: 443 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 6, target: SOCKET }, { uring: { ctx: "0x1", fd: 6 } }),
      ],
      [
        op("CONNECT", { addr: "::ffff:192.0.2.1", port: 443 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("READ", { fd: 0, target: SOCKET }, { uring: { ctx: "0x2", fd: 0, fixed_file: true } }),
      ],
      [
        op("CONNECT", { addr: "192.0.2.1", port: 443 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5, target: SOCKET }, {
          uring: { ctx: "0x2", fd: 5 },
          process: { ...event().process, pid: 44, ppid: 1 },
        }),
      ],
      [
        op("SENDMSG", { fd: 5, flags: "MSG_FASTOPEN | MSG_NOSIGNAL" }, {
          uring: { ctx: "0x1", fd: 5 },
        }),
        op("RECV", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      // What the published model's events tell: no ring, and no descriptor.
      [op("CONNECT", { addr: "127.0.0.1", port: 443 }), op("RECV")],
      [ring({
        history: [
          past("CONNECT", {}, { fd: 5, result: { res: 0 } }),
          past("READ", { fd: 5 }, { fd: 5 }),
        ],
      })],
      [ring({
        history: [past("CONNECT", {}, { fd: 5, result: { res: -115, errno: "EINPROGRESS" } })],
        pending: [past("SEND", { fd: 5 }, { fd: 5 })],
      })],
    ],
    silent: [
      [op("SEND", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } })],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 6 }, { uring: { ctx: "0x1", fd: 6 } }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5 }, {
          uring: { ctx: "0x1", fd: 5 },
          process: { ...event().process, pid: 43 },
        }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5, fixed_file: true } }),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x2", fd: 5, fixed_file: true } }),
      ],
      // Another peer, and another program.
      [
        op("CONNECT", { addr: "192.0.2.2", port: 443 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 6, target: SOCKET }, { uring: { ctx: "0x1", fd: 6 } }),
      ],
      [
        op("CONNECT", { addr: "192.0.2.1", port: 443 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5, target: SOCKET }, {
          uring: { ctx: "0x2", fd: 5 },
          process: { ...event().process, pid: 44, binary_path: "/usr/bin/other" },
        }),
      ],
      [
        op("CONNECT", { family: "AF_UNIX", path: "/run/x" }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5, fixed_file: true } }),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("CLOSE", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        op("READ", { fd: 5, target: { kind: "file", path: "/x" } }, {
          uring: { ctx: "0x1", fd: 5 },
        }),
      ],
      [
        op("CONNECT", {}, { uring: { ctx: "0x1", fd: 5 } }),
        status(),
        op("SEND", { fd: 5 }, { uring: { ctx: "0x1", fd: 5 } }),
      ],
      [op("CONNECT", { addr: "127.0.0.1", port: 443 }), op("READ")],
      // The descriptor was given to a file since.
      [ring({
        history: [
          past("CONNECT", {}, { fd: 5, result: { res: 0 } }),
          past("OPENAT", { path: "/x" }, { result: { res: 5 } }),
          past("READ", { fd: 5 }, { fd: 5 }),
        ],
      })],
      [ring({
        history: [
          past("CONNECT", {}, { fd: 5, result: { res: -101, errno: "ENETUNREACH" } }),
          past("SEND", { fd: 5 }, { fd: 5 }),
        ],
      })],
    ],
  },
  "outbound-connect": {
    fires: [[op("CONNECT", { addr: "127.0.0.1", port: 443 })], [
      op("CONNECT", { addr: "::1", port: 1 }),
    ], [op("SENDMSG", { fd: 5, addr: "192.0.2.1", port: 443, flags: "MSG_FASTOPEN" })]],
    silent: [[op("CONNECT", { path: "@x", family: "AF_UNIX" })], [
      op("BIND", { addr: "127.0.0.1" }),
    ], [op("SENDMSG", { fd: 5, addr: "192.0.2.1", port: 443, flags: "MSG_NOSIGNAL" })]],
  },
  "outbound-message": {
    fires: [
      [op("SENDMSG", { fd: 5, addr: "192.0.2.1", port: 53 })],
      [op("SEND_ZC", { fd: 5, addr: "::1", port: 53, target: { kind: "socket" } })],
    ],
    silent: [
      [op("SEND", { fd: 5, target: SOCKET })],
      [op("SENDMSG", { fd: 5, path: "@x", family: "AF_UNIX" })],
      [op("RECVMSG", { fd: 5, addr: "192.0.2.1", port: 53 })],
    ],
  },
  "credential-access": {
    fires: [
      [op("OPENAT", {
        path: "/tmp/x",
        access_flags: "O_RDONLY",
        target: { kind: "file", path: "/etc/shadow" },
      })],
      [open("/etc/shadow")],
      [open("/etc/../etc//./shadow")],
      [open("/proc/self/root/etc/shadow")],
      [open("/proc/1/task/1/root/../etc/shadow")],
      [op("OPENAT2", { path: "/proc/self/cwd/./shadow", access_flags: "O_RDONLY" }, {
        process: { ...event().process, cwd: "/etc" },
      })],
      [open("/home/a/.ssh/deploy.pem")],
      [open("/root/.docker/config.json")],
      [open("/home/a/.mozilla/firefox/x.default/key4.db")],
      [open("/etc/NetworkManager/system-connections/office")],
      [op("OPENAT", { path: "shadow", access_flags: "O_RDONLY", dfd: "AT_FDCWD" }, {
        process: { ...event().process, cwd: "/etc" },
      })],
      [op("OPENAT", { path: "shadow", access_flags: "O_RDONLY", dfd: 5, dfd_path: "/etc" })],
      [op("LINKAT", { old_path: "shadow", new_path: "x", old_dfd: 5, old_dfd_path: "/etc" })],
      [op("LINKAT", {
        old_path: "/proc/self/fd/5",
        new_path: "x",
        old_dfd_path: "/etc/shadow",
      })],
      [op("OPENAT", {
        path: "/dev/fd/5/../shadow",
        access_flags: "O_RDONLY",
        dfd_path: "/etc/ssh",
      })],
      [op("READ", { fd: 3, target: { kind: "file", path: "/home/a/.ssh/id_ed25519" } })],
      [op("SYMLINKAT", { old_path: "/etc/shadow", new_path: "/tmp/x" })],
      [op("SPLICE", { target: PIPE, target_in: { kind: "file", path: "/etc/shadow" } })],
      [op("SPLICE", { target_in: { kind: "file", path: "/etc/shadow" } })],
      [ring({ history: [past("OPENAT", { path: "/etc/sudoers.d/admin" })] })],
    ],
    silent: [
      [open("/etc/shadow-decoy")],
      [op("OPENAT", {
        path: "/tmp/x",
        access_flags: "O_WRONLY",
        target: { kind: "file", path: "/etc/shadow" },
      })],
      [open("/etc/passwd")],
      [open("shadow")],
      [op("OPENAT", { path: "shadow", access_flags: "O_RDONLY", dfd: 5, dfd_path: "/srv" })],
      [op("LINKAT", { old_path: "x", new_path: "shadow", new_dfd: 5, new_dfd_path: "/srv" }, {
        process: { ...event().process, cwd: "/etc" },
      })],
      [op("CLOSE", { fd: 3, target: { kind: "file", path: "/etc/shadow" } })],
      [op("SPLICE", { target: { kind: "file", path: "/etc/shadow" }, target_in: PIPE })],
      [op("STATX", { path: "/etc/shadow" })],
      [op("LINKAT", { old_path: "/proc/self/fd/5", new_path: "x", old_dfd_path: "/etc/motd" })],
      [op("LINKAT", { old_path: "/proc/self/fd/x", new_path: "x", old_dfd_path: "/etc/shadow" })],
      [open("/proc/1/cwd/../etc/shadow")],
      [open("/etc/ssh/ssh_config")],
      [op("OPENAT", { path: "" }, { missing: ["op_info.path"] })],
    ],
  },
  "user-discovery": {
    fires: [[open("/var/run/utmp")], [open("/run/systemd/sessions/c1")], [
      op("READ", { target: { kind: "file", path: "/run/utmp" } }),
    ]],
    silent: [[open("/var/run/utmp.d")], [open("/run/utmp", "O_WRONLY")]],
  },
  "connection-discovery": {
    fires: [
      [open("/proc/net/tcp")],
      [open("/proc/self/net/tcp6")],
      [open("/proc/thread-self/net/udp")],
      [open("/proc/1/task/1/net/unix")],
    ],
    silent: [[open("/proc/net/dev")], [open("/proc/net/tcp", "O_WRONLY")]],
  },
  "process-discovery": {
    fires: [
      [open("/proc/1/comm")],
      [open("/proc/77/cmdline")],
      [open("/proc/1/task/9/stat")],
      // Which programs use BPF.
      [open("/proc/77/fdinfo/5")],
    ],
    silent: [[open("/proc/42/comm")], [open("/proc/self/comm")], [open("/proc/version")]],
  },
  "process-memory": {
    fires: [
      [open("/proc/1/maps")],
      [open("/proc/7/task/8/mem", "O_RDWR")],
      [open("/proc/kcore")],
      [op("READ", { target: { kind: "char_device", path: "/dev/mem" } })],
    ],
    silent: [[open("/proc/42/maps")], [open("/proc/1/comm")], [open("/dev/null")]],
  },
  "tracing-tamper": {
    fires: [
      [open("/sys/kernel/debug/tracing/tracing_on", "O_WRONLY")],
      [op("UNLINKAT", { path: "/sys/fs/bpf/prog" })],
      [op("WRITE", { target: { kind: "file", path: "/sys/kernel/tracing/set_event" } })],
      [op("UNLINKAT", { path: "/etc/audit/rules.d/10-exec.rules" })],
    ],
    silent: [[open("/sys/kernel/tracing/trace_pipe")], [open("/sys/kernel/mm/x", "O_WRONLY")]],
  },
  "self-delete": {
    fires: [
      [op("UNLINKAT", { path: "/tmp/agent" })],
      [op("RENAMEAT", { old_path: "/tmp/./agent", new_path: "/tmp/x" })],
      [op("UNLINKAT", { path: "/bin/agent" }, {
        process: { ...event().process, binary_path: "/usr/bin/agent" },
      })],
    ],
    silent: [
      [op("UNLINKAT", { path: "/tmp/agent2" })],
      [open("/tmp/agent")],
      [ring({ history: [past("UNLINKAT", { path: "/tmp/agent" })] })],
    ],
  },
  "indicator-removal": {
    fires: [
      [op("UNLINKAT", { path: "/root/.bash_history" })],
      [op("SYMLINKAT", { old_path: "/dev/null", new_path: "/home/u/.zsh_history" })],
      [op("UNLINKAT", { path: "/var/log/wtmp.1" })],
      [op("FTRUNCATE", { len: 0, target: { kind: "file", path: "/var/log/wtmp" } })],
      [open("/var/log/wtmp", "O_WRONLY", "O_TRUNC | O_LARGEFILE")],
      [op("FALLOCATE", {
        mode: "FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE",
        target: { kind: "file", path: "/var/log/wtmp" },
      })],
    ],
    silent: [
      [op("UNLINKAT", { path: "/root/notes" })],
      [op("UNLINKAT", { path: "/var/log/app/access.log" })],
      // Node's own way to write it anew.
      [op("FTRUNCATE", { len: 0, target: { kind: "file", path: "/root/.node_repl_history" } })],
      [open("/root/.bash_history")],
      [open("/var/log/wtmp", "O_WRONLY", "O_APPEND | O_LARGEFILE")],
      [op("FALLOCATE", { mode: 0, target: { kind: "file", path: "/var/log/wtmp" } })],
    ],
  },
  "persistence-write": {
    fires: [
      [open("/etc/cron.d/x", "O_WRONLY", "O_CREAT | O_TRUNC | O_LARGEFILE")],
      [op("SYMLINKAT", { old_path: "/tmp/x", new_path: "/etc/systemd/system/x.service" })],
      [op("LINKAT", { old_path: "/tmp/x", new_path: "/home/u/.ssh/authorized_keys" })],
      [open("/var/lib/postgresql/.ssh/authorized_keys", "O_WRONLY")],
      [open("/etc/rc.d/init.d/x", "O_WRONLY")],
      [open("/usr/lib64/security/pam_unix.so", "O_WRONLY")],
      [op("RENAMEAT", { old_path: "/tmp/x", new_path: "/boot/initrd.img-6.1.0-47-amd64" })],
      [op("SPLICE", { fd_in: 4, target: { kind: "file", path: "/etc/rc2.d/S01x" } })],
      [open("/proc/sys/kernel/core_pattern", "O_WRONLY")],
    ],
    silent: [
      [open("/etc/cron.d/x")],
      [open("/tmp/etc/cron.d/x", "O_WRONLY")],
      [open("/etc/rclone.conf", "O_WRONLY")],
      [open("/etc/systemd-notes", "O_WRONLY")],
      [open("/home/u/.ssh/known_hosts", "O_WRONLY")],
      [op("SYMLINKAT", { old_path: "/etc/systemd/system/x.service", new_path: "/tmp/x" })],
    ],
  },
  "binary-replace": {
    fires: [
      [op("RENAMEAT", { old_path: "/tmp/a", new_path: "/usr/bin/sudo" })],
      [open("/usr/sbin/sshd", "O_WRONLY", "O_TRUNC | O_LARGEFILE")],
      [op("RENAMEAT", { old_path: "/tmp/a", new_path: "/lib/x86_64-linux-gnu/liblzma.so.5.4.1" })],
      [op("SETXATTR", { path: "/tmp/a", name: "security.capability", size: 20 })],
    ],
    silent: [
      [op("RENAMEAT", { old_path: "/usr/bin/sudo", new_path: "/tmp/a" })],
      // A package of Node's brings libraries of its own.
      [open("/usr/lib/node_modules/sharp/lib/libvips-cpp.so.42", "O_WRONLY", "O_CREAT")],
      [op("SETXATTR", { path: "/tmp/a", name: "user.note", size: 20 })],
    ],
  },
  "suid-hunt": {
    fires: [
      stats("/usr/bin/", 16),
      [ring({ history: stats("/usr/bin/", 16).map(({ op_info }) => past("STATX", op_info)) })],
      // Among other things that the ring does.
      stats("/usr/bin/", 16).flatMap((stat, i) => [open(`/srv/log-${i}`), stat]),
      Array.from(
        { length: 16 },
        (_, i) => op("GETXATTR", { path: `/usr/bin/${i}`, name: "security.capability" }),
      ),
      // Over many rings and processes of one program.
      stats("/usr/bin/", 16).map((stat, i) => ({
        ...stat,
        process: { ...stat.process, pid: 100 + i },
        io_uring: { ctx: `0x${i}` } as IOUringEvent["io_uring"] & object,
      })),
      // One buffer held all the names, and shows the last.
      [ring({
        history: Array.from({ length: 16 }, () => past("STATX", { path: "/usr/bin/z" })),
        unverified: Array.from({ length: 16 }, (_, i) => `history.${i}.op_info.path`),
      })],
    ],
    silent: [
      stats("/usr/bin/", 15),
      stats("/usr/bin/", 16).map((stat, i) => ({
        ...stat,
        process: { ...stat.process, pid: 100 + i, binary_path: `/usr/bin/program-${i % 2}` },
      })),
      // A copy, by two tools.
      stats("/usr/bin/", 40).flatMap((stat, i) => [
        stat,
        op("STATX", { path: `/tmp/copy/${i}` }),
        stat,
        op("SYMLINKAT", { old_path: "sudo", new_path: `/tmp/copy/${i}` }),
      ]),
      stats("/usr/bin/", 40).flatMap((stat, i) => [stat, open(`/usr/bin/${i}`)]),
      stats("/usr/share/doc/", 40),
      Array.from({ length: 40 }, () => op("STATX", { path: "/usr/bin/sudo" })),
      Array.from(
        { length: 40 },
        () => op("STATX", { path: "/usr/bin/sudo" }, { unverified: ["op_info.path"] }),
      ),
      [ring({ history: Array.from({ length: 16 }, () => past("STATX", { path: "/usr/bin/z" })) })],
      Array.from({ length: 40 }, (_, i) =>
        op("STATX", { path: `/usr/bin/${i}` }, {
          timestamp: new Date(Date.UTC(2026, 0, 1, 0, 0, i)).toISOString(),
        })),
    ],
  },
  "hidden-ring": {
    fires: [
      [ring({ found_by: ["tctx", "registered"] })],
      [ring({ found_by: ["unix"] })],
      [ring({ found_by: ["create"], setup_flags: ["IORING_SETUP_REGISTERED_FD_ONLY"] })],
    ],
    silent: [[ring({ found_by: ["fd", "tctx"] })], [ring({ found_by: ["create"] })], [ring()]],
  },
  "sqpoll-ring": {
    fires: [[ring({ setup_flags: ["IORING_SETUP_SQPOLL"] })]],
    silent: [[ring({ setup_flags: ["IORING_SETUP_IOPOLL"] })]],
  },
  "unusual-ring": {
    fires: [[ring({ setup_flags: ["IORING_SETUP_R_DISABLED"] })]],
    silent: [[ring({ setup_flags: ["IORING_SETUP_CLAMP"] })]],
  },
  "inherited-ring": {
    fires: [
      // A child, and the child's child.
      [MADE_BY_PARENT, use(0)],
      [MADE_BY_PARENT, use(0), use(1, { pid: 43, ppid: 42 })],
      [ring({ pid: 7, owners: [{ pid: 7, comm: "a", fd: 3 }, { pid: 8, comm: "a", fd: 3 }] })],
    ],
    silent: [
      [MADE_BY_PARENT, use(0, { ppid: 9 })],
      [MADE_BY_PARENT, use(0, { binary_path: "/tmp/other" })],
      [MADE_BY_PARENT, use(0, { pid: 1 })],
      [ring({ pid: 7, owners: [{ pid: 7, comm: "a", fd: 3 }, { pid: 8, comm: "b", fd: 3 }] })],
      [ring({ pid: 7, owners: [{ pid: 7, comm: "a", fd: 3 }], creator_pid: 6 })],
    ],
  },
  "foreign-ring": {
    fires: [
      [ring({ pid: 7, ctx_addr: "0x1", found_by: ["create"] }), use(0), use(2000)],
      [ring({ pid: 1000, ctx_addr: "0x1", owners: HOLDERS }), use(0), use(2000)],
      [ring({ pid: 7, owners: [{ pid: 7, comm: "a", fd: 3 }, { pid: 8, comm: "b", fd: 3 }] })],
    ],
    silent: [
      [ring({ pid: 42, ctx_addr: "0x1" }), use(0), use(2000)],
      [MADE_BY_PARENT, use(0), use(2000)],
      [use(0), use(2000)],
      // The address is used again, and the new ring's record comes after its first request.
      [ring({ pid: 7, ctx_addr: "0x1" }), use(0), use(500)],
      [
        ring({ pid: 7, ctx_addr: "0x1" }),
        use(0),
        ring({ pid: 42, ctx_addr: "0x1" }),
        use(2000),
      ],
      // A creation may be among what was lost.
      [ring({ pid: 7, ctx_addr: "0x1" }), use(0), status({ phase: "lost" }), use(2000)],
      [ring({ pid: 0, ctx_addr: "0x1" }), use(0), use(2000)],
      // So many hold it that they are not remembered; what was known before counts no more.
      [
        ring({ pid: 7, ctx_addr: "0x1" }),
        ring({ pid: 7, ctx_addr: "0x1", owners: HOLDERS }),
        use(0),
        use(2000),
      ],
    ],
  },
  "personality-switch": {
    fires: [
      [op("OPENAT", { path: "/x" }, { uring: { ctx: "0x1", personality: 1 } })],
      [op("OPENAT", { path: "/x" }, { uring: { ctx: "0x1", cred: { uid: 0, euid: 0 } } })],
      [ring({ history: [past("OPENAT", {}, { personality: 3 })] })],
    ],
    silent: [[op("OPENAT", { path: "/x" }, { uring: { ctx: "0x1" } })]],
  },
  "personality-registered": {
    fires: [[register("IORING_REGISTER_PERSONALITY")]],
    silent: [[register("IORING_REGISTER_BUFFERS")]],
  },
  "silent-completion": {
    fires: [
      [op("UNLINKAT", { path: "/x" }, { uring: { sqe_flags: ["IOSQE_CQE_SKIP_SUCCESS"] } })],
      [ring({ history: [past("SEND", {}, { sqe_flags: ["IOSQE_CQE_SKIP_SUCCESS"] })] })],
    ],
    silent: [
      [op("CLOSE", {}, { uring: { sqe_flags: ["IOSQE_CQE_SKIP_SUCCESS"] } })],
      [op("UNLINKAT", { path: "/x" }, { uring: { sqe_flags: ["IOSQE_IO_LINK"] } })],
    ],
  },
  "probing": {
    fires: [
      Array.from({ length: 16 }, () => op("NOP", {}, { uring: { rejected: true } })),
      [200, 201, 202].map((opcode_number) =>
        event({ opcode: "UNKNOWN", io_uring: { opcode_number, rejected: true } as never })
      ),
    ],
    silent: [
      Array.from({ length: 15 }, () => op("NOP", {}, { uring: { rejected: true } })),
      Array.from({ length: 40 }, () => op("NOP")),
    ],
  },
  "restricted-request": {
    fires: [[
      op("OPENAT", {}, { uring: { rejected: true }, result: { res: -13, errno: "EACCES" } }),
    ]],
    silent: [
      [op("OPENAT", {}, { uring: {}, result: { res: -13, errno: "EACCES" } })],
      [op("OPENAT", {}, { uring: { rejected: true }, result: { res: -22, errno: "EINVAL" } })],
    ],
  },
  "device-command": {
    fires: [[op("URING_CMD", { cmd_op: 1, target: { kind: "file", path: "/dev/ng0n1" } })]],
    silent: [
      [op("URING_CMD", { cmd_op: 1, target: { kind: "file", path: "/dev/fuse" } })],
      [op("READ", { target: { kind: "file", path: "/dev/ng0n1" } })],
    ],
  },
  "socket-option": {
    fires: [[op("URING_CMD", { cmd_op: 3, cmd: "SOCKET_URING_OP_SETSOCKOPT" })]],
    silent: [[op("URING_CMD", { cmd_op: 2, cmd: "SOCKET_URING_OP_GETSOCKOPT" })]],
  },
};

/** The rules that fire on each record of a stream. */
function fired(records: Case, source = ""): string[][] {
  const { config } = parseConfig(new TextEncoder().encode(source), "f.yaml");
  const classifier = new Classifier(config.classifier ?? {});
  return records.map((record) => {
    const passed = classifier.transform(record);
    return passed?.type === "IOUringStatus"
      ? []
      : passed?.classification?.rules.map(({ id }) => id) ?? [];
  });
}

for (const { id } of RULES) {
  const { fires = [], silent = [] } = CASES[id] ?? {};
  Deno.test(`rule ${id} fires on ${fires.length} streams and not on ${silent.length}`, () => {
    assert.ok(fires.length > 0 && silent.length > 0, "Every rule needs a case of each kind");
    for (const records of fires) {
      assert.ok(fired(records).at(-1)!.includes(id), JSON.stringify(records.at(-1)));
    }
    for (const records of silent) {
      for (const [i, ids] of fired(records).entries()) {
        assert.ok(!ids.includes(id), JSON.stringify(records[i]));
      }
    }
  });
}

Deno.test("every case is of a rule that there is", () => {
  const ids = RULES.map(({ id }) => id);
  assert.deepEqual(Object.keys(CASES).filter((id) => !ids.includes(id)), []);
  assert.equal(new Set(ids).size, ids.length);
});

Deno.test("Classifier takes the gravest severity, and replaces what was there", () => {
  const classifier = new Classifier({});
  const connect = op("CONNECT", { addr: "127.0.0.1", port: 1 }, { seccomp: FILTERED });
  assert.deepEqual(classifier.classify(connect), {
    suspicious: true,
    severity: "high",
    rules: [
      {
        id: "seccomp-bypass",
        title: "Network operation around a seccomp filter",
        severity: "high",
        attack: ["T1562.001", "T1106"],
      },
      {
        id: "outbound-connect",
        title: "Connection made over io_uring",
        severity: "low",
        attack: ["T1095"],
      },
    ],
  });
  const stale = { suspicious: true, severity: "high" as const, rules: [] };
  const nop = classifier.transform(event({ classification: stale }));
  assert.deepEqual(nop, event());
  const plain = event();
  assert.equal(classifier.transform(plain), plain);
  const low = classifier.classify(op("CONNECT", { addr: "127.0.0.1", port: 1 }));
  assert.deepEqual([low?.suspicious, low?.severity], [false, "low"]);
});

Deno.test("Classifier disables and re-grades rules, and takes rules of the user's own", () => {
  const connect = op("CONNECT", { addr: "127.0.0.1", port: 1 }, { seccomp: FILTERED });
  assert.deepEqual(fired([connect], "classifier: {disable: [seccomp-bypass]}"), [[
    "outbound-connect",
  ]]);
  assert.deepEqual(
    fired([connect], "classifier: {severity: {outbound-connect: critical}}"),
    [["outbound-connect", "seccomp-bypass"]],
  );
  const own = `
classifier:
  disable: [seccomp-bypass, outbound-connect]
  rules:
    - id: my-rule
      title: Ours
      severity: info
      when:
        - {opcode: [network], address: [127.0.0.0/8], port: [1-9], process: {uid: [1000]}}
        - {operation: [IORING_REGISTER_PROBE]}
`;
  assert.deepEqual(
    fired([
      connect,
      op("CONNECT", { addr: "127.0.0.1", port: 10 }),
      register("IORING_REGISTER_PROBE"),
    ], own),
    [["my-rule"], [], ["my-rule"]],
  );
});

Deno.test("Classifier knows no opcode that is no whole number", () => {
  const records = [0, 0.25, 0.5, 0.75].flatMap((part) =>
    [{}, { port: 1 }].map((over) =>
      op("OPENAT", { path: "/srv/data", ...over }, {
        seccomp: FILTERED,
        uring: { opcode_number: opcodeNumber("IORING_OP_OPENAT")! + part },
      })
    )
  );
  const connect = op("CONNECT", { addr: "192.0.2.1", port: 443 });
  const [, ...found] = fired([connect, ...records]);
  assert.deepEqual(found.map(({ length }) => length), [1, 1, 0, 0, 0, 0, 0, 0]);
});

Deno.test("Classifier takes records of any shape, and rings full of requests", () => {
  const odd = [
    { type: "IOUringEvent" },
    { type: "IOUringEvent", opcode: 3, op_info: [], process: 7, io_uring: "x", missing: {} },
    { type: "IOUringEvent", opcode: "IORING_OP_OPENAT", op_info: { path: 5, path_hex: "zz" } },
    { type: "IOUringEvent", opcode: "UNKNOWN", io_uring: { opcode_number: 1e9 } },
    { type: "IOUringEntry", history: [null, 3, { opcode_number: -1 }], owners: 3, found_by: {} },
    { type: "IOUringRegister" },
    { type: "Else" },
  ] as unknown as StreamRecord[];
  assert.deepEqual(fired(odd), odd.map(() => []));
});

Deno.test("Classifier goes through the lists of a large ring once or twice", () => {
  const length = 100_000;
  const history = Array.from({ length }, (_, i) => past("STATX", { path: `/usr/bin/${i}` }));
  const unverified = history.map((_, i) => `history.${i}.op_info.path`);
  const many = ring({
    history: countedList(history, 2 * length),
    unverified: countedList(unverified, 2 * length),
  });
  assert.deepEqual(fired([many]), [["suid-hunt"]]);
});
