import { containerOf, type KernelObject } from "../kernel/program.ts";
import { viewOf } from "../uapi/bytes.ts";
import { ANON_INODE_FS_MAGIC, fileKind } from "../uapi/file_kind.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  familyName,
  ipv4Text,
  ipv6Text,
  parseSockaddr,
} from "../uapi/socket_address.ts";
import { putText, putUnixName } from "../uapi/text.ts";
import { readable } from "./diagnostics.ts";
import { pathOfFile } from "./file_paths.ts";

/** SOCKFS_MAGIC of `include/uapi/linux/magic.h`. */
const SOCKFS_MAGIC = 0x534f434bn;

/** A `struct sockaddr_un` is not longer. */
const MAX_UNIX_ADDRESS = 110;
/** `fs.nr_open` cannot be set higher (`sysctl_nr_open_max`, rounded up). */
const MAX_FDS = 2 ** 31;
/** Few processes have more; of those that do, a request's descriptor may stay unknown. */
const MAX_SEARCHED_FDS = 4096;

/**
 * What an open file is:
 *
 * - a file: `{"kind": "file", "path": …}`, with `deleted: true` where it has no link any more; the
 *   same for `directory`, `char_device`, `block_device` and `pipe`, whose path may be `pipe:[1234]`
 * - a socket: `{"kind": "socket", "family": …}` with the local address in `local_addr` and
 *   `local_port` and the peer's in `addr` and `port`, or for a unix socket in `local_path` and
 *   `path`, abstract names with a leading `@`
 * - an anonymous inode: `{"kind": "anon_inode", "name": "[eventfd]"}`
 *
 * Undefined where the file cannot be read. A path that could be read in part only has
 * `partial: true` behind it. Never throws.
 */
export function describeFile(file: KernelObject): JsonObject | undefined {
  const inode = readable(() => file.deref("f_inode"));
  const mode = inode && readable(() => inode.number("i_mode"));
  if (inode === undefined || mode === undefined) return undefined;
  if (isSocketInode(inode)) return describeSocket(inode);

  const { bytes, deleted, complete, pseudo } = pathOfFile(file);
  const target: JsonObject = {};
  const name = pseudo ? afterPrefix(bytes, ANON_INODE) : undefined;
  if (name !== undefined || fileSystemMagic(inode) === BigInt(ANON_INODE_FS_MAGIC)) {
    target.kind = "anon_inode";
    putText(target, "name", name ?? new Uint8Array());
    return target;
  }
  target.kind = fileKind(mode) ?? "other";
  putText(target, "path", bytes);
  if (deleted) target.deleted = true;
  if (!complete) target.partial = true;
  return target;
}

const ANON_INODE = new TextEncoder().encode("anon_inode:");

/** What follows a prefix, or undefined where there is another. */
function afterPrefix(bytes: Uint8Array, prefix: Uint8Array): Uint8Array | undefined {
  const starts = prefix.every((byte, index) => bytes[index] === byte);
  return starts ? bytes.subarray(prefix.length) : undefined;
}

/** The `struct sock` of an open file that is a socket. */
export function sockOf(file: KernelObject): KernelObject | undefined {
  const inode = readable(() => file.deref("f_inode"));
  return inode !== undefined && isSocketInode(inode)
    ? readable(() => sockOfInode(inode))
    : undefined;
}

/** Whether an open file is a socket; false where it cannot be read. */
export function isSocket(file: KernelObject): boolean {
  const inode = readable(() => file.deref("f_inode"));
  return inode !== undefined && isSocketInode(inode);
}

/**
 * The open file of a descriptor of a task (`files_lookup_fd_raw()` of `include/linux/fdtable.h`),
 * or undefined where there is none or it cannot be read.
 */
export function fileOfFd(task: KernelObject, fd: number): KernelObject | undefined {
  return readable(() => {
    const table = task.tryDeref("files")?.tryDeref("fdt");
    if (table === undefined || !Number.isInteger(fd) || fd < 0 || fd >= MAX_FDS) return undefined;
    if (fd >= table.number("max_fds")) return undefined;
    const slot = BigInt.asUintN(64, table.pointer("fd") + 8n * BigInt(fd));
    const address = task.program.memory.readPointer(slot);
    return address === 0n ? undefined : task.program.object("file", address);
  });
}

/**
 * The one descriptor of a task's process that names an open file, or undefined where none does, or
 * more than one.
 */
export function fdOfFile(task: KernelObject, file: bigint): number | undefined {
  return readable(() => {
    const table = task.tryDeref("files")?.tryDeref("fdt");
    if (table === undefined) return undefined;
    const count = Math.min(table.number("max_fds"), MAX_SEARCHED_FDS);
    const bytes = task.program.memory.read(table.pointer("fd"), count * 8);
    const view = viewOf(bytes);
    let found: number | undefined;
    for (let fd = 0; fd < count; fd++) {
      if (view.getBigUint64(fd * 8, true) !== file) continue;
      if (found !== undefined) return undefined;
      found = fd;
    }
    return found;
  });
}

/** `S_ISSOCK`, and on the file system of sockets: only there a socket is around the inode. */
function isSocketInode(inode: KernelObject): boolean {
  const mode = readable(() => inode.number("i_mode")) ?? 0;
  return fileKind(mode) === "socket_file" && fileSystemMagic(inode) === SOCKFS_MAGIC;
}

function fileSystemMagic(inode: KernelObject): bigint | undefined {
  return readable(() => inode.deref("i_sb").bigint("s_magic"));
}

/** `SOCKET_I()`: the socket that an inode is part of. */
function sockOfInode(inode: KernelObject): KernelObject {
  const part = { type: "socket_alloc", member: "vfs_inode" };
  return containerOf(inode.program, inode.address, part).deref("socket.sk");
}

function describeSocket(inode: KernelObject): JsonObject {
  const target: JsonObject = { kind: "socket" };
  const sock = readable(() => sockOfInode(inode));
  const family = sock && readable(() => sock.number("__sk_common.skc_family"));
  // A socket that was shut down for good has no `struct sock` any more.
  if (sock === undefined || family === undefined) return target;
  target.family = familyName(family);
  switch (family) {
    case AF_INET:
    case AF_INET6:
      putInternet(target, sock, family);
      break;
    case AF_UNIX:
      putUnix(target, sock);
      break;
  }
  return target;
}

/**
 * The addresses of an IPv4 or IPv6 socket, as getsockname(2) and getpeername(2) give them, but the
 * peer's also while it is being connected to and once it has gone, as long as the kernel keeps it.
 */
function putInternet(target: JsonObject, sock: KernelObject, family: number): void {
  const common = sock.embedded("__sk_common");
  const address = (member: string) =>
    readable(() => {
      if (family === AF_INET) return ipv4Text(common.bytes(`skc_${member}`));
      return ipv6Text(common.bytes(`skc_v6_${member}`));
    });
  const local = address("rcv_saddr");
  // The one port in host order (`struct sock_common` of `include/net/sock.h`).
  const localPort = readable(() => common.number("skc_num"));
  if (local !== undefined && localPort !== undefined) {
    target.local_addr = local;
    target.local_port = localPort;
  }
  const peer = address("daddr");
  const port = readable(() => common.bytes("skc_dport"));
  if (peer === undefined || port === undefined) return;
  const peerPort = port[0]! << 8 | port[1]!;
  if (peerPort === 0) return;
  target.addr = peer;
  target.port = peerPort;
}

function putUnix(target: JsonObject, sock: KernelObject): void {
  putUnixNameOf(target, "local_path", sock);
  // `unix_sock` is in a module's types where CONFIG_UNIX=m.
  const peer = readable(() => sock.as("unix_sock").tryDeref("peer"));
  if (peer !== undefined) putUnixNameOf(target, "path", peer);
}

/** The name that a unix socket is bound to; nothing for one without. */
function putUnixNameOf(target: JsonObject, key: string, sock: KernelObject): void {
  const name = readable(() => {
    const address = sock.as("unix_sock").tryDeref("addr");
    if (address === undefined) return undefined;
    const length = address.number("len");
    if (length < 2 || length > MAX_UNIX_ADDRESS) return undefined;
    const bytes = sock.program.memory.read(address.addressOf("name"), length);
    return parseSockaddr(bytes)?.path;
  });
  if (name !== undefined && name.length > 0) putUnixName(target, key, name);
}
