import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { PROGRAM } from "../paths.ts";
import { type AnyRecord, live, RunningCapture, Workload } from "./capture.ts";
import { buildWorkload } from "./workload.ts";

/** A capture that does not end is ended after so long, and has no exit code of its own then. */
const GUARD_MS = 300_000;

/** The lines of a program's output, read no further than they are asked for. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  equal(rest, "");
}

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
      '"$0" filter --config f.yaml 2> filter.err; echo "${PIPESTATUS[@]}" > codes';
    const pipe = new Deno.Command("bash", {
      args: ["-c", script, PROGRAM],
      cwd: folder,
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const text = (file: string) => Deno.readTextFile(`${folder}/${file}`);
    const lines = linesOf(pipe.stdout);
    const records: AnyRecord[] = [JSON.parse((await lines.next()).value!)];
    for (const program of programs) {
      const { success } = await new Deno.Command(program, { args: ["samples"] }).output();
      ok(success);
    }
    Deno.kill(Number(await text("pid")), "SIGINT");
    for await (const line of lines) records.push(JSON.parse(line));
    await pipe.status;
    equal(await text("codes"), "0 0\n");
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

live("capture gives out a single event though no other follows", async () => {
  const tick = await Workload.prepare("ticks", "1");
  const capture = await RunningCapture.start("-p", String(tick.pid));
  await tick.run();
  ok(await capture.arrived("/no/such/tick"));
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
    signal: AbortSignal.timeout(GUARD_MS),
  }).spawn();
  const errors = new Response(capture.stderr).text();
  let nops = 0;
  let lost = 0;
  const records: AnyRecord[] = [];
  const take = (line: string) => {
    if (line.includes('"opcode":"IORING_OP_NOP"')) {
      nops++;
      return;
    }
    const record = JSON.parse(line);
    records.push(record);
    if (record.phase === "lost") lost += record.lost.count;
  };
  const lines = linesOf(capture.stdout);
  take((await lines.next()).value!);
  // Nobody reads.
  const { submitted } = (await flood.run()).other[0];
  // Once it has caught up, all is as before.
  while (nops + lost < submitted) {
    const { value } = await lines.next();
    ok(value !== undefined, "it ended before it told of every request");
    take(value);
  }
  const ticked = (await ticks.run()).other[0];
  capture.kill("SIGINT");
  for await (const line of lines) take(line);
  equal((await capture.status).code, 0, await errors);

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
    signal: AbortSignal.timeout(GUARD_MS),
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
  const { code, said } = await endStalled(["-d", "6"], () => {});
  ok(STALLED.test(said), said);
  equal(code, 1);
});
