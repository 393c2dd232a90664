import { loadMemoryLibrary, MappedImage } from "../../ffi/memory.ts";
import { locateLibraries } from "../../ffi/libraries.ts";

const library = loadMemoryLibrary(locateLibraries("source", []).libraries.memory);

/** Maps a file with the shim that `deno task build` made. */
export function openImage(path: string): MappedImage {
  return new MappedImage(library, path);
}

/** Runs `body` with a folder of its own, and removes it afterwards. */
export function withFolder(body: (folder: string) => void): void {
  const folder = Deno.makeTempDirSync({ prefix: "iouring_test_" });
  try {
    body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
