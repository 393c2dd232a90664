import type { KernelObject } from "../../lib/kernel/program.ts";
import { FakeMachine, type FakeStructs, type FakeValue } from "../kernel/fake_machine.ts";

/** What the scan reads of files, mounts, sockets and processes, laid out as Linux 6.12 has it. */
export const STRUCTS: FakeStructs = {
  list_head: { next: "*list_head", prev: "*list_head" },
  hlist_bl_node: { next: "*hlist_bl_node", pprev: "*" },
  qstr: { word: { union: { parts: { hash: "u32", len: "u32" }, hash_len: "u64" } }, name: "*u8" },
  dentry_operations: { d_revalidate: "*", d_dname: "*" },
  file_system_type: { name: "*s8" },
  super_block: { s_magic: "u64", s_type: "*file_system_type" },
  dentry: {
    d_flags: "u32",
    d_hash: "hlist_bl_node",
    d_parent: "*dentry",
    d_name: "qstr",
    d_inode: "*inode",
    d_op: "*dentry_operations",
    d_sb: "*super_block",
    d_fsdata: "*",
  },
  vfsmount: { mnt_root: "*dentry", mnt_sb: "*super_block", mnt_flags: "s32" },
  mnt_namespace: { seq: "u64" },
  mount: {
    mnt_hash: "list_head",
    mnt_parent: "*mount",
    mnt_mountpoint: "*dentry",
    mnt: "vfsmount",
    mnt_ns: "*mnt_namespace",
  },
  path: { mnt: "*vfsmount", dentry: "*dentry" },
  xa_node: {
    shift: "u8",
    offset: "u8",
    count: "u8",
    nr_values: "u8",
    parent: "*",
    array: "*",
    private_list: "list_head",
    slots: "*[64]",
  },
  xarray: { xa_lock: "u32", xa_flags: "u32", xa_head: "*" },
  address_space: { host: "*inode", i_pages: "xarray" },
  inode: {
    i_mode: "u16",
    i_sb: "*super_block",
    i_mapping: "*address_space",
    i_ino: "u64",
    i_size: "s64",
    i_private: "*",
  },
  proc_ns_operations: { name: "*s8" },
  ns_common: { stashed: "*", ops: "*proc_ns_operations", inum: "u32" },
  cred_stub: { dummy: "u32" },
  file: {
    f_mode: "u32",
    f_mapping: "*address_space",
    private_data: "*",
    f_inode: "*inode",
    f_path: "path",
  },
  fdtable: { max_fds: "u32", fd: "*" },
  files_struct: { count: "u32", fdt: "*fdtable" },
  in6_addr: { in6_u: { union: { bytes: "u8[16]", words: "u32[4]" } } },
  sock_common: {
    addresses: { union: { skc_addrpair: "u64", pair: { skc_daddr: "u32", skc_rcv_saddr: "u32" } } },
    skc_hash: "u32",
    ports: { union: { skc_portpair: "u32", pair: { skc_dport: "u16", skc_num: "u16" } } },
    skc_family: "u16",
    skc_state: "u8",
    skc_v6_daddr: "in6_addr",
    skc_v6_rcv_saddr: "in6_addr",
  },
  sock: { __sk_common: "sock_common" },
  unix_address: { refcnt: "u32", len: "s32", name: "u8[0]" },
  unix_sock: { sk: "sock", addr: "*unix_address", path: "path", peer: "*sock" },
  socket: { state: "u32", file: "*file", sk: "*sock" },
  socket_alloc: { socket: "socket", vfs_inode: "inode" },
  page: { flags: "u64", lru: "list_head", mapping: "*address_space", index: "u64", rest: "u64[3]" },
  folio: { flags: "u64", lru: "list_head", mapping: "*address_space", index: "u64" },
  vm_area_struct: {
    vm_start: "u64",
    vm_end: "u64",
    vm_flags: "u64",
    vm_pgoff: "u64",
    vm_ops: "*",
    vm_file: "*file",
    vm_next: "*vm_area_struct",
  },
  mm_struct: {
    mmap: "*vm_area_struct",
    pgd: "*",
    arg_start: "u64",
    arg_end: "u64",
    saved_auxv: "u64[8]",
    exe_file: "*file",
  },
  kuid: { val: "u32" },
  cred: {
    uid: "kuid",
    gid: "kuid",
    euid: "kuid",
    egid: "kuid",
    cap_inheritable: "u32[2]",
    cap_permitted: "u32[2]",
    cap_effective: "u32[2]",
  },
  fs_struct: { users: "s32", root: "path", pwd: "path" },
  kernfs_node: { count: "u32", parent: "*kernfs_node", name: "*s8" },
  cgroup: { level: "s32", kn: "*kernfs_node" },
  cgroup_subsys_state: { cgroup: "*cgroup" },
  css_set: { subsys: "*[4]", dfl_cgrp: "*cgroup" },
  signal_struct: { nr_threads: "s32", thread_head: "list_head" },
  task_struct: {
    flags: "u32",
    tgid: "s32",
    real_parent: "*task_struct",
    mm: "*mm_struct",
    thread_node: "list_head",
    start_boottime: "u64",
    cred: "*cred",
    comm: "s8[16]",
    fs: "*fs_struct",
    files: "*files_struct",
    signal: "*signal_struct",
    loginuid: "kuid",
    self_exec_id: "u64",
    cgroups: "*css_set",
  },
};

const S_IFDIR = 0o040755;

/** A file system mounted somewhere. */
export interface FakeMount {
  readonly superBlock: KernelObject;
  readonly root: KernelObject;
  readonly mount: KernelObject;
}

/** A machine with a root file system, and what makes files in it. */
export class FakeKernel extends FakeMachine {
  readonly root: FakeMount;

  constructor(
    structs: FakeStructs = {},
    symbols: { [name: string]: bigint } = {},
    levels: 4 | 5 = 4,
  ) {
    const enums = {
      subsystems: { cpu_cgrp_id: 0, memory_cgrp_id: 1, pids_cgrp_id: 2, CGROUP_SUBSYS_COUNT: 3 },
    };
    super({ structs: { ...STRUCTS, ...structs }, enums, symbols, levels });
    this.root = this.mountFileSystem("ext4");
  }

  /** Mounts a new file system, on `at` of another mount where it is given. */
  mountFileSystem(
    type: string,
    { at, on, magic = 0xef53, namespace = true }: {
      at?: KernelObject;
      on?: FakeMount;
      magic?: number;
      namespace?: boolean;
    } = {},
  ): FakeMount {
    const superBlock = this.put("super_block", {
      s_magic: magic,
      s_type: this.put("file_system_type", { name: type }),
    });
    const root = this.dentry("/", { superBlock, mode: S_IFDIR });
    const mount = this.put("mount", {
      "mnt.mnt_root": root,
      mnt_ns: namespace ? this.put("mnt_namespace") : 0n,
    });
    this.set(mount, "mnt_parent", on?.mount ?? mount);
    this.set(mount, "mnt_mountpoint", at ?? root);
    return { superBlock, root, mount };
  }

  /** A dentry with an inode of its own, hashed; its own parent where none is given. */
  dentry(
    name: string | Uint8Array,
    { parent, superBlock, mode = 0o100644, ino = 1 }: {
      parent?: KernelObject;
      superBlock: KernelObject;
      mode?: number;
      ino?: number;
    },
  ): KernelObject {
    const bytes = typeof name === "string" ? new TextEncoder().encode(name) : name;
    const inode = this.put("inode", { i_mode: mode, i_sb: superBlock, i_ino: ino });
    const mapping = this.put("address_space", { host: inode });
    this.set(inode, "i_mapping", mapping);
    const dentry = this.put("dentry", {
      "d_name.len": bytes.length,
      "d_name.name": this.putBytes(Uint8Array.of(...bytes, 0)),
      "d_hash.pprev": 0xffff888000001000n,
      d_sb: superBlock,
      d_inode: inode,
    });
    this.set(dentry, "d_parent", parent ?? dentry);
    return dentry;
  }

  /** The dentry of a path below the root of a mount, its directories made anew. */
  walk(path: string, { root, superBlock }: FakeMount = this.root): KernelObject {
    return path.split("/").filter(Boolean).reduce(
      (parent, name) => this.dentry(name, { parent, superBlock }),
      root,
    );
  }

  /** A `struct path`. */
  path(dentry: KernelObject, { mount }: FakeMount = this.root): KernelObject {
    return this.put("path", { mnt: mount.addressOf("mnt"), dentry });
  }

  /** An open file. */
  file(dentry: KernelObject, { mount }: FakeMount = this.root): KernelObject {
    const inode = dentry.deref("d_inode");
    return this.put("file", {
      f_inode: inode,
      f_mapping: inode.pointer("i_mapping"),
      "f_path.mnt": mount.addressOf("mnt"),
      "f_path.dentry": dentry,
    });
  }

  /** The dentry of a file without a place, as `alloc_file_pseudo()` makes it. */
  pseudoDentry(
    name: string,
    { superBlock }: FakeMount,
    { mode = 0o100600, ino = 1 }: { mode?: number; ino?: number } = {},
  ): KernelObject {
    const dentry = this.dentry(name, { superBlock, mode, ino });
    this.set(dentry, "d_op", this.put("dentry_operations", { d_dname: 0xffffffff81001000n }));
    this.set(dentry, "d_hash.pprev", 0n);
    return dentry;
  }

  /** An open socket. */
  socket(family: number, values: { readonly [path: string]: FakeValue } = {}): KernelObject {
    const sockets = this.mountFileSystem("sockfs", { magic: 0x534f434b, namespace: false });
    const sock = this.sock(family, values);
    const around = this.put("socket_alloc", {
      "socket.sk": sock,
      "vfs_inode.i_mode": 0o140777,
      "vfs_inode.i_sb": sockets.superBlock,
      "vfs_inode.i_ino": 77,
    });
    const dentry = this.pseudoDentry("", sockets);
    this.set(dentry, "d_inode", around.addressOf("vfs_inode"));
    const file = this.file(dentry, sockets);
    this.set(file, "f_inode", around.addressOf("vfs_inode"));
    return file;
  }

  /** A `struct sock`, of a unix socket with its own struct around it. */
  sock(family: number, values: { readonly [path: string]: FakeValue } = {}): KernelObject {
    return family === 1
      ? this.put("unix_sock", { "sk.__sk_common.skc_family": family, ...values })
      : this.put("sock", { "__sk_common.skc_family": family, ...values });
  }
}
