import assert from "node:assert/strict";
import { NativeSplitter } from "../../ffi/lines.ts";
import { locateLibraries } from "../../ffi/libraries.ts";
import { type PartlyReadBatch, runChainAsync } from "../../lib/chain/chain.ts";
import { Classifier } from "../../lib/chain/classifier.ts";
import { Filter } from "../../lib/chain/filter.ts";
import { QuietEvent, UnreadEvent, UnreadEvents } from "../../lib/chain/unread_events.ts";
import { RecordReader } from "../../lib/chain/record_reader.ts";
import { NdjsonSink } from "../../lib/chain/sink.ts";
import { Tally } from "../../lib/chain/tally.ts";
import { type Config, parseConfig } from "../../lib/config/config.ts";
import { OPCODES } from "../../lib/uapi/opcodes.ts";
import { readBytes } from "../chain/read_bytes.ts";
import { event, ring, status } from "../chain/records.ts";
import { Random } from "../scan/mutations.ts";

const LIBRARY = locateLibraries("source", []).libraries.lines;
const ENCODER = new TextEncoder();

/** What `filter` makes of a text, where some events need not be read or where all are. */
async function filtered(
  text: string,
  config: Config,
  { quietly, chunk = 100_000 }: { quietly: boolean; chunk?: number },
) {
  const filter = new Filter(config);
  const classifier = new Classifier(config.classifier ?? {});
  const badLines: string[] = [];
  const reader = new RecordReader(readBytes(ENCODER.encode(text)), {
    chunk,
    onBadLine: (line, problem) => void badLines.push(`${line} ${problem}`),
    isLeftOut: filter.isLeftOut,
    ...(quietly
      ? {
        splitter: new NativeSplitter(LIBRARY),
        unreadEvents: new UnreadEvents(filter, classifier),
      }
      : {}),
  });
  let quiet = 0;
  let repeated = 0;
  async function* batches(): AsyncGenerator<PartlyReadBatch> {
    for await (const batch of reader.batches()) {
      const settle = (i: number) => {
        const settled = batch.settle(i);
        if (settled instanceof QuietEvent) quiet++;
        else if (settled instanceof UnreadEvent) repeated++;
        return settled;
      };
      yield Object.assign([...batch], { ...batch, settle });
    }
  }
  const written: Uint8Array[] = [];
  const tally = new Tally();
  await runChainAsync(batches(), {
    transforms: [filter.transform, classifier.transform],
    openSink: () => new NdjsonSink((bytes) => void written.push(bytes.slice())),
    tally,
    live: true,
  });
  const output = new TextDecoder().decode(await new Blob(written as BlobPart[]).bytes());
  return {
    quiet,
    repeated,
    found: { badLines, lines: output.split("\n"), summary: tally.summary() },
  };
}

function configOf(yaml: string): Config {
  return parseConfig(ENCODER.encode(yaml), "test.yaml").config;
}

/** Whether the last of some records passes without being read. */
async function isQuiet(records: readonly object[], config = "{}"): Promise<boolean> {
  const lines = records.map((record) => `${JSON.stringify(record)}\n`);
  const count = async (lines: readonly string[]) =>
    (await filtered(lines.join(""), configOf(config), { quietly: true })).quiet;
  return await count(lines) > await count(lines.slice(0, -1));
}

function op(name: string, op_info = {}, over = {}) {
  return event({ opcode: `IORING_OP_${name}`, op_info, ...over });
}

const URING = {
  opcode_number: 22,
  ctx: "0xffff888100c4a000",
  user_data: "0x1",
  fd: 5,
  fixed_file: false,
  sqe_flags: [],
  sq_thread: false,
  cpu: 1,
  seq: 2,
};
const FILE = { kind: "file", path: "/srv/data" };
const READ = op("READ", { fd: 5, offset: 0, len: 4096 });
const OURS = op("READ", { fd: 5, len: 4096, target: FILE }, {
  io_uring: URING,
  seccomp: { mode: 0, filters: 0 },
  unverified: ["process.args"],
});
const OPENAT = op("OPENAT", {
  path: "/srv/data",
  dfd: "AT_FDCWD",
  access_flags: "O_RDONLY",
  creation_flags: "O_CLOEXEC",
});

Deno.test("UnreadEvents knows events that no rule asks about", async () => {
  for (
    const quiet of [
      op("NOP"),
      READ,
      OURS,
      OPENAT,
      op("STATX", { path: "/srv/x", dfd: "AT_FDCWD", flags: "", mask: "STATX_ALL" }),
      op("CLOSE", { fd: 3 }),
      op("OPENAT", { path: "/etc/hostname", dfd: "AT_FDCWD", mode: "0644" }),
      op("OPENAT", { path: "/home/user/notes", dfd: "AT_FDCWD" }),
      op("READ", { fd: 5, target: { kind: "file", path: "/usr/lib/libc.so.6" } }),
      op("TIMEOUT", { sec: 1, nsec: 0, count: 0, flags: "" }),
    ]
  ) assert.ok(await isQuiet([quiet]), JSON.stringify(quiet));
});

Deno.test("UnreadEvents leaves events to be read that a rule may ask about", async () => {
  const uring = (over: object) => ({ ...OURS, io_uring: { ...URING, ...over } });
  const info = (record: object, over: object) => ({
    ...record,
    op_info: { ...(record as { op_info: object }).op_info, ...over },
  });
  for (
    const told of [
      op("CONNECT", { addr: "192.0.2.1", port: 1 }),
      op("SEND"),
      op("UNLINKAT", { path: "/tmp/agent" }),
      op("UNKNOWN"),
      ...[
        "/etc/shadow",
        "/home/user/.ssh/id_rsa",
        "//etc/shadow",
        "/srv/../etc/shadow",
        "/srv//data",
        "/proc/self/root/srv",
        "/dev/fd/3/shadow",
        "etc/shadow",
        "",
        "/",
        "/srv/",
        'a"b',
        "/srv/\u0007",
      ].map((path) => info(OPENAT, { path })),
      info(OPENAT, { path_hex: "2f6574632f736861646f77" }),
      info(OPENAT, { resolve: "RESOLVE_IN_ROOT" }),
      info(OPENAT, { file_slot: 3 }),
      info(READ, { target: { kind: "socket", family: "AF_INET" } }),
      info(READ, { target: { kind: "pipe" } }),
      info(READ, { target: { kind: "file", path: "/etc/shadow" } }),
      info(READ, { target_in: { kind: "file", path: "/etc/shadow" } }),
      info(READ, { target: { kind: "file", addr: "192.0.2.1" } }),
      info(READ, { fd: 255 }),
      info(READ, { fd: "5" }),
      info(READ, { fixed_file: true }),
      info(READ, { new_key: 1 }),
      uring({ opcode_number: 16 }),
      uring({ opcode_number: -1 }),
      uring({ fd: 6 }),
      uring({ fixed_file: true }),
      uring({ sqe_flags: ["IOSQE_CQE_SKIP_SUCCESS"] }),
      uring({ personality: 1 }),
      uring({ cred: { uid: 0, euid: 0 } }),
      uring({ rejected: true }),
      uring({ ctx: "0xFF" }),
      uring({ ctx: "0x0" }),
      { ...OURS, seccomp: { mode: 2, filters: 1 } },
      { ...OURS, seccomp: { mode: 0 } },
      { ...OURS, seccomp_active: true },
      { ...OURS, result: { res: -13, errno: "EACCES" } },
      { ...OURS, missing: [] },
      { ...OURS, classification: { suspicious: true, severity: "high", rules: [] } },
      { ...OURS, type: "IOUringResult" },
      { ...OURS, process: { ...OURS.process, pid: "42" } },
    ]
  ) assert.ok(!await isQuiet([told]), JSON.stringify(told));
});

Deno.test("UnreadEvents asks what came before an event", async () => {
  const connect = op("CONNECT", { addr: "192.0.2.1", port: 1 }, { io_uring: { fd: 5 } });
  assert.ok(!await isQuiet([connect, READ]));
  assert.ok(await isQuiet([connect, op("READ", { fd: 6, len: 1 })]));
  assert.ok(await isQuiet([connect, op("CLOSE", { fd: 5 }), READ]));
  assert.ok(!await isQuiet([connect, op("CLOSE", {}), READ]));
  assert.ok(await isQuiet([connect, status(), READ]));

  const statx = op("STATX", { path: "/usr/bin/su", dfd: "AT_FDCWD" });
  assert.ok(!await isQuiet([statx, OPENAT]));
  assert.ok(await isQuiet([statx, READ]));

  const entry = ring({ ctx_addr: URING.ctx, pid: 7 });
  assert.ok(!await isQuiet([entry, OURS]));
  assert.ok(await isQuiet([entry, READ]));
  assert.ok(await isQuiet([{ ...entry, pid: 42 }, OURS]));
  assert.ok(!await isQuiet([{ ...entry, pid: 42 }, OURS, entry, OURS]));
  assert.ok(await isQuiet([entry, status({ phase: "lost" } as object), OURS]));
});

Deno.test("UnreadEvents knows what was said before", async () => {
  const at = (record: ReturnType<typeof op>, seq: number) => ({
    ...record,
    timestamp: `2025-08-04T12:09:0${seq}.984Z`,
    io_uring: { cpu: seq % 2, seq, user_data: `0x${seq}`, fd: 5 },
  });
  const repeated = async (...records: ReturnType<typeof op>[]) => {
    const lines = records.map((record, i) => `${JSON.stringify(at(record, i))}\n`);
    // Each is judged before the next is split.
    return (await filtered(lines.join(""), {}, { quietly: true, chunk: 1 })).repeated;
  };
  const told = op("OPENAT", { path: "/etc/shadow" });
  assert.equal(await repeated(told, told, told), 2);
  assert.equal(await repeated(told, op("OPENAT", { path: "/etc/passwd-" })), 0);
  assert.equal(await repeated(told, { ...told, process: { ...told.process, pid: 43 } }), 0);
  // What changes what is known has to be judged once more.
  const connect = op("CONNECT", { addr: "192.0.2.1", port: 1 });
  const close = op("CLOSE", { fd: 5 });
  const send = op("SEND", { fd: 5 });
  assert.equal(await repeated(connect, connect, connect), 1);
  assert.equal(await repeated(connect, send, send), 1);
  assert.equal(await repeated(connect, send, close, send), 0);
  // What is counted depends on the time.
  const statx = op("STATX", { path: "/usr/bin/su" });
  assert.equal(await repeated(statx, statx, statx), 0);
  // A quiet event that names a path, where names are counted.
  assert.equal(await repeated(statx, OPENAT, OPENAT), 1);
});

const RULES = {
  "an opcode": "{ opcode: [IORING_OP_READ] }",
  "a key": "{ op_info: { len: [4096] } }",
  "a process": "{ process: { uid: [1000] } }",
  "no seccomp": "{ seccomp: false }",
  "files": "{ target: [file] }",
  "what came before": "{ opcode: [IORING_OP_NOP], after: [IORING_OP_READ] }",
  "a count": "{ opcode: [IORING_OP_READ], times: 2 }",
  "a path": "{ path: { exact: [/srv/data] } }",
  "another path": "{ path: { exact: [/srv/other] } }",
  "any path": '{ path: { glob: ["/s*/data"] } }',
};

for (const [about, condition] of Object.entries(RULES)) {
  Deno.test(`UnreadEvents heeds a rule of the config: ${about}`, async () => {
    const config =
      `classifier: { rules: [{ id: own, title: t, severity: low, when: [${condition}] }] }`;
    const quiet = about === "another path";
    assert.equal(await isQuiet([op("READ", { fd: 5, len: 4096, target: FILE })], config), quiet);
  });
}

Deno.test("UnreadEvents heeds the filter", async () => {
  assert.ok(await isQuiet([READ], "process_filter: { uid: [1000] }"));
  assert.ok(!await isQuiet([READ], "process_filter: { uid: [1] }"));
  assert.ok(!await isQuiet([READ], "event_filter: { opcode: [IORING_OP_READ] }"));
});

/** A stream of what is quiet, of what is not, and of what is neither quite; the same for a seed. */
function* stream(random: Random, count: number): Generator<string> {
  const some = <T>(share: number, value: () => T) => random.below(100) < share ? [value()] : [];
  const paths = [
    ...["/srv/a", "/srv/b/c", "/opt/x", "/mnt/data/1", "/srv/a", "/srv/b/c", "/opt/x"],
    ...["/etc/shadow", "/etc/hostname", "//etc/shadow", "/srv/../etc/shadow", "/tmp/agent"],
    ...["/usr/bin/su", "/usr/bin/sudo", "/usr/bin/ls", "/opt/su", "su", "shadow", "", "/"],
    ...["/etc/passwd-", "/etc/ssh/x", "/etc/cron.d", "/etc/crox", "/home/a/x", "/home/a/.ssh/id"],
    ...["/home/.bashrc", "/var/lib/a/.ssh/k", "/var/lib/x", "/usr/lib/systemd", "/usr/lib/x.so"],
    ...["/proc/self/root/etc/shadow", "/proc/77/comm", "/dev/fd/3/shadow", "/var/run/utmp"],
    ...["/srv/\u00e4", "/srv/\u0001", "/srv/\ufffd", '/srv/"', "/srv/\\", "/sr", "/srv"],
  ];
  const fds = [3, 4, 5, 5, 5, 6, -1, 254, 255, 1 << 20, "5", null];
  const rings = ["0xffff888100c4a000", "0xffff888100c4a000", "0xffff888100c4b000", "0x1", "0x0"];
  const pids = [42, 42, 43, 44];
  const names = OPCODES.map(({ name }) => name);
  const usual = ["READ", "WRITE", "OPENAT", "STATX", "NOP", "CLOSE", "CONNECT", "SEND"]
    .map((name) => `IORING_OP_${name}`);
  const addresses = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "x"];
  const target = () => ({
    ...Object.fromEntries([
      ...some(90, () => ["kind", random.one(["file", "file", "dir", "socket", "pipe", 1])]),
      ...some(50, () => ["path", random.one(paths)]),
      ...some(5, () => ["path_hex", "2f6574632f736861646f77"]),
      ...some(10, () => ["addr", random.one(addresses)]),
      ...some(10, () => ["port", 443]),
    ]),
  });
  let now = Date.parse("2025-08-04T12:09:05.984Z");
  for (let i = 0; i < count; i++) {
    now += random.one([0, 1, 50, 400]);
    const timestamp = new Date(now).toISOString();
    const pid = random.one(pids);
    const process = {
      ...event().process,
      pid,
      tid: pid + random.below(2),
      ppid: random.one([1, 42]),
      uid: random.one([1000, 1000, 0]),
      ...(pid === 44 ? { binary_path: "/usr/bin/find", cwd: "/etc" } : {}),
    };
    if (random.below(400) === 0) {
      const phase = random.one(["start", "lost", "end"] as const);
      yield JSON.stringify({ ...status({ timestamp }), phase });
      continue;
    }
    if (random.below(100) === 0) {
      const owners = [{ pid: random.one(pids), comm: "agent", fd: 3 }];
      yield JSON.stringify(ring({
        ctx_addr: random.one(rings),
        pid: random.one([...pids, 0]),
        process,
        ...(random.below(2) === 0 ? { owners } : {}),
      }));
      continue;
    }
    const opcode = random.below(4) === 0 ? random.one(names) : random.one(usual);
    const number = OPCODES.find(({ name }) => name === opcode)!.number;
    const fd = random.one(fds);
    const op_info = Object.fromEntries([
      ...some(50, () => ["path", random.one(paths)]),
      ...some(3, () => ["path_hex", "2f6574632f736861646f77"]),
      ...some(5, () => ["new_path", random.one(paths)]),
      ...some(5, () => ["old_path", random.one(paths)]),
      ...some(30, () => ["dfd", random.one(["AT_FDCWD", 3])]),
      ...some(10, () => ["dfd_path", random.one(paths)]),
      ...some(10, () => ["resolve", "RESOLVE_IN_ROOT"]),
      ...some(50, () => ["fd", fd]),
      ...some(5, () => ["file_slot", 3]),
      ...some(20, () => ["fixed_file", random.below(5) === 0]),
      ...some(50, () => ["len", 4096]),
      ...some(20, () => ["access_flags", random.one(["O_RDONLY", "O_WRONLY", "O_RDWR"])]),
      ...some(20, () => ["creation_flags", random.one(["O_CREAT | O_TRUNC", ""])]),
      ...some(20, () => ["flags", random.one(["", "AT_EMPTY_PATH", "MSG_FASTOPEN"])]),
      ...some(5, () => ["mode", random.one(["0644", "FALLOC_FL_PUNCH_HOLE", 0])]),
      ...some(opcode.endsWith("CONNECT") ? 90 : 5, () => ["addr", random.one(addresses)]),
      ...some(10, () => ["port", 443]),
      ...some(40, () => ["target", target()]),
      ...some(5, () => ["target_in", target()]),
    ]);
    const uring = Object.fromEntries([
      ...some(80, () => ["opcode_number", random.below(50) === 0 ? random.below(70) : number]),
      ...some(80, () => ["ctx", random.one(rings)]),
      ...some(80, () => ["fd", random.below(50) === 0 ? random.one(fds) : fd]),
      ...some(80, () => ["sqe_flags", random.below(20) === 0 ? ["IOSQE_CQE_SKIP_SUCCESS"] : []]),
      ...some(3, () => ["personality", random.below(2)]),
      ...some(2, () => ["cred", { uid: 0, euid: 0 }]),
      ...some(4, () => ["rejected", random.below(3) > 0]),
    ]);
    let line = JSON.stringify({
      type: random.below(30) === 0 ? "IOUringResult" : "IOUringEvent",
      process,
      opcode: random.below(50) === 0 ? "UNKNOWN" : opcode,
      op_info,
      timestamp,
      ...(random.below(2) === 0 ? { io_uring: uring } : {}),
      ...(random.below(3) === 0
        ? { seccomp: { mode: 2 * Number(random.below(9) === 0), filters: 0 } }
        : {}),
      ...(random.below(20) === 0 ? { result: { res: random.one([-13, 3, 5]) } } : {}),
      ...(random.below(40) === 0 ? { missing: ["op_info.path"] } : {}),
      ...(random.below(40) === 0 ? { unverified: ["op_info.path"] } : {}),
    });
    if (random.below(10) === 0) {
      // A key that comes twice, or at another place.
      const member = random.one([
        '"opcode":"IORING_OP_CONNECT"',
        '"opcode":"IORING_OP_NOP"',
        '"opcode_number":16',
        '"op_info":{"path":"/etc/shadow"}',
        '"path":"/srv/a"',
        '"path":"/etc/shadow"',
        '"fd":5',
        '"ctx":"0xffff888100c4b000"',
        '"io_uring":{"fd":5}',
        '"io_uring":{}',
        '"seccomp":{"mode":2}',
        '"target":{"kind":"socket"}',
        '"op\\u0063ode":"IORING_OP_CONNECT"',
        '"type":"IOUringEvent"',
      ]);
      const commas = [...line.matchAll(/(?<=["\d}\]]),(?=")/g)].map(({ index }) => index);
      const at = random.one(commas);
      line = `${line.slice(0, at)},${member}${line.slice(at)}`;
    }
    if (random.below(40) === 0) {
      const at = random.below(line.length);
      const piece = random.one(["", "{", "}", '"', ",", "\\", "0", ":", "/", "."]);
      line = line.slice(0, at) + piece + line.slice(at + 1);
    }
    yield line;
  }
}

/** What a stream says, again and again, at other times. */
function* repetitions(random: Random, count: number): Generator<string> {
  const lines = [...stream(random, count)];
  const some = lines.slice(0, 20 + random.below(200));
  let now = Date.parse("2025-08-04T12:09:05.984Z");
  for (let i = 0; i < count; i++) {
    now += random.one([0, 1, 50, 400]);
    const line = random.below(20) === 0 ? random.one(lines) : random.one(some);
    yield line.replace(/(?<="timestamp":")[^"]*/, () => new Date(now).toISOString())
      .replace(/(?<="io_uring":\{)(?=")/, () => `"cpu":${random.below(2)},"seq":${i},`);
  }
}

/** A rule's condition on more paths than a byte counts. */
const MANY_PATHS = `{ path: { prefix: [${
  Array.from({ length: 600 }, (_, i) => `/srv/${i}/, /opt${i}/`).join()
}] } }`;

const CONFIGS = [
  ["no config", "{}", 150],
  [
    "a rule for many paths",
    `classifier: { rules: [{ id: own, title: t, severity: low, when: [${MANY_PATHS}] }] }`,
    100,
  ],
  ["a user", "process_filter: { uid: [1000] }", 100],
  ["users but one", "process_filter: { deny_list: true, uid: [0] }", 100],
  ["opcodes", "event_filter: { opcode: [IORING_OP_READ] }", 0],
  [
    "few rules",
    "classifier: { disable: [foreign-ring, inherited-ring, suid-hunt, credential-access] }",
    150,
  ],
  ...Object.entries(RULES).map(([about, condition]) =>
    [
      `a rule for ${about}`,
      `classifier: { rules: [{ id: own, title: t, severity: low, when: [${condition}] }] }`,
      0,
    ] as const
  ),
] as const;

for (const [i, [about, yaml, least]] of CONFIGS.entries()) {
  Deno.test(`UnreadEvents changes nothing of what is written: ${about}`, async () => {
    const config = configOf(yaml);
    for (const lines of [stream, repetitions]) {
      const text = [...lines(new Random(1 + i), 6000)].join("\n") + "\n";
      const { found, quiet, repeated } = await filtered(text, config, { quietly: true });
      assert.deepEqual(found, (await filtered(text, config, { quietly: false })).found);
      assert.ok(quiet >= (lines === stream ? least : 0), `${quiet} of them are quiet`);
      const mayRepeat = lines === repetitions && config.event_filter === undefined;
      assert.ok(repeated > (mayRepeat ? 50 : -1), `${repeated} of them are repeated`);
      assert.ok(found.badLines.length > 0 && found.lines.length > 100);
    }
  });
}
