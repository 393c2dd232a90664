/**
 * What the shims are compiled against, and the libraries that go with them into the single file.
 *
 * A program needs a C library at least as new as the one it was linked with. So that the file runs
 * on Debian 11, both come from old releases, whatever the release of this machine: the C library
 * and libelf from Debian 11, libbpf, which there is too old, and zlib from Debian 12.
 *
 * @module
 */

import { DebianError, PrivateApt } from "./debian.ts";
import { LIBRARIES } from "./libraries.ts";

/** The libraries that the capture shim needs, by the path of the file to embed. */
export type SystemLibraries = Readonly<Record<"z" | "elf" | "bpf", string>>;

/** Where the compilers look for headers and libraries. */
export interface Sysroot {
  /** For `cc`; none where it looks on this machine. */
  readonly options: readonly string[];
  /** For `clang`, which compiles for no machine that has a C library. */
  readonly bpfOptions: readonly string[];
  readonly libraries: SystemLibraries;
  /** What Debian's packages say of themselves. */
  readonly docs: string;
}

const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  bullseye: ["libc6", "libc6-dev", "libelf1"],
  bookworm: ["libbpf1", "libbpf-dev", "zlib1g"],
};

/** The first line of the list of what was fetched. */
const WANTED = JSON.stringify(PACKAGES);

/** Where a package may put a library. */
const FOLDERS = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
/** The kernel's headers have nothing of the C library, and are this machine's. */
const KERNEL_HEADERS = ["/usr/include", "/usr/include/x86_64-linux-gnu"];

/** The list of what was fetched to `dir`, with versions; "" where it was not, or was other things. */
export async function sysrootPackages(dir: string): Promise<string> {
  const list = await Deno.readTextFile(`${dir}/list`).catch(() => "");
  return list.startsWith(WANTED) ? list : "";
}

async function fetchPackages(dir: string, log: (line: string) => void): Promise<void> {
  await Deno.remove(`${dir}/root`, { recursive: true }).catch(() => {});
  const packages = [];
  for (const [suite, names] of Object.entries(PACKAGES)) {
    const apt = new PrivateApt(`${dir}/${suite}`, suite, log);
    await apt.update();
    packages.push(...await apt.extract(names, `${dir}/root`));
  }
  // The linker looks for it by this name, and it is a link to where it would be installed.
  const linker = `${dir}/root/lib64/ld-linux-x86-64.so.2`;
  await Deno.remove(linker);
  await Deno.symlink("../lib/x86_64-linux-gnu/ld-2.31.so", linker);
  await Deno.writeTextFile(`${dir}/list`, [WANTED, ...packages].join("\n"));
}

/**
 * The old releases' packages, fetched once.
 *
 * @param path The folder where they are kept.
 * @throws {DebianError} They cannot be had.
 */
export async function fetchSysroot(path: string, log: (line: string) => void): Promise<Sysroot> {
  await Deno.mkdir(path, { recursive: true });
  const dir = await Deno.realPath(path);
  // Clones may share the folder.
  using lock = await Deno.open(`${dir}/lock`, { write: true, create: true });
  await lock.lock(true);
  if (await sysrootPackages(dir) === "") {
    log("Getting Debian 11's C library to link with, and libelf, libbpf and zlib to carry");
    await fetchPackages(dir, log);
  }
  const root = `${dir}/root`;
  const headers = KERNEL_HEADERS.flatMap((folder) => ["-idirafter", folder]);
  const find = async (name: "z" | "elf" | "bpf") => {
    for (const folder of FOLDERS) {
      const path = `${root}/${folder}/${LIBRARIES[name]}`;
      if (await Deno.stat(path).then(() => true, () => false)) return await Deno.realPath(path);
    }
    throw new DebianError(`Cannot get packages: none has ${LIBRARIES[name]}`);
  };
  return {
    options: [`--sysroot=${root}`, ...headers],
    bpfOptions: ["-isystem", `${root}/usr/include`],
    libraries: { z: await find("z"), elf: await find("elf"), bpf: await find("bpf") },
    docs: `${root}/usr/share/doc`,
  };
}
