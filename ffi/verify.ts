import { type Digest, FileError } from "../lib/cli/host.ts";

/** Bytes read at a time. */
const CHUNK = 1 << 20;
/** Size of `struct entry` and `struct trailer` of launcher.c. */
const ENTRY_BYTES = 80;
const TRAILER_BYTES = 32;

/**
 * Digests the executable: each part that the launcher carries, and the whole file.
 *
 * @param form As in `BuildInfo`; only the launcher form is made of parts.
 * @throws {FileError} It cannot be read, or this is not an executable at all.
 */
export async function verifyExecutable(form: string): Promise<Digest[]> {
  const path = Deno.execPath();
  if (form === "source") throw new FileError("verify", path, "it runs from source");
  try {
    // Loading it takes as long as starting the rest of the program, which seldom needs it.
    const { createHash } = await import("node:crypto");
    const digest = (offset: number, length: number) => {
      const hash = createHash("sha256");
      for (let done = 0; done < length; done += CHUNK) {
        hash.update(read(file, offset + done, Math.min(CHUNK, length - done)));
      }
      return hash.digest("hex");
    };
    using file = await Deno.open("/proc/self/exe");
    const { size } = await file.stat();
    const parts = form === "launcher" ? readIndex(file, size) : [];
    const digests: Digest[] = parts.map(({ name, offset, length, built }) => ({
      part: name,
      sha256: digest(offset, length),
      built,
    }));
    digests.push({ part: path, sha256: digest(0, size) });
    return digests;
  } catch (error) {
    throw new FileError("verify", path, error instanceof Error ? error.message : String(error));
  }
}

interface Part {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  readonly built: string;
}

/** The index at the end of the file; the launcher has found it undamaged. */
function readIndex(file: Deno.FsFile, size: number): Part[] {
  const trailer = new DataView(read(file, size - TRAILER_BYTES, TRAILER_BYTES).buffer);
  const offset = Number(trailer.getBigUint64(16, true));
  const index = read(file, offset, trailer.getUint32(24, true) * ENTRY_BYTES);
  const parts: Part[] = [];
  for (let at = 0; at < index.length; at += ENTRY_BYTES) {
    const view = new DataView(index.buffer, at);
    parts.push({
      name: new TextDecoder().decode(index.subarray(at, at + 24)).replace(/\0.*/s, ""),
      offset: Number(view.getBigUint64(24, true)),
      length: Number(view.getBigUint64(32, true)),
      built: index.subarray(at + 48, at + 80).toHex(),
    });
  }
  return parts;
}

function read(file: Deno.FsFile, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) throw new Error("it is shorter than it was");
    done += count;
  }
  return bytes;
}
