/** The fixtures: real images, compressed in `fixtures/`, unpacked in `.cache/fixtures/`. */
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { zstdDecompressSync } from "node:zlib";
import { ROOT } from "./paths.ts";

const CACHE = `${ROOT}.cache/fixtures`;

/** Names of the image fixtures, without `.zst`, in order. */
export function imageFixtures(): string[] {
  return globSync("*.{elf,raw}.zst", { cwd: `${ROOT}fixtures` }).sort()
    .map((name) => name.slice(0, -".zst".length));
}

/**
 * Unpacks a fixture, once for each state of it.
 *
 * @param name As {@linkcode imageFixtures} gives it.
 * @returns The path of the unpacked file.
 */
export function unpackFixture(name: string): string {
  const packed = readFileSync(`${ROOT}fixtures/${name}.zst`);
  const path = `${CACHE}/${name}`;
  const stamp = `${path}.sha`;
  const digest = packed.length + ":" + packed.subarray(-8).toString("hex");
  if (existsSync(path) && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return path;
  mkdirSync(CACHE, { recursive: true });
  // Tests run side by side: nobody may see half a file.
  const temporary = `${path}.${Deno.pid}`;
  writeFileSync(temporary, zstdDecompressSync(packed));
  renameSync(temporary, path);
  writeFileSync(stamp, digest);
  return path;
}
