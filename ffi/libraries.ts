/** The shims, by the name of their C file. */
export const SHIMS = ["memory", "privileges", "signals", "lines", "capture"] as const;

/**
 * What the program carries besides itself, by the name of the file that the build makes: the shims,
 * the system's libraries that the capture shim needs, the BPF object, and the licenses of it all.
 */
export const LIBRARIES = {
  memory: "libiouring_memory.so",
  privileges: "libiouring_privileges.so",
  signals: "libiouring_signals.so",
  lines: "libiouring_lines.so",
  capture: "libiouring_capture.so",
  z: "libz.so.1",
  elf: "libelf.so.1",
  bpf: "libbpf.so.1",
  object: "iouring.bpf.o",
  notices: "notices.txt",
} as const;

/** Where each can be loaded from. */
export type LibraryPaths = Readonly<Record<keyof typeof LIBRARIES, string>>;

/**
 * Finds the native libraries. The launcher hands them over as memory files, and names their
 * descriptors in one argument before the user's (`memory=5`); no environment variable or search
 * path can point elsewhere. What `deno compile` embeds is put into memory files here. From source
 * they lie where `deno task build` puts them.
 *
 * @param form `launcher`, `compile` or `source`.
 * @param args The process's arguments.
 * @returns The paths, and the arguments that are the user's.
 */
export function locateLibraries(
  form: string,
  args: readonly string[],
): { libraries: LibraryPaths; argv: readonly string[] } {
  const paths: Record<string, string> = {};
  if (form === "launcher") {
    for (const pair of args[0]!.split(",")) {
      const [name, fd] = pair.split("=");
      paths[name!] = `/proc/self/fd/${fd}`;
    }
    return { libraries: paths as LibraryPaths, argv: args.slice(1) };
  }
  for (const [name, file] of Object.entries(LIBRARIES)) {
    paths[name] = form === "compile"
      ? memoryFile(file, Deno.readFileSync(new URL(`./${file}`, Deno.mainModule)))
      // Not by node:url: to load Node's modules takes longer than to start everything else.
      : `${import.meta.dirname}/../.cache/build/${file}`;
  }
  return { libraries: paths as LibraryPaths, argv: args };
}

const LIBC = {
  // int memfd_create(const char *name, unsigned int flags)
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** From memfd_create(2): since Linux 6.3 a sysctl may demand that executability is stated. */
const MFD_EXEC = 0x10;

/**
 * A file in memory with these bytes. `deno compile` would write a library that it embeds to a
 * folder for temporary files, and load it from there.
 *
 * @returns The path, which is this process's own.
 */
export function memoryFile(name: string, bytes: Uint8Array): string {
  const { memfd_create } = Deno.dlopen("libc.so.6", LIBC).symbols;
  const cName = new TextEncoder().encode(`${name}\0`);
  let fd = memfd_create(cName, MFD_EXEC);
  if (fd < 0) fd = memfd_create(cName, 0);
  if (fd < 0) throw new Error("Cannot start: memory files are needed (memfd_create)");
  const path = `/proc/self/fd/${fd}`;
  Deno.writeFileSync(path, bytes);
  return path;
}
