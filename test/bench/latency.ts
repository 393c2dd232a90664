/**
 * How long a single request takes from its submission to a line that the reader of `capture` has, on
 * a host that is idle and on one that is not: `deno run -A test/bench/latency.ts`.
 *
 * @module
 */

import { cannotCapture } from "../live/capture.ts";
import { buildWorkload } from "../live/workload.ts";
import { PROGRAM } from "../paths.ts";

const REQUESTS = 200;
/** ms between two of them. */
const PAUSE_MS = 20;
/** How long what else the host does runs before them. */
const WARM_MS = 2000;
/** Time for the last of them to come. */
const DRAIN_MS = 1000;
/** Of what else the host does, requests a second. */
const RATES = [0, 50_000];

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** ms of each request, shortest first, beside `rate` others a second. */
async function delays(rate: number): Promise<number[]> {
  const workload = await buildWorkload();
  const capture = new Deno.Command(PROGRAM, {
    args: ["capture", "--format", "ndjson"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const started = Promise.withResolvers<void>();
  const others = rate === 0 ? undefined : new Deno.Command(workload, {
    args: ["nop", "0", String(rate)],
    stdout: "null",
  }).spawn();
  const found: number[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  const reading = (async () => {
    for await (const chunk of capture.stdout) {
      const now = performance.timeOrigin + performance.now();
      started.resolve();
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (!line.includes("/no/such/tick")) continue;
        // The request's user_data is when it was submitted.
        const [, submitted] = /"user_data":"(0x[0-9a-f]+)"/.exec(line)!;
        found.push(now - Number(BigInt(submitted!)) / 1e6);
      }
    }
  })();
  await started.promise;
  await sleep(WARM_MS);
  await new Deno.Command(workload, { args: ["ticks", String(REQUESTS), String(PAUSE_MS)] })
    .output();
  await sleep(DRAIN_MS);
  others?.kill("SIGKILL");
  await others?.status;
  capture.kill("SIGINT");
  await Promise.all([capture.status, reading]);
  return found.toSorted((a, b) => a - b);
}

async function main(): Promise<void> {
  const reason = await cannotCapture();
  if (reason !== undefined) return print(`Skipped: latency of capture (${reason})`);
  for (const rate of RATES) {
    const all = await delays(rate);
    const ms = (rank: number) => `${(all[Math.ceil(all.length * rank) - 1] ?? NaN).toFixed(1)} ms`;
    const beside = rate === 0 ? "on an idle host" : `beside ${rate} others a second`;
    print(
      `from a request to its line ${beside}: median ${ms(0.5)}, p99 ${ms(0.99)}, ` +
        `worst ${ms(1)}, ${all.length} of ${REQUESTS} came`,
    );
  }
}

await main();
