import { PROGRAM } from "../paths.ts";
import { mb, median, print } from "../report.ts";
/**
 * `deno task bench`, the rows of `filter`: 200,000 events of about 430 bytes, of which few, some or
 * many pass, through a filter on uid with the classifier on, beside `jq` with the same condition on
 * the same file, in turns. Rules fire for connections: every hundredth event is one, or every third,
 * each to another address. Then 1 GB through a pipe to each, with the memory that ours holds on the
 * way.
 *
 * @module
 */

const RUNS = 5;
const EVENTS = 200_000;
const PROCESSES = 4000;
const PIPED_BYTES = 1_000_000_000;
const ENCODER = new TextEncoder();

/**
 * Events as the published tools' are, of thousands of processes; so many per cent have uid 1000, and
 * one in so many is a connection.
 */
function events(count: number, passing: number, connections: number): Uint8Array {
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * 7919 % PROCESSES;
    const uid = at * 37 % 100 < passing ? 1000 : 0;
    const pid = 1000 + at;
    const process = `{"start_time":"2026-01-02T03:04:05.571Z","pid":${pid},"tid":${pid},"ppid":1,` +
      `"uid":${uid},"euid":${uid},"auid":1000,"cap_inheritable":"","cap_permitted":"",` +
      `"cap_effective":"","secureexec":"","filename":"server","binary_path":"/usr/sbin/server",` +
      `"args":"","container_id":""}`;
    const [opcode, info] = i % connections === 0
      ? ["CONNECT", `{"addr":"2001:db8::${(i % 65536).toString(16)}","port":443}`]
      : i % 2 === 0
      ? ["READ", `{"fd":5,"offset":${i * 4096},"len":4096}`]
      : ["OPENAT", `{"path":"/srv/data/${i}","access_flags":"O_RDONLY"}`];
    lines.push(
      `{"type":"IOUringEvent","process":${process},"opcode":"IORING_OP_${opcode}",` +
        `"op_info":${info},"timestamp":"2026-01-02T03:04:05.${100 + i % 900}Z"}\n`,
    );
  }
  return ENCODER.encode(lines.join(""));
}

/** Wall time of one run in ms. */
function time(command: string, args: string[]): number {
  const start = performance.now();
  const { success } = new Deno.Command(command, { args, stdout: "null", stderr: "null" })
    .outputSync();
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
  return performance.now() - start;
}

/** Writes a block to a program again and again: how long it takes, and the memory held on the way. */
async function pipe(command: string, args: string[], block: Uint8Array) {
  const child = new Deno.Command(command, {
    args,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const memory: number[] = [];
  const start = performance.now();
  for (let sent = 0; sent < PIPED_BYTES; sent += block.length) {
    await writer.write(block);
    memory.push(held(child.pid));
  }
  await writer.close();
  const { success } = await child.status;
  if (!success) throw new Error(`${command} ${args.join(" ")} failed`);
  return { seconds: (performance.now() - start) / 1000, memory };
}

/** Memory that a process holds, in bytes: what is not mapped from files. */
function held(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return [...status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+)/gm)]
    .reduce((sum, [, kib]) => sum + Number(kib) * 1024, 0);
}

const folder = Deno.makeTempDirSync();
try {
  const input = `${folder}/events.ndjson`;
  const config = `${folder}/uid.yaml`;
  Deno.writeTextFileSync(config, "process_filter: { uid: [1000] }\n");

  const rate = (ms: number) => `${(EVENTS / ms / 1000).toFixed(2)} M lines/s`;
  for (const connections of [100, 3]) {
    for (const passing of [5, 25, 60]) {
      const block = events(EVENTS, passing, connections);
      Deno.writeFileSync(input, block);
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let i = 0; i < RUNS; i++) {
        ours.push(time(PROGRAM, ["filter", "--config", config, input]));
        theirs.push(time("jq", ["-c", "select(.process.uid==1000)", input]));
      }
      print(
        `filter, ${EVENTS} events of ${Math.round(block.length / EVENTS)} bytes, ` +
          `1 connection in ${connections}, ${passing} % pass: ` +
          `median ${median(ours).toFixed(0)} ms of ${RUNS} (${rate(median(ours))}); ` +
          `jq ${median(theirs).toFixed(0)} ms (${rate(median(theirs))}); ` +
          `${(median(theirs) / median(ours)).toFixed(1)} times jq`,
      );
    }
  }

  const block = events(EVENTS, 25, 3);
  const ours = await pipe(PROGRAM, ["filter", "--config", config], block);
  const theirs = await pipe("jq", ["-c", "select(.process.uid==1000)"], block);
  const { memory } = ours;
  print(
    `filter, ${(memory.length * block.length / 1e9).toFixed(2)} GB through a pipe, 25 % pass: ` +
      `${ours.seconds.toFixed(1)} s; jq ${theirs.seconds.toFixed(1)} s; ` +
      `${(theirs.seconds / ours.seconds).toFixed(1)} times jq; ` +
      `memory held after a tenth, half and all of it: ` +
      [1, memory.length >> 1, memory.length - 1].map((i) => mb(memory[i] ?? 0)).join(", ") + "\n",
  );
} finally {
  Deno.removeSync(folder, { recursive: true });
}
