import { containerOf, type KernelObject, type Program } from "../kernel/program.ts";
import { joinNames } from "../uapi/path_bytes.ts";
import { untilNul } from "../uapi/text.ts";
import { readable } from "./diagnostics.ts";

/** The name of an open file or directory, as `d_path()` of `fs/d_path.c` gives it. */
export interface PathName {
  /**
   * The path, absolute unless `complete` is false; may hold any bytes but NUL. Without the
   * ` (deleted)` that the kernel appends.
   */
  readonly bytes: Uint8Array;
  /** It was unlinked, or never had a link: a memfd, an O_TMPFILE. */
  readonly deleted: boolean;
  /**
   * False where the walk to the root was cut short, by memory that cannot be read or by a mount
   * that hangs in no mount namespace: what is there is the end of the path.
   */
  readonly complete: boolean;
  /** The file has no place in a file system: `socket:[1234]`, `/memfd:name`. */
  readonly pseudo: boolean;
}

/** Longest path that is put together, bytes: two times what a system call takes. */
const MAX_PATH = 8192;
/** Names and mounts on the way to the root. */
const MAX_STEPS = MAX_PATH / 2 + 256;
/** File systems allow 255; the names of anonymous files are not longer either. */
const MAX_NAME = 1024;
/** `MAX_ERRNO`: a pointer this close to the end is an error number. */
const FIRST_ERROR_POINTER = 2n ** 64n - 4095n;

const ENCODER = new TextEncoder();

/**
 * The path of a `struct path`: from the root of its mount namespace, or from `root`, another
 * `struct path`, where it lies below that. Never throws.
 */
export function pathOf(program: Program, path: KernelObject, root?: KernelObject): PathName {
  const pseudo = readable(() => pseudoName(path));
  if (pseudo !== undefined) return { ...pseudo, complete: true, pseudo: true };
  return { ...walkToRoot(program, path, root), pseudo: false };
}

/** The path of an open `struct file`, or an incomplete empty one where there is none. */
export function pathOfFile(file: KernelObject): PathName {
  const path = readable(() => file.embedded("f_path"));
  if (path === undefined) return NOTHING;
  return pathOf(file.program, path);
}

const NOTHING: PathName = {
  bytes: new Uint8Array(),
  deleted: false,
  complete: false,
  pseudo: false,
};

/** `prepend_path()`: names from the file up to the root, through the mounts in between. */
function walkToRoot(
  program: Program,
  path: KernelObject,
  root: KernelObject | undefined,
): Omit<PathName, "pseudo"> {
  const names: Uint8Array[] = [];
  let length = 0;
  let deleted = false;
  const cut = () => ({ bytes: joinNames(names).subarray(1), deleted, complete: false });
  const done = () => ({ bytes: joinNames(names), deleted, complete: true });

  const walked = readable(() => {
    let dentry = path.deref("dentry");
    let mount = mountOf(program, path.pointer("mnt"));
    // `d_unlinked()`: not in the hash, and not the root of a file system.
    deleted = dentry.pointer("d_hash.pprev") === 0n &&
      dentry.pointer("d_parent") !== dentry.address;
    const rootDentry = root?.pointer("dentry");
    const rootMount = root?.pointer("mnt");
    const seen = new Set<string>();
    for (let step = 0; step < MAX_STEPS; step++) {
      const vfsmount = mount.embedded("mnt");
      if (dentry.address === rootDentry && vfsmount.address === rootMount) return done();
      const here = `${dentry.address} ${mount.address}`;
      if (seen.has(here)) return cut();
      seen.add(here);
      if (dentry.address === vfsmount.pointer("mnt_root")) {
        const parent = mount.pointer("mnt_parent");
        // The top of all mounts; a mount taken out of its namespace (`umount -l`) ends here too.
        if (parent === mount.address) return isMounted(mount) ? done() : cut();
        dentry = mount.deref("mnt_mountpoint");
        mount = program.object("mount", parent);
        continue;
      }
      const parent = dentry.deref("d_parent");
      // The root of a file system that is not the root of its mount: the file was moved out of
      // what is mounted here.
      if (parent.address === dentry.address) return cut();
      const name = dentryName(dentry);
      length += name.length + 1;
      if (length > MAX_PATH) return cut();
      names.push(name);
      dentry = parent;
    }
    return cut();
  });
  return walked ?? cut();
}

/** The `struct mount` around a `struct vfsmount` (`real_mount()` of `fs/mount.h`). */
function mountOf(program: Program, vfsmount: bigint): KernelObject {
  return containerOf(program, vfsmount, { type: "mount", member: "mnt" });
}

/** `is_mounted()`: it hangs in a mount namespace that is not the kernel's own. */
function isMounted(mount: KernelObject): boolean {
  const namespace = mount.pointer("mnt_ns");
  return namespace !== 0n && namespace < FIRST_ERROR_POINTER;
}

function dentryName(dentry: KernelObject): Uint8Array {
  const length = Math.min(dentry.number("d_name.len"), MAX_NAME);
  return untilNul(dentry.program.memory.read(dentry.pointer("d_name.name"), length));
}

/**
 * The name of a file that makes its own (`dentry_operations.d_dname`), or undefined where it is an
 * ordinary one. The file system tells which function it is, so that no symbol is needed.
 */
function pseudoName(path: KernelObject): { bytes: Uint8Array; deleted: boolean } | undefined {
  const dentry = path.deref("dentry");
  const operations = dentry.tryDeref("d_op");
  if (operations === undefined || operations.pointer("d_dname") === 0n) return undefined;
  // `d_path()` makes a name up unless this is the root of a mount, as of a bound namespace file.
  const isRoot = dentry.pointer("d_parent") === dentry.address;
  if (isRoot && path.deref("mnt").pointer("mnt_root") === dentry.address) return undefined;
  const name = dentryName(dentry);
  const named = (text: string) => ({ bytes: ENCODER.encode(text), deleted: false });
  const inode = () => dentry.deref("d_inode").bigint("i_ino");
  switch (fileSystemOf(dentry)) {
    case "sockfs":
      return named(`socket:[${inode()}]`);
    case "pipefs":
      return named(`pipe:[${inode()}]`);
    case "anon_inodefs":
      return { bytes: concat(ENCODER.encode("anon_inode:"), name), deleted: false };
    case "pidfs":
      // Linux 6.9 moved pidfds from the shared anonymous inode to a file system that keeps the name.
      return named("anon_inode:[pidfd]");
    case "nsfs":
      return named(`${namespaceName(dentry)}:[${inode()}]`);
    case "dmabuf":
      return { bytes: concat(ENCODER.encode("/dmabuf:"), bufferName(dentry)), deleted: false };
    default:
      // `simple_dname()`: memfds and System V segments (tmpfs, hugetlbfs), secretmem.
      return { bytes: concat(ENCODER.encode("/"), name), deleted: true };
  }
}

/** The name of a dentry's file system type: `ext4`. */
function fileSystemOf(dentry: KernelObject): string {
  return new TextDecoder("latin1").decode(dentry.deref("d_sb").deref("s_type").string("name"));
}

/** `mnt`, `net` and so on: the namespace that an inode of nsfs stands for (`ns_get_name()`). */
function namespaceName(dentry: KernelObject): string {
  const namespace = dentry.deref("d_inode").derefAs("i_private", "ns_common");
  const name = namespace?.deref("ops").string("name") ?? new Uint8Array();
  return new TextDecoder("latin1").decode(name.subarray(0, 32));
}

/** The name that a dma-buf was given, mostly none (`dmabuffs_dname()` of `drivers/dma-buf`). */
function bufferName(dentry: KernelObject): Uint8Array {
  const name = readable(() => dentry.derefAs("d_fsdata", "dma_buf")?.string("name"));
  return name?.subarray(0, MAX_NAME) ?? new Uint8Array();
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
