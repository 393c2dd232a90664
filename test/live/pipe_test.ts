import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { PROGRAM } from "../paths.ts";
import { type AnyRecord, live, RunningCapture, Workload } from "./capture.ts";
import { buildWorkload } from "./workload.ts";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

live("capture | filter keeps what the published config asks for", async () => {
  const folder = await Deno.makeTempDir();
  try {
    // Nothing else on the host has this name.
    const name = `workload-${Deno.pid}`;
    await Deno.writeTextFile(
      `${folder}/f.yaml`,
      "process_fiter:\n  uid:\n    - 0\n  euid:\n    - 0\n" +
        `  binary:\n    name:\n      - ${name}\n`,
    );
    const programs = [`${folder}/${name}`, `${folder}/other`];
    for (const program of programs) await Deno.copyFile(await buildWorkload(), program);
    const script = '(echo $BASHPID > pid; exec "$0" capture --format ndjson 2> capture.err) | ' +
      '"$0" filter --config f.yaml > out 2> filter.err; echo "${PIPESTATUS[@]}"';
    const pipe = new Deno.Command("bash", {
      args: ["-c", script, PROGRAM],
      cwd: folder,
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const text = (file: string) => Deno.readTextFile(`${folder}/${file}`);
    for (let tries = 0; !(await text("out").catch(() => "")).includes("\n"); tries++) {
      ok(tries < 600, "no start record");
      await sleep(50);
    }
    for (const program of programs) {
      const { success } = await new Deno.Command(program, { args: ["samples"] }).output();
      ok(success);
    }
    Deno.kill(Number(await text("pid")), "SIGINT");
    const { stdout } = await pipe.output();
    equal(new TextDecoder().decode(stdout), "0 0\n");

    const records: AnyRecord[] = (await text("out")).trim().split("\n")
      .map((line) => JSON.parse(line));
    const events = records.filter(({ type }) => type === "IOUringEvent");
    equal(events.length, 5);
    ok(events.every(({ process }) => process.filename === name && process.euid === 0));
    equal(records[0].phase, "start");
    const end = records.at(-1);
    equal(end.phase, "end");
    ok(end.totals.events >= 10);
    const [warning, summary, ...rest] = (await text("filter.err")).trim().split("\n");
    equal(warning, 'warning: f.yaml:1:1: Key "process_fiter" is read as "process_filter"');
    ok(/\b5 events in [0-9]+ process(es)?, .* filtered out$/.test(summary!), summary);
    deepStrictEqual(rest, []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

live("capture gives out a single event on an idle host at once", async () => {
  const capture = await RunningCapture.start();
  await sleep(1000);
  await (await Workload.prepare("ticks", "1")).run();
  ok(await capture.arrived("/no/such/tick", 2000));
  await capture.stop();
});

live("capture counts what a stalled reader costs, and goes on", async () => {
  const flood = await Workload.prepare("nop", "1000000", "0");
  const ticks = await Workload.prepare("ticks", "20");
  const args = ["capture", "--format", "ndjson", "--ring-buffer", "256K"];
  for (const { pid } of [flood, ticks]) args.push("-p", String(pid));
  const capture = new Deno.Command(PROGRAM, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(capture.stderr).text();
  const decoder = new TextDecoder();
  let nops = 0;
  let rest = "";
  const records: AnyRecord[] = [];
  const take = (chunk: Uint8Array) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.includes('"opcode":"IORING_OP_NOP"')) nops++;
      else records.push(JSON.parse(line));
    }
  };
  const reader = capture.stdout.getReader();
  while (records.length === 0) take((await reader.read()).value!);
  // Nobody reads.
  const { submitted } = (await flood.run()).other[0];
  await sleep(10_000);
  const drained = (async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) take(next.value);
  })();
  // Once it has caught up, all is as before.
  for (let before = -1; before < nops;) {
    before = nops;
    await sleep(1000);
  }
  const ticked = (await ticks.run()).other[0];
  capture.kill("SIGINT");
  equal((await capture.status).code, 0, await errors);
  await drained;

  equal(rest, "");
  const end = records.at(-1);
  equal(end.phase, "end");
  ok(end.totals.lost > 0);
  equal(end.complete, false);
  const opens = records.filter(({ type, opcode }) =>
    type === "IOUringEvent" && opcode === "IORING_OP_OPENAT"
  );
  equal(opens.length, ticked.submitted);
  equal(nops + end.totals.lost, submitted);
  equal(end.totals.events, nops + opens.length);
  const told = records.filter(({ phase }) => phase === "lost");
  equal(told.reduce((sum, { lost }) => sum + lost.count, 0), end.totals.lost);
  // It did not take the silence for an attack.
  ok(
    records.every(({ diagnostics = [] }) =>
      diagnostics.every(({ code }: AnyRecord) => code !== "capture_blinded")
    ),
  );
});

/** A capture that is to end, whose reader takes nothing; what it said, and its exit code. */
async function endStalled(
  args: string[],
  end: (capture: Deno.ChildProcess) => void,
): Promise<{ code: number; said: string }> {
  const flood = await Workload.prepare("nop", "20000", "0");
  const capture = new Deno.Command(PROGRAM, {
    args: ["capture", "--format", "ndjson", "-p", String(flood.pid), ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    // One that does not end is ended, and has no exit code of its own then.
    signal: AbortSignal.timeout(120_000),
  }).spawn();
  const errors = new Response(capture.stderr).text();
  const reader = capture.stdout.getReader({ mode: "byob" });
  await reader.read(new Uint8Array(1));
  // More than a pipe holds.
  await flood.run();
  end(capture);
  const { code } = await capture.status;
  await reader.cancel();
  return { code, said: await errors };
}

const STALLED =
  /^1 ring and \d+ events in 1 process.*\nCannot write "standard output": its reader has stopped reading\n$/;

live("capture ends at a signal though its reader has stalled, and says so", async () => {
  const { code, said } = await endStalled([], (capture) => capture.kill("SIGINT"));
  ok(STALLED.test(said), said);
  equal(code, 1);
});

live("capture ends in time though its reader has stalled, and says so", async () => {
  const { code, said } = await endStalled(["-d", "2"], () => {});
  ok(STALLED.test(said), said);
  equal(code, 1);
});
