/**
 * What the live capture costs and bears, on this machine: `deno run -A test/bench/capture.ts`.
 *
 * Rows with and without a capture are taken in turns, and the median of five is given. The capture
 * writes into a pipe to `cat >/dev/null`.
 *
 * @module
 */

import { buildWorkload } from "../live/workload.ts";
import { PROGRAM } from "../paths.ts";
import { median, print } from "../report.ts";

const ROUNDS = Number(Deno.args[0] ?? 5);
/** Requests of a run at full speed. */
const COUNT = Number(Deno.args[1] ?? 2_000_000);
/** Seconds of a paced run. */
const SECONDS = Number(Deno.args[2] ?? 30);

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

/** CPU seconds of a process so far, from /proc/PID/stat in ticks of 10 ms. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Runs `work` beside a capture with these arguments. */
async function beside<T>(args: string[], work: () => Promise<T>): Promise<[T, Totals]> {
  const end = await Deno.makeTempFile();
  // The end record is kept; the shell makes way for the program, so that its pid is ours.
  const script = `exec "$0" capture --format ndjson "$@" 2>/dev/null ` +
    `> >(tee >(tail -n 1 > ${end}) | cat > /dev/null)`;
  const capture = new Deno.Command("bash", {
    args: ["-c", script, PROGRAM, ...args],
    stdin: "null",
    stdout: "null",
  }).spawn();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const before = await cpuSeconds(capture.pid);
  const result = await work();
  const cpu = await cpuSeconds(capture.pid) - before;
  capture.kill("SIGINT");
  await capture.status;
  let text = "";
  while (!text.endsWith("\n")) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    text = await Deno.readTextFile(end);
  }
  await Deno.remove(end);
  return [result, { ...JSON.parse(text).totals, cpu }];
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
      const [run, totals] = await beside(args, () => workload(String(COUNT), "0", op));
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
    const [run, totals] = await beside([], () => workload(String(rate * SECONDS), String(rate)));
    print(
      `paced ${rate}/s for ${run.seconds.toFixed(1)} s: ${totals.events} arrived, ` +
        `${totals.lost} lost, ${(100 * totals.cpu / run.seconds).toFixed(0)} % of a CPU`,
    );
    if (totals.lost > 0) break;
  }
}

await main();
