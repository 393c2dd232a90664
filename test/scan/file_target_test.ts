import assert from "node:assert/strict";
import type { KernelObject } from "../../lib/kernel/program.ts";
import { describeFile, fileOfFd, isSocket } from "../../lib/scan/file_target.ts";
import { FakeKernel } from "./fake_kernel.ts";
import { u64 } from "../kernel/fake_machine.ts";

Deno.test("describeFile() tells kinds of files", () => {
  const kernel = new FakeKernel();
  const { superBlock, root } = kernel.root;
  const of = (name: string, mode: number) =>
    describeFile(kernel.file(kernel.dentry(name, { parent: root, superBlock, mode })));
  assert.deepEqual(of("f", 0o100644), { kind: "file", path: "/f" });
  assert.deepEqual(of("d", 0o040755), { kind: "directory", path: "/d" });
  assert.deepEqual(of("c", 0o020600), { kind: "char_device", path: "/c" });
  assert.deepEqual(of("b", 0o060600), { kind: "block_device", path: "/b" });
  assert.deepEqual(of("p", 0o010600), { kind: "pipe", path: "/p" });
  assert.deepEqual(of("s", 0o140600), { kind: "socket_file", path: "/s" });
  assert.deepEqual(of("o", 0o000600), { kind: "other", path: "/o" });
});

Deno.test("describeFile() gives the bytes of a path that is not text", () => {
  const kernel = new FakeKernel();
  const { superBlock, root } = kernel.root;
  const dentry = kernel.dentry(Uint8Array.of(0xfe), { parent: root, superBlock });
  kernel.set(dentry, "d_hash.pprev", 0n);
  assert.deepEqual(describeFile(kernel.file(dentry)), {
    kind: "file",
    path: "/\ufffd",
    path_hex: "2ffe",
    deleted: true,
  });
});

Deno.test("describeFile() tells anonymous inodes, pipes and memfds", () => {
  const kernel = new FakeKernel();
  const of = (type: string, magic: number, name: string, mode: number) => {
    const mount = kernel.mountFileSystem(type, { magic, namespace: false });
    return describeFile(kernel.file(kernel.pseudoDentry(name, mount, { mode, ino: 9 }), mount));
  };
  assert.deepEqual(of("anon_inodefs", 0x09041934, "[io_uring]", 0o600), {
    kind: "anon_inode",
    name: "[io_uring]",
  });
  assert.deepEqual(of("pidfs", 0x50494446, "", 0o100700), { kind: "anon_inode", name: "[pidfd]" });
  assert.deepEqual(of("pipefs", 0x50495045, "", 0o010600), { kind: "pipe", path: "pipe:[9]" });
  assert.deepEqual(of("tmpfs", 0x01021994, "memfd:x", 0o100777), {
    kind: "file",
    path: "/memfd:x",
    deleted: true,
  });
});

Deno.test("describeFile() says that a path is not whole", () => {
  const kernel = new FakeKernel();
  const dentry = kernel.walk("/a/b");
  kernel.set(dentry.deref("d_parent"), "d_parent", 8n);
  const file = kernel.file(dentry);
  assert.deepEqual(describeFile(file), { kind: "file", path: "a/b", partial: true });
  kernel.set(file, "f_inode", 8n);
  assert.equal(describeFile(file), undefined);
  assert.equal(isSocket(file), false);
});

Deno.test("describeFile() gives the addresses of IPv4 sockets", () => {
  const kernel = new FakeKernel();
  const values = {
    "__sk_common.skc_rcv_saddr": Uint8Array.of(127, 0, 0, 1),
    "__sk_common.skc_num": 40000,
  };
  const local = { kind: "socket", family: "AF_INET", local_addr: "127.0.0.1", local_port: 40000 };
  const file = kernel.socket(2, values);
  assert.equal(isSocket(file), true);
  assert.deepEqual(describeFile(file), local);
  const connected = kernel.socket(2, {
    ...values,
    "__sk_common.skc_daddr": Uint8Array.of(203, 0, 113, 7),
    "__sk_common.skc_dport": Uint8Array.of(0x11, 0x5c),
  });
  assert.deepEqual(describeFile(connected), { ...local, addr: "203.0.113.7", port: 4444 });
});

Deno.test("describeFile() gives the addresses of IPv6 sockets", () => {
  const kernel = new FakeKernel();
  const daddr = new Uint8Array(16);
  daddr.set([0x20, 0x01, 0x0d, 0xb8]);
  daddr[15] = 5;
  const file = kernel.socket(10, {
    "__sk_common.skc_v6_daddr": daddr,
    "__sk_common.skc_dport": Uint8Array.of(0x01, 0xbb),
    "__sk_common.skc_num": 1,
  });
  assert.deepEqual(describeFile(file), {
    kind: "socket",
    family: "AF_INET6",
    local_addr: "::",
    local_port: 1,
    addr: "2001:db8::5",
    port: 443,
  });
});

Deno.test("describeFile() gives the names of unix sockets", () => {
  const kernel = new FakeKernel();
  const address = (name: string): KernelObject => {
    const bytes = new TextEncoder().encode(name);
    const sockaddr = Uint8Array.of(1, 0, ...bytes);
    const at = kernel.allocate(8 + sockaddr.length);
    const object = kernel.program.object("unix_address", at);
    kernel.set(object, "len", sockaddr.length);
    kernel.write(object.addressOf("name"), sockaddr);
    return object;
  };
  const peer = kernel.sock(1, { addr: address("\0agent") });
  const file = kernel.socket(1, { addr: address("/run/a.sock\0"), peer });
  assert.deepEqual(describeFile(file), {
    kind: "socket",
    family: "AF_UNIX",
    local_path: "/run/a.sock",
    path: "@agent",
  });
  assert.deepEqual(describeFile(kernel.socket(1)), { kind: "socket", family: "AF_UNIX" });
  const broken = address("x");
  kernel.set(broken, "len", 1 << 30);
  assert.deepEqual(describeFile(kernel.socket(1, { addr: broken, peer: 8n })), {
    kind: "socket",
    family: "AF_UNIX",
  });
});

Deno.test("describeFile() names the family of other sockets", () => {
  const kernel = new FakeKernel();
  assert.deepEqual(describeFile(kernel.socket(16)), { kind: "socket", family: "AF_NETLINK" });
  const file = kernel.socket(2);
  const around = kernel.program.object(
    "socket_alloc",
    file.pointer("f_inode") - BigInt(kernel.program.offsetOf("socket_alloc", "vfs_inode")),
  );
  kernel.set(around, "socket.sk", 0n);
  assert.deepEqual(describeFile(file), { kind: "socket" });
});

Deno.test("fileOfFd() stays within the table", () => {
  const kernel = new FakeKernel();
  const file = kernel.file(kernel.walk("/f"));
  const slots = kernel.putBytes(Uint8Array.of(...u64(0n), ...u64(file.address), ...u64(1n)));
  const table = kernel.put("fdtable", { max_fds: 2, fd: slots });
  const task = kernel.put("task_struct", { files: kernel.put("files_struct", { fdt: table }) });
  assert.equal(fileOfFd(task, 1)?.address, file.address);
  for (const fd of [0, 2, -1, 1.5, 2 ** 40, NaN]) assert.equal(fileOfFd(task, fd), undefined);
  assert.equal(fileOfFd(kernel.put("task_struct"), 0), undefined);
  kernel.set(table, "max_fds", 0xffffffff);
  assert.equal(fileOfFd(task, 0x7fffffff), undefined);
});
