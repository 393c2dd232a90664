import { fileURLToPath } from "node:url";

/** The shims, by the name of their C file. */
export const SHIMS = ["memory", "privileges", "capture"] as const;

/**
 * What the program carries besides itself, by the name of the file that the build makes: the shims,
 * the system's libraries that the capture shim needs, and the BPF object.
 */
export const LIBRARIES = {
  memory: "libiouring_memory.so",
  privileges: "libiouring_privileges.so",
  capture: "libiouring_capture.so",
  z: "libz.so.1",
  elf: "libelf.so.1",
  bpf: "libbpf.so.1",
  object: "iouring.bpf.o",
} as const;

/** Where each can be loaded from. */
export type LibraryPaths = Readonly<Record<keyof typeof LIBRARIES, string>>;

/**
 * Finds the native libraries. The launcher hands them over as memory files, and names their
 * descriptors in one argument before the user's (`memory=5`); no environment variable or search
 * path can point elsewhere. From source they lie where `deno task build` puts them.
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
  // `deno compile` copies what it embeds beside the bundle; the build puts them there too.
  const folder = form === "compile" ? "./" : "../.cache/build/";
  for (const [name, file] of Object.entries(LIBRARIES)) {
    paths[name] = fileURLToPath(new URL(`${folder}${file}`, import.meta.url));
  }
  return { libraries: paths as LibraryPaths, argv: args };
}
