/**
 * What `capture | filter` holds, both processes, idle and under load:
 * `deno run -A test/bench/memory.ts`. Own memory is what no file backs; the rest is the executable
 * and the C library, shared with whoever else runs them.
 *
 * @module
 */

import { cannotCapture } from "../live/capture.ts";
import { buildWorkload } from "../live/workload.ts";
import { PROGRAM } from "../paths.ts";
import { mb, print } from "../report.ts";

/** Requests a second, and for how many seconds. */
const RATE = 50_000;
const SECONDS = 10;
const SAMPLE_MS = 50;

interface Held {
  readonly own: number;
  readonly file: number;
}

async function held(pid: number): Promise<Held> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const bytes = (kind: string) =>
    Number(new RegExp(`^Rss${kind}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { own: bytes("Anon") + bytes("Shmem"), file: bytes("File") };
}

const text = ({ own, file }: Held) => `${mb(own)} own, ${mb(file)} of files`;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function main(): Promise<void> {
  const reason = await cannotCapture();
  if (reason !== undefined) {
    print(`Skipped: capture | filter (${reason})`);
    return;
  }
  const workload = await buildWorkload();
  const capture = new Deno.Command(PROGRAM, {
    args: ["capture", "--format", "ndjson"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const filter = new Deno.Command(PROGRAM, {
    args: ["filter", "--format", "ndjson"],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const piped = capture.stdout.pipeTo(filter.stdin);
  await sleep(3000);
  const idle = [await held(capture.pid), await held(filter.pid)];

  let running = true;
  const load = new Deno.Command(workload, {
    args: ["nop", String(RATE * SECONDS), String(RATE)],
    stdout: "null",
  }).output().finally(() => running = false);
  const peak: Held[] = [{ own: 0, file: 0 }, { own: 0, file: 0 }];
  while (running) {
    for (const [i, { pid }] of [capture, filter].entries()) {
      const { own, file } = await held(pid);
      peak[i] = { own: Math.max(peak[i]!.own, own), file: Math.max(peak[i]!.file, file) };
    }
    await sleep(SAMPLE_MS);
  }
  await load;
  capture.kill("SIGINT");
  await Promise.all([capture.status, piped, filter.status]);
  for (const [i, name] of ["capture", "filter"].entries()) {
    print(`${name}: idle ${text(idle[i]!)}; at ${RATE}/s at most ${text(peak[i]!)}`);
  }
  print(`capture | filter together at most ${mb(peak[0]!.own + peak[1]!.own)} own`);
}

await main();
