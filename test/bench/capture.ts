/**
 * What the live capture costs and bears, on this machine:
 * `deno run -A test/bench/capture.ts [added|paced]`.
 *
 * `added`: what a request costs more, of a flood with and without a capture in turns, and what becomes
 * of that flood. `paced`: the highest rate of requests that is held without a loss. The workload has
 * a CPU to itself; the capture and the `cat >/dev/null` that reads its pipe have the next one.
 *
 * @module
 */

import { cannotCapture } from "../live/capture.ts";
import { buildWorkload } from "../live/workload.ts";
import { PROGRAM } from "../paths.ts";
import { median, print } from "../report.ts";

const ROUNDS = 5;
/** Requests of a run at full speed. */
const COUNT = 3_000_000;
/** Seconds that a rate is tried for, and held for. */
const PROBE_SECONDS = 4;
const HOLD_SECONDS = 30;
/** Rates a second are multiples of this; the search goes up to as many. */
const RATE_STEP = 50_000;
const RATE_STEPS = 32;
/** ms between two looks whether the capture runs. */
const LOOK_MS = 20;
const NOBODY = 65_534;

interface Run {
  submitted: number;
  seconds: number;
}

/** What the capture says at its end, and what it took. */
interface Captured {
  events: number;
  lost: number;
  /** Written by the capture. */
  bytes: number;
  /** CPU seconds of the capture, and of the reader of its pipe. */
  cpu: number;
  readerCpu: number;
}

/** The capture to measure: its arguments, and those of `setpriv` that the workload runs with. */
interface Setting {
  readonly capture?: readonly string[];
  readonly setpriv?: readonly string[];
}

class Bench {
  readonly #workload: string;

  constructor(workload: string) {
    this.#workload = workload;
  }

  /** The workload on its own: `count rate opcode`. */
  async run(args: readonly (string | number)[], setting: Setting = {}): Promise<Run> {
    const { setpriv } = setting;
    const command = ["-c", "0", ...(setpriv === undefined ? [] : ["setpriv", ...setpriv])];
    const { stdout, success } = await new Deno.Command("taskset", {
      args: [...command, this.#workload, "nop", ...args.map(String)],
    }).output();
    if (!success) throw new Error("the workload failed");
    return JSON.parse(new TextDecoder().decode(stdout));
  }

  /** The workload beside a capture. */
  async beside(
    args: readonly (string | number)[],
    setting: Setting = {},
  ): Promise<Run & Captured> {
    // The shell makes way for the program, and its child for cat, so that their pids are ours.
    const script = `exec "$0" "$@" > >(echo $BASHPID >&2; exec cat > /dev/null)`;
    const capture = new Deno.Command("taskset", {
      args: ["-c", "1", "bash", "-c", script, PROGRAM, "capture", "--format", "ndjson"]
        .concat(setting.capture ?? []),
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let said = "";
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of capture.stderr) said += decoder.decode(chunk, { stream: true });
    })();
    // It runs once its first record has come through; before cat, the shell wrote the pid.
    let reader = NaN;
    while (isNaN(reader) || await writtenBy(reader) <= said.length) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      if (/^\d+\n/.test(said)) reader = parseInt(said);
    }
    const before = [await cpuSeconds(capture.pid), await cpuSeconds(reader)] as const;
    const written = await writtenBy(capture.pid);
    const run = await this.run(args, setting);
    const cpu = await cpuSeconds(capture.pid) - before[0];
    const readerCpu = await cpuSeconds(reader) - before[1];
    const bytes = await writtenBy(capture.pid) - written;
    capture.kill("SIGINT");
    await Promise.all([capture.status, reading]);
    const number = (what: string) => Number(new RegExp(`(\\d+) ${what}`).exec(said)?.[1] ?? 0);
    return { ...run, events: number("events?"), lost: number("lost"), bytes, cpu, readerCpu };
  }
}

/** CPU seconds of a process so far, from /proc/PID/stat in ticks of 10 ms. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function writtenBy(pid: number): Promise<number> {
  return Number(/^wchar: (\d+)/m.exec(await Deno.readTextFile(`/proc/${pid}/io`))![1]);
}

const perRequest = ({ submitted, seconds }: Run) => seconds * 1e9 / submitted;
const millions = (count: number) => (count / 1e6).toFixed(2);

/** Rows of what a request costs more. */
async function added(bench: Bench, folder: string): Promise<void> {
  const config = async (name: string, filter: string) => {
    const path = `${folder}/${name}.yaml`;
    await Deno.writeTextFile(path, `process_filter: ${filter}\n`);
    return ["--config", path];
  };
  const rows: [name: string, opcode: string, capture: string[]][] = [
    ["NOP", "nop", []],
    ["OPENAT", "openat", []],
    ["READ", "read", []],
    ["NOP that --opcode rejects", "nop", ["--opcode", "connect"]],
    ["NOP that --pid rejects", "nop", ["--pid", "1"]],
    ["NOP that uid rejects", "nop", await config("uid", `{ uid: [${NOBODY}] }`)],
    [
      "NOP that uid, euid and auid reject",
      "nop",
      await config("ids", "{ uid: [0], euid: [0], auid: [7] }"),
    ],
    ["NOP that a binary's name rejects", "nop", await config("name", "{ binary: { name: [x] } }")],
    ["NOP that a prefix rejects", "nop", await config("prefix", '{ binary: { prefix: ["/x/"] } }')],
  ];
  for (const [name, opcode, capture] of rows) {
    const without: number[] = [];
    const beside: (Run & Captured)[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      without.push(perRequest(await bench.run([COUNT, 0, opcode])));
      beside.push(await bench.beside([COUNT, 0, opcode], { capture }));
    }
    const base = median(without);
    const all = median(beside.map(perRequest));
    let line = `${name}: ${base.toFixed(0)} ns without, ${all.toFixed(0)} with, ` +
      `${(all - base).toFixed(0)} added`;
    if (capture.length === 0) {
      const exact = beside.every(({ events, lost, submitted }) => events + lost === submitted);
      const arrived = beside.map(({ events, seconds }) => events / seconds);
      const lost = beside.map(({ lost, submitted }) => 100 * lost / submitted);
      line += `; at full speed ${millions(1e9 / all)} M/s sent, ${millions(median(arrived))} M/s ` +
        `arrived, ${median(lost).toFixed(0)} % lost, sent ${exact ? "=" : "IS NOT"} arrived + lost`;
    } else if (beside.some(({ events }) => events > 0)) {
      line += " (BUT SOME PASSED)";
    }
    print(line);
  }
}

/** The highest rate that is held without a loss. */
async function paced(bench: Bench, name: string, setting: Setting): Promise<void> {
  const at = (rate: number, seconds: number) => bench.beside([rate * seconds, rate], setting);
  // As many steps are held; one more than `lossy` is not.
  let held = 0;
  for (let lossy = RATE_STEPS + 1; lossy - held > 1;) {
    const steps = held + lossy >> 1;
    const { lost } = await at(steps * RATE_STEP, PROBE_SECONDS);
    if (lost === 0) held = steps;
    else lossy = steps;
  }
  for (; held > 0; held--) {
    const rate = held * RATE_STEP;
    const { events, lost, submitted, seconds, bytes, cpu, readerCpu } = await at(
      rate,
      HOLD_SECONDS,
    );
    const share = (of: number) => `${(100 * of / seconds).toFixed(0)} %`;
    print(
      `${name}, ${(bytes / events).toFixed(0)} bytes an event: ${rate}/s for ` +
        `${seconds.toFixed(1)} s, ${submitted} sent, ${events} arrived, ${lost} lost; ` +
        `${share(cpu)} of a CPU, and cat ${share(readerCpu)}`,
    );
    if (lost === 0) return;
  }
}

async function main(part: string | undefined): Promise<void> {
  const reason = await cannotCapture();
  if (reason !== undefined) return print(`Skipped: capture (${reason})`);
  if (navigator.hardwareConcurrency < 2) return print("Skipped: capture (needs two CPUs)");
  const folder = await Deno.makeTempDir();
  try {
    // Where another user can run it, too.
    const workload = `${folder}/workload`;
    await Deno.copyFile(await buildWorkload(), workload);
    await Deno.chmod(folder, 0o755);
    const bench = new Bench(workload);
    if (part !== "paced") await added(bench, folder);
    if (part !== "added") {
      await paced(bench, "NOPs of root", {});
      const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
      await paced(bench, "NOPs of another user", { setpriv: ids });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

await main(Deno.args[0]);
