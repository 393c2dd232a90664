/**
 * The filter of `capture`, which the kernel decides as far as it can, lets the same records pass as
 * that of the chain does over everything that happened.
 *
 * IOURING_FILTER_CONFIGS says how many generated configs are tried, 28 unless told, and
 * IOURING_FILTER_SEED which.
 */
import assert from "node:assert/strict";
import { recordFilter } from "../../lib/chain/filter.ts";
import type { Config } from "../../lib/config/config.ts";
import type { EventFilterConfig } from "../../lib/config/event_filter.ts";
import type { ProcessFilterConfig } from "../../lib/config/process_filter.ts";
import { type AnyRecord, live, RunningCapture } from "./capture.ts";
import { buildWorkload } from "./workload.ts";

const GENERATED = Number(Deno.env.get("IOURING_FILTER_CONFIGS") ?? 28);
const SEED = Number(Deno.env.get("IOURING_FILTER_SEED") ?? 1);
/** What an actor submits when it acts. */
const REQUESTS = 13;
/** Captures at a time; each is a process of some 100 MB. */
const AT_ONCE = 20;
/** A name of the most bytes that a config can have, and of more. */
const LONGEST_NAME = "a-name-of-exactly-32-bytes-é-12";
const TOO_LONG = `${LONGEST_NAME}4`;

/**
 * Processes by the executable that they begin as, and what each is told; `act` and `thread` get
 * numbers of their own for their requests.
 */
const ACTORS: readonly { readonly binary: string; readonly script: readonly string[] }[] = [
  { binary: "bin/nslookup", script: ["act", "exec local/bin/nslookup", "act"] },
  { binary: "bin/nslookup", script: ["ids 0 1000", "act", "ids 1000 1000", "act"] },
  { binary: "bin/agent", script: ["act", "login 1000", "act", "ids 1000 0", "act"] },
  { binary: "bin/agent", script: ["login 0", "ids 1001 1001", "act", "name other", "act"] },
  { binary: "local/bin/agent", script: ["thread 1000", "act", "thread 1001"] },
  { binary: "local/bin/agent", script: ["ring polled", "act", "ids 1000 1000", "act"] },
  { binary: `bin/${LONGEST_NAME}`, script: ["act", "ring", "exec bin/agent", "act"] },
  { binary: `bin/${TOO_LONG}`, script: ["login 1001", "act", "ids 1000 1001", "act"] },
];

/** Configs that each show one thing; `@` stands for the folder of the executables. */
const CASES: readonly Config[] = [
  {},
  who({ deny_list: true }),
  who({ uid: [], euid: [], auid: [], binary: { name: [], path: [], prefix: [] } }),
  who({ uid: [0] }),
  who({ uid: [0], deny_list: true }),
  who({ uid: [1000, 1001] }),
  who({ euid: [0] }),
  who({ euid: [1000], deny_list: true }),
  who({ uid: [0], euid: [1000] }),
  who({ uid: [1000], euid: [0], deny_list: true }),
  who({ auid: [4294967295] }),
  who({ auid: [1000] }),
  who({ auid: [0, 1001], deny_list: true }),
  who({ uid: [0], euid: [0], auid: [1000] }),
  who({ uid: [4242] }),
  who({ uid: [4242], deny_list: true }),
  who({ binary: { name: ["nslookup"] } }),
  who({ binary: { name: ["nslookup"] }, deny_list: true }),
  who({ binary: { name: ["nslooku", "gent"] } }),
  who({ binary: { name: [LONGEST_NAME] } }),
  who({ binary: { path: ["@/bin/agent", "@/local/bin/nslookup"] } }),
  who({ binary: { prefix: ["@/local/"] } }),
  who({ binary: { prefix: ["@/bin/n"] }, deny_list: true }),
  who({ binary: { name: ["agent"], path: ["@/bin/nslookup"], prefix: ["@/bin/a-"] } }),
  who({ uid: [0], euid: [0], binary: { name: ["nslookup"] } }),
  who({ uid: [1000], binary: { prefix: ["@/"] }, deny_list: true }),
  { event_filter: { opcode: ["network"] } },
  { event_filter: { opcode: ["IORING_OP_OPENAT", "ring"], path: { prefix: ["/etc/"] } } },
  { event_filter: { path: { exact: ["/no/such/file"] } } },
  { event_filter: { address: ["::1"], port: ["8000-9000"] } },
  { ...who({ uid: [1000] }), event_filter: { opcode: ["metadata"] } },
  {
    ...who({ binary: { name: ["agent"] }, deny_list: true }),
    event_filter: { address: ["127.0.0.0/8"] },
  },
];

function who(process_filter: ProcessFilterConfig): Config {
  return { process_filter };
}

/** Configs of values that occur and of some that do not. */
function generatedConfigs(count: number): Config[] {
  let state = SEED;
  const random = () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
  const some = <T>(values: readonly T[]) =>
    random() < 0.6 ? [] : values.filter(() => random() < 0.5);
  const configs: Config[] = [];
  while (configs.length < count) {
    const binary = random() < 0.5 ? {} : {
      name: some(["nslookup", "agent", LONGEST_NAME, "nslook"]),
      path: some(["@/bin/nslookup", "@/local/bin/agent", `@/bin/${TOO_LONG}`, "/bin/agent"]),
      prefix: some(["@/bin/", "@/local", "@/bin/a", "/usr/"]),
    };
    const process_filter: ProcessFilterConfig = {
      deny_list: random() < 0.4,
      uid: some([0, 1000, 1001, 4242]),
      euid: some([0, 1000, 1001]),
      auid: some([0, 1000, 1001, 4294967295]),
      binary,
    };
    const event_filter: EventFilterConfig = random() < 0.5 ? {} : {
      opcode: some(["network", "metadata", "ring", "IORING_OP_OPENAT", "IORING_OP_CLOSE"]),
      path: random() < 0.7
        ? {}
        : { prefix: some(["/etc/", "/no/"]), glob: some(["**/file", "/*/hostname"]) },
      address: random() < 0.8 ? [] : some(["127.0.0.0/8", "::/0", "10.0.0.0/8"]),
      port: random() < 0.8 ? [] : some([9, "8000-9000"]),
    };
    configs.push({ process_filter, event_filter });
  }
  return configs;
}

/** One process of {@linkcode ACTORS}. */
class Actor {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<Uint8Array>;

  private constructor(path: string) {
    this.#process = new Deno.Command(path, { stdin: "piped", stdout: "piped", cwd: "/" }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#output = this.#process.stdout.getReader();
  }

  static async start(path: string): Promise<Actor> {
    const actor = new Actor(path);
    await actor.#answer();
    return actor;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Tells it something, and waits for its answer. */
  async tell(command: string): Promise<string> {
    await this.#input.write(new TextEncoder().encode(`${command}\n`));
    return await this.#answer();
  }

  async #answer(): Promise<string> {
    let line = "";
    while (!line.endsWith("\n")) {
      const { value, done } = await this.#output.read();
      assert.ok(!done, "the actor has ended");
      line += new TextDecoder().decode(value);
    }
    return line.trim();
  }

  async end(): Promise<void> {
    await this.#input.close();
    await this.#output.cancel();
    await this.#process.status;
  }
}

/** A folder with the executables that processes begin as. */
async function makeStage(): Promise<string> {
  const stage = await Deno.makeTempDir();
  // Users other than root execute what is in it.
  await Deno.chmod(stage, 0o755);
  const program = await buildWorkload({ name: "actor" });
  const binaries = new Set([...ACTORS.map(({ binary }) => binary), "local/bin/nslookup"]);
  for (const binary of binaries) {
    await Deno.mkdir(`${stage}/${binary.slice(0, binary.lastIndexOf("/"))}`, { recursive: true });
    await Deno.copyFile(program, `${stage}/${binary}`);
  }
  return stage;
}

/** What tells a record from all others of a run, whichever capture it is of. */
function nameOf({ type, pid, ctx_addr, process, io_uring, operation }: AnyRecord): string {
  switch (type) {
    case "IOUringEvent":
      return `request ${io_uring.user_data}`;
    case "IOUringRegister":
      return `${operation} of ${process.pid} as ${process.euid} in ${process.binary_path}`;
    default:
      return `ring ${ctx_addr} of ${pid}`;
  }
}

const WITH_REQUESTS = ["IOUringEvent", "IOUringRegister", "IOUringEntry"];

/** Runs all actors once beside captures with these configs, and compares the captures. */
async function compare(configs: readonly Config[], stage: string): Promise<AnyRecord[]> {
  const actors = await Promise.all(ACTORS.map(({ binary }) => Actor.start(`${stage}/${binary}`)));
  const flags = actors.flatMap(({ pid }) => ["--pid", String(pid)]);
  flags.push("--ring-buffer", "1M");
  const captures = await Promise.all([{}, ...configs].map(async (config, index) => {
    const path = `${stage}/${index}.yaml`;
    await Deno.writeTextFile(path, JSON.stringify(config));
    return await RunningCapture.start(...flags, "--config", path);
  }));
  let userData = 0;
  /** By the upper part of the user_data of its requests. */
  const submitters = new Map<number, string>();
  for (const [index, actor] of actors.entries()) {
    for (const line of ACTORS[index]!.script) {
      const own = line.replace(/(?<=^exec )/, `${stage}/`);
      const isNumbered = /^(?:act|thread)\b/.test(own);
      if (!isNumbered) await actor.tell(own);
      else submitters.set(++userData, await actor.tell(`${own} ${userData * 0x100}`));
    }
  }
  for (const actor of actors) await actor.end();

  const streams = await Promise.all(captures.map((capture) => capture.stop()));
  const truth = streams.shift()!.records;
  const all = truth.filter(({ type }) => WITH_REQUESTS.includes(type));
  const requests = all.filter(({ type }) => type === "IOUringEvent");
  assert.equal(requests.length, submitters.size * REQUESTS);
  for (const { process, io_uring } of requests) {
    const { uid, euid, auid, binary_path } = process;
    assert.equal(
      `${uid} ${euid} ${auid} ${binary_path}`,
      submitters.get(Number(io_uring.user_data) >> 8),
    );
  }
  for (const [index, { records, errors }] of streams.entries()) {
    const config = configs[index]!;
    const about = `${JSON.stringify(config)} ${errors}`;
    const end = records.at(-1);
    assert.equal(end.totals.lost, 0, about);
    const judge = recordFilter(config);
    assert.deepEqual(
      records.filter(({ type }) => WITH_REQUESTS.includes(type)).map(nameOf).sort(),
      all.filter((record) => judge(record) === "pass").map(nameOf).sort(),
      about,
    );
    // What the kernel let pass by itself. It judges an executable once user space has.
    const { process_filter = {}, event_filter: { opcode = [] } = {} } = config;
    const judgeInKernel = recordFilter({ process_filter, event_filter: { opcode } });
    const passed = requests.filter((record) => judgeInKernel(record) !== "drop").length;
    const isByBinary = Object.values(process_filter.binary ?? {}).some(({ length }) => length > 0);
    if (isByBinary) assert.ok(end.totals.events >= passed, about);
    else assert.equal(end.totals.events, passed, about);
  }
  return all;
}

live("capture lets the same pass as filter does, by a table and generated configs", async () => {
  const stage = await makeStage();
  try {
    const place = (config: Config) =>
      JSON.parse(JSON.stringify(config).replaceAll("@/", `${stage}/`));
    const configs: Config[] = [...CASES, ...generatedConfigs(GENERATED)].map(place);
    let passed = 0;
    let dropped = 0;
    for (let i = 0; i < configs.length; i += AT_ONCE) {
      const some = configs.slice(i, i + AT_ONCE);
      const all = await compare(some, stage);
      for (const config of some) {
        const judge = recordFilter(config);
        for (const record of all) judge(record) === "pass" ? passed++ : dropped++;
      }
    }
    assert.ok(
      passed > configs.length * 20 && dropped > configs.length * 20,
      `${passed} ${dropped}`,
    );
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
});

for (const deny_list of [false, true]) {
  const list = deny_list ? "a deny list" : "an allow list";
  live(`capture leaves out what ${list} of executables judged, in the kernel`, async () => {
    const stage = await makeStage();
    try {
      const [left, right] = await Promise.all([
        Actor.start(`${stage}/bin/agent`),
        Actor.start(`${stage}/bin/nslookup`),
      ]);
      const config = `${stage}/config.yaml`;
      const name = [deny_list ? "agent" : "nslookup"];
      await Deno.writeTextFile(config, JSON.stringify(who({ deny_list, binary: { name } })));
      const flags = ["--pid", String(left.pid), "--pid", String(right.pid), "--config", config];
      const capture = await RunningCapture.start(...flags);
      await left.tell("nop 1");
      await right.tell("act 0x7777");
      // What came before it in the stream has been judged by then.
      assert.ok(await capture.arrived('"0x7777"'));
      await left.tell("nop 1000");
      const { records } = await capture.stop();
      await left.end();
      await right.end();
      const requests = records.filter(({ type }) => type === "IOUringEvent");
      assert.ok(requests.every(({ process }) => process.pid === right.pid));
      const { events, filtered } = records.at(-1).totals;
      assert.equal(events, requests.length + 1);
      assert.ok(filtered >= 1000);
    } finally {
      await Deno.remove(stage, { recursive: true });
    }
  });
}
