/**
 * `deno task bench [IMAGE…]`: the time and memory of `dist/iouring scan`, the whole process, beside
 * `sha256sum` of the same file in the same run. The page cache is warm. Without arguments it takes
 * the dumps that the lab has made.
 *
 * @module
 */

import { globSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAM = `${ROOT}dist/iouring`;
const RUNS = 5;
const SAMPLE_MS = 2;

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Wall time of one run in ms. */
function time(command: string, args: string[]): number {
  const start = performance.now();
  const { success } = new Deno.Command(command, { args, stdout: "null", stderr: "null" })
    .outputSync();
  const duration = performance.now() - start;
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
  return duration;
}

/** Highest resident memory of one run in bytes, by kind, sampled. */
async function peakMemory(args: string[]): Promise<{ anon: number; shmem: number; file: number }> {
  const child = new Deno.Command(PROGRAM, { args, stdout: "null", stderr: "null" }).spawn();
  const peak = { anon: 0, shmem: 0, file: 0 };
  let running = true;
  const done = child.status.then(() => running = false);
  while (running) {
    const status = await Deno.readTextFile(`/proc/${child.pid}/status`).catch(() => "");
    for (const [, kind, kib] of status.matchAll(/^Rss(Anon|Shmem|File):\s+(\d+)/gm)) {
      const key = kind!.toLowerCase() as keyof typeof peak;
      peak[key] = Math.max(peak[key], Number(kib) * 1024);
    }
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  await done;
  return peak;
}

function row(...cells: (string | number)[]): void {
  const [first, ...rest] = cells.map(String);
  print(first!.padEnd(44) + rest.map((cell) => cell.padStart(12)).join(""));
}

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
const ms = (value: number) => `${value.toFixed(0)} ms`;

const start = Array.from({ length: RUNS }, () => time(PROGRAM, ["--version"]));
print(
  `iouring --version: median ${ms(median(start))} of ${RUNS}, file ${mb(statSync(PROGRAM).size)}\n`,
);

const images = Deno.args.length > 0
  ? Deno.args
  : globSync(".cache/lab/*/guest.elf", { cwd: ROOT }).sort().map((path) => ROOT + path);
if (images.length === 0) print("No image: run `deno task lab` first, or name one");
else row("image", "size", "scan", "sha256sum", "ratio", "own memory", "mapped");
for (const image of images) {
  const scans: number[] = [];
  const sums: number[] = [];
  time("sha256sum", [image]);
  for (let i = 0; i < RUNS; i++) {
    scans.push(time(PROGRAM, ["scan", image]));
    sums.push(time("sha256sum", [image]));
  }
  const { anon, shmem, file } = await peakMemory(["scan", image]);
  const scan = median(scans);
  const sum = median(sums);
  const name = image.split("/").slice(-2).join("/");
  const ratio = (scan / sum).toFixed(2);
  row(name, mb(statSync(image).size), ms(scan), ms(sum), ratio, mb(anon + shmem), mb(file));
}
