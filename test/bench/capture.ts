/**
 * What the live capture costs and bears, on this machine: `deno run -A test/bench/capture.ts`.
 *
 * Rows with and without a capture are taken in turns, and the median of five is given. The capture
 * writes into a pipe to `cat >/dev/null`.
 *
 * @module
 */

import { buildWorkload } from "../live/workload.ts";

const PROGRAM = new URL("../../dist/iouring", import.meta.url).pathname;
const ROUNDS = Number(Deno.args[0] ?? 5);
/** Requests of a run at full speed. */
const COUNT = Number(Deno.args[1] ?? 2_000_000);
/** Seconds of a paced run. */
const SECONDS = Number(Deno.args[2] ?? 30);

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

interface Run {
  submitted: number;
  seconds: number;
}

async function workload(...args: string[]): Promise<Run> {
  const { stdout } = await new Deno.Command(await buildWorkload(), { args: ["nop", ...args] })
    .output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

interface Totals {
  events: number;
  lost: number;
  /** CPU seconds of the capture. */
  cpu: number;
}

/** Runs `work` beside a capture with these arguments. */
async function beside<T>(args: string[], work: () => Promise<T>): Promise<[T, Totals]> {
  const end = await Deno.makeTempFile();
  // The end record is kept, the rest goes where the benchmark says.
  const script = `"$0" capture --format ndjson "$@" 2>/dev/null | tee >(tail -n 1 > ${end}) | ` +
    "cat > /dev/null; times";
  const capture = new Deno.Command("bash", {
    args: ["-c", `set -m; ${script}`, PROGRAM, ...args],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const result = await work();
  const { stdout } = await capture.output();
  const [, children = ""] = new TextDecoder().decode(stdout).trim().split("\n");
  const cpu = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
    .reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
  const { totals } = JSON.parse(await Deno.readTextFile(end));
  await Deno.remove(end);
  return [result, { ...totals, cpu }];
}

const perRequest = ({ submitted, seconds }: Run) => seconds * 1e9 / submitted;

async function main(): Promise<void> {
  const cases: [name: string, op: string, args: string[]][] = [
    ["NOP", "nop", []],
    ["OPENAT", "openat", []],
    ["READ", "read", []],
    ["NOP, turned away by --opcode", "nop", ["--opcode", "connect"]],
  ];
  for (const [name, op, args] of cases) {
    const without: number[] = [];
    const withCapture: number[] = [];
    let told = "";
    for (let round = 0; round < ROUNDS; round++) {
      without.push(perRequest(await workload(String(COUNT), "0", op)));
      const seconds = String(Math.ceil(COUNT * without.at(-1)! / 1e9) * 6 + 4);
      const [run, totals] = await beside(
        ["-d", seconds, ...args],
        () => workload(String(COUNT), "0", op),
      );
      withCapture.push(perRequest(run));
      const sum = totals.events + totals.lost;
      told = `${totals.events} arrived, ${totals.lost} lost` +
        (args.length > 0 || sum === run.submitted ? "" : `, of ${run.submitted}: NOT EXACT`);
    }
    const added = median(withCapture) - median(without);
    print(
      `${name}: ${median(without).toFixed(0)} ns without, ${
        median(withCapture).toFixed(0)
      } with, ` +
        `${added.toFixed(0)} added (${told})`,
    );
  }
  for (const rate of [100_000, 200_000, 300_000, 500_000]) {
    const [run, totals] = await beside(
      ["-d", String(SECONDS + 4)],
      () => workload(String(rate * SECONDS), String(rate)),
    );
    print(
      `paced ${rate}/s for ${run.seconds.toFixed(1)} s: ${totals.events} arrived, ` +
        `${totals.lost} lost, ${(100 * totals.cpu / run.seconds).toFixed(0)} % of a CPU`,
    );
    if (totals.lost > 0) break;
  }
}

await main();
