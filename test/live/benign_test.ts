/**
 * Programs that use io_uring and do no harm raise no rule of severity medium or above. Each does its
 * work once; IOURING_BENIGN_ROUNDS=20 is what is asked of a release.
 */
import assert from "node:assert/strict";
import { severityRank } from "../../lib/config/rule.ts";
import type { Severity } from "../../lib/record/records.ts";
import { PROGRAM } from "../paths.ts";
import { live } from "./capture.ts";

const ROUNDS = Number(Deno.env.get("IOURING_BENIGN_ROUNDS") ?? 1);

/** A program, and what it is run with in a folder of its own. */
interface Benign {
  readonly program: string;
  /** One after the other, and as often as there are rounds. */
  readonly commands: (folder: string) => readonly (readonly string[])[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Modes of one program that run side by side, each its own section of a job file. */
const FIO_JOBS = `
[global]
ioengine=io_uring
size=12m
rate_iops=1000
rw=randrw
iodepth=16
[buffered]
numjobs=2
[direct]
direct=1
fixedbufs=1
registerfiles=1
[polled]
sqthread_poll=1
registerfiles=1
[threads]
thread
numjobs=4
rw=randwrite
fsync=8
nonvectored=0
[sequential]
rw=write
bs=64k
force_async=4
`;

const BENIGN: readonly Benign[] = [
  {
    program: "fio",
    commands: (folder) => {
      Deno.writeTextFileSync(`${folder}/jobs`, FIO_JOBS);
      return [[`--directory=${folder}`, `${folder}/jobs`]];
    },
  },
  {
    program: "node",
    commands: (folder) => [[
      `${import.meta.dirname}/copy_trees.mjs`,
      folder,
      "/usr/bin",
      "/usr/share/doc",
    ]],
    env: { UV_USE_IO_URING: "1" },
  },
  {
    program: "qemu-img",
    commands: (folder) => {
      const [raw, qcow2] = [`${folder}/raw`, `${folder}/qcow2`];
      Deno.writeFileSync(raw, new Uint8Array(16 << 20));
      const bench = ["bench", "-i", "io_uring", "-c", "10000"];
      return [
        ["create", "-q", "-f", "qcow2", qcow2, "16M"],
        [...bench, "-f", "raw", "-t", "none", raw],
        [...bench, "-f", "raw", "-w", "--flush-interval=64", raw],
        [...bench, "-f", "qcow2", "-w", qcow2],
      ];
    },
  },
];

function isInstalled(program: string): boolean {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}

/** The events of a stream, and how often each rule fired on its records. */
async function countRules(path: string) {
  const rules = new Map<string, { severity: Severity; count: number }>();
  let events = 0;
  let rest = "";
  const file = await Deno.open(path);
  for await (const chunk of file.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith('{"type":"IOUringEvent"')) events++;
      if (!line.includes('"classification":{')) continue;
      for (const { id, severity } of JSON.parse(line).classification.rules) {
        const rule = rules.get(id) ?? { severity, count: 0 };
        rule.count++;
        rules.set(id, rule);
      }
    }
  }
  return { events, rules };
}

for (const { program, commands, env = {} } of BENIGN) {
  const name = `${program} raises nothing of severity medium or above`;
  if (!isInstalled(program)) {
    Deno.test({ name: `${name} (skipped: it is not installed)`, ignore: true, fn: () => {} });
    continue;
  }
  live(name, async (t) => {
    const folder = await Deno.makeTempDir();
    try {
      const config = `${folder}/config.yaml`;
      await Deno.writeTextFile(config, `process_filter: { binary: { name: [${program}] } }\n`);
      const path = `${folder}/events.ndjson`;
      const capture = new Deno.Command(PROGRAM, {
        args: ["capture", "--config", config, "--format", "ndjson", "-o", path],
        stdin: "null",
        stderr: "null",
      }).spawn();
      let isOver = false;
      capture.status.then(() => isOver = true);
      while (((await Deno.stat(path).catch(() => undefined))?.size ?? 0) === 0) {
        assert.ok(!isOver, "the capture has ended");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const work = commands(folder);
      for (let round = 0; round < ROUNDS; round++) {
        for (const args of work) {
          const { success, stderr } = await new Deno.Command(program, {
            args: [...args],
            env,
            cwd: folder,
            stdin: "null",
          }).output();
          assert.ok(success, new TextDecoder().decode(stderr));
        }
      }
      capture.kill("SIGINT");
      assert.ok((await capture.status).success);

      const { events, rules } = await countRules(path);
      assert.ok(events > 1000, `${events} events`);
      const said = [...rules].map(([rule, { count }]) => `${rule} ${count} times`).join(", ");
      await t.step(`${events} events; ${said || "no rule"}`, () => {
        for (const { severity } of rules.values()) {
          assert.ok(severityRank(severity) < severityRank("medium"), said);
        }
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
