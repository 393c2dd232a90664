import assert from "node:assert/strict";
import { type PathName, pathOf, pathOfFile } from "../../lib/scan/file_paths.ts";
import { FakeKernel } from "./fake_kernel.ts";

function texts({ bytes, ...flags }: PathName) {
  return { text: new TextDecoder().decode(bytes), ...flags };
}

const PLAIN = { deleted: false, complete: true, pseudo: false };

Deno.test("pathOf() walks up to the root", () => {
  const kernel = new FakeKernel();
  const dentry = kernel.walk("/usr/bin/workload");
  assert.deepEqual(texts(pathOf(kernel.program, kernel.path(dentry))), {
    text: "/usr/bin/workload",
    ...PLAIN,
  });
  const root = kernel.path(kernel.root.root);
  assert.deepEqual(texts(pathOf(kernel.program, root)), { text: "/", ...PLAIN });
});

Deno.test("pathOf() keeps names that are not text", () => {
  const kernel = new FakeKernel();
  const { superBlock, root } = kernel.root;
  const dentry = kernel.dentry(Uint8Array.of(0x61, 0x0a, 0xff), { parent: root, superBlock });
  const { bytes } = pathOf(kernel.program, kernel.path(dentry));
  assert.deepEqual(bytes, Uint8Array.of(0x2f, 0x61, 0x0a, 0xff));
});

Deno.test("pathOf() crosses mounts", () => {
  const kernel = new FakeKernel();
  const home = kernel.mountFileSystem("xfs", { at: kernel.walk("/mnt/home"), on: kernel.root });
  const inner = kernel.mountFileSystem("tmpfs", { at: kernel.walk("/me/tmp", home), on: home });
  const file = kernel.file(kernel.walk("/a/b", inner), inner);
  assert.deepEqual(texts(pathOfFile(file)), { text: "/mnt/home/me/tmp/a/b", ...PLAIN });
  const top = kernel.file(inner.root, inner);
  assert.deepEqual(texts(pathOfFile(top)), { text: "/mnt/home/me/tmp", ...PLAIN });
});

Deno.test("pathOf() stops at the root that it is given", () => {
  const kernel = new FakeKernel();
  const jail = kernel.walk("/srv/jail");
  const { superBlock } = kernel.root;
  const dentry = kernel.dentry("sh", { parent: jail, superBlock });
  const path = kernel.path(dentry);
  assert.equal(texts(pathOf(kernel.program, path, kernel.path(jail))).text, "/sh");
  assert.equal(texts(pathOf(kernel.program, path)).text, "/srv/jail/sh");
});

Deno.test("pathOf() tells unlinked files", () => {
  const kernel = new FakeKernel();
  const dentry = kernel.walk("/tmp/gone");
  kernel.set(dentry, "d_hash.pprev", 0n);
  const path = kernel.path(dentry);
  assert.deepEqual(texts(pathOf(kernel.program, path)), {
    text: "/tmp/gone",
    deleted: true,
    complete: true,
    pseudo: false,
  });
});

Deno.test("pathOf() gives the end of a path whose start cannot be had", () => {
  const kernel = new FakeKernel();
  const cut = (text: string) => ({ text, deleted: false, complete: false, pseudo: false });
  const of = (dentry: Parameters<FakeKernel["path"]>[0], mount = kernel.root) =>
    texts(pathOf(kernel.program, kernel.path(dentry, mount)));

  const unreadable = kernel.walk("/a/b/c");
  kernel.set(unreadable.deref("d_parent").deref("d_parent"), "d_parent", 0xffff8880dead0000n);
  assert.deepEqual(of(unreadable), cut("a/b/c"));

  const looping = kernel.walk("/x/y");
  kernel.set(looping.deref("d_parent"), "d_parent", looping);
  assert.deepEqual(of(looping), cut("x/y"));

  const detached = kernel.mountFileSystem("tmpfs", { namespace: false });
  assert.deepEqual(of(kernel.walk("/gone/away", detached), detached), cut("gone/away"));

  const elsewhere = kernel.mountFileSystem("tmpfs");
  assert.deepEqual(of(kernel.walk("/escaped", elsewhere)), cut("escaped"));

  const endless = kernel.walk("/e");
  kernel.set(endless, "d_name.len", 0xffffffff);
  assert.ok(of(endless).text.length < 4096);
  kernel.set(endless, "d_name.name", 1n);
  assert.deepEqual(of(endless), cut(""));
});

Deno.test("pathOf() names mounts that loop", () => {
  const kernel = new FakeKernel();
  const first = kernel.mountFileSystem("a", { at: kernel.walk("/m"), on: kernel.root });
  const second = kernel.mountFileSystem("b", { at: kernel.walk("/n", first), on: first });
  kernel.set(first.mount, "mnt_parent", second.mount);
  kernel.set(first.mount, "mnt_mountpoint", second.root);
  assert.equal(pathOf(kernel.program, kernel.path(second.root, second)).complete, false);
});

Deno.test("pathOf() makes up the names that the kernel makes up", () => {
  const kernel = new FakeKernel();
  const cases = [
    ["sockfs", "", "socket:[4711]", false],
    ["pipefs", "", "pipe:[4711]", false],
    ["anon_inodefs", "[io_uring]", "anon_inode:[io_uring]", false],
    ["pidfs", "", "anon_inode:[pidfd]", false],
    ["dmabuf", "dmabuf", "/dmabuf:", false],
    ["tmpfs", "memfd:evil", "/memfd:evil", true],
    ["secretmem", "secretmem", "/secretmem", true],
  ] as const;
  for (const [type, name, text, deleted] of cases) {
    const mount = kernel.mountFileSystem(type, { namespace: false });
    const file = kernel.file(kernel.pseudoDentry(name, mount, { ino: 4711 }), mount);
    const expected = { text, deleted, complete: true, pseudo: true };
    assert.deepEqual(texts(pathOfFile(file)), expected, type);
  }
});

Deno.test("pathOf() names namespaces, and the place where one is bound", () => {
  const kernel = new FakeKernel();
  const mount = kernel.mountFileSystem("nsfs", { at: kernel.walk("/run/ns"), on: kernel.root });
  const dentry = kernel.pseudoDentry("", mount, { ino: 4026531840 });
  const namespace = kernel.put("ns_common", {
    ops: kernel.put("proc_ns_operations", { name: "net" }),
  });
  kernel.set(dentry.deref("d_inode"), "i_private", namespace);
  assert.equal(texts(pathOfFile(kernel.file(dentry, mount))).text, "net:[4026531840]");
  kernel.set(mount.mount, "mnt.mnt_root", dentry);
  assert.equal(texts(pathOfFile(kernel.file(dentry, mount))).text, "/run/ns");
});
