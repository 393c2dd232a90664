import assert from "node:assert/strict";
import type { PartlyReadBatch } from "../../lib/chain/chain.ts";
import { Filter, type RecordFilter, recordFilter } from "../../lib/chain/filter.ts";
import { RecordReader } from "../../lib/chain/record_reader.ts";
import { UnreadEvent } from "../../lib/chain/unread_events.ts";
import { NativeSplitter } from "../../ffi/lines.ts";
import { locateLibraries } from "../../ffi/libraries.ts";
import { NO_REPEAT, NOT_TAKEN, ROW } from "../../lib/chain/line_splitter.ts";
import { readBytes } from "../chain/read_bytes.ts";
import { event } from "../chain/records.ts";
import { run } from "../command.ts";
import { ROOT } from "../paths.ts";
import { Random } from "../scan/mutations.ts";

const LIBRARY = locateLibraries("source", []).libraries.lines;
const NEWLINE = 10;
const ENCODER = new TextEncoder();
const PUBLISHED = JSON.stringify(event());
const OURS = JSON.stringify({
  ...event({
    op_info: { path: "/a\u001b b\\c", target: { kind: "file", path: "/a" } },
    seccomp: { mode: 2, filters: 1 },
    unverified: ["op_info.path"],
  }),
  io_uring: {
    opcode_number: 0,
    ctx: "0x1",
    user_data: "0x0",
    fd: -1,
    sqe_flags: [],
    cpu: 0,
    seq: 1,
  },
  result: { res: -13, errno: "EACCES", latency_ns: 1200 },
  classification: { suspicious: true, severity: "high", rules: [{ id: "a", attack: ["T1"] }] },
});

/** What is found in a text of a few whole lines. */
function split(splitter: NativeSplitter, text: string) {
  const bytes = ENCODER.encode(text);
  const found = splitter.split(bytes, 0, false);
  assert.equal(found.next, bytes.length);
  const rows = Array.from(
    { length: found.rows.length / ROW },
    (_, i) => [...found.rows.subarray(i * ROW, (i + 1) * ROW)],
  );
  const json = new TextDecoder().decode(splitter.join(bytes, found.rows));
  return { ...found, rows, objects: json === "" ? [] : JSON.parse(json) };
}

/** Whether a line is left out once the user of its process is. */
function isSkipped(line: string): boolean {
  const splitter = new NativeSplitter(LIBRARY);
  const { rows } = split(splitter, `${line}\n`);
  const [row] = rows;
  if (row![3]! >= 0) splitter.leaveOut(row![3]!);
  const { skipped, lines } = split(splitter, `${line}\n`);
  assert.equal(lines, 1);
  return skipped === 1;
}

Deno.test("NativeSplitter leaves out events, as this program and others write them", () => {
  const { type, process, ...rest } = event();
  for (const line of [PUBLISHED, OURS, JSON.stringify({ ...rest, process, type })]) {
    assert.ok(isSkipped(line), line);
    assert.ok(isSkipped(`${line}\r`), line);
    assert.ok(
      isSkipped(line.replaceAll(/(?<=["\d\]}])([,:])(?=["\d[{])/g, "$1 ")),
      line,
    );
  }
});

Deno.test("NativeSplitter leaves what it does not know, and other records, to be read", () => {
  for (
    const line of [
      "{}",
      PUBLISHED.slice(0, -1),
      `${PUBLISHED}}`,
      ` ${PUBLISHED}`,
      PUBLISHED.replace("IOUringEvent", "IOUringResult"),
      PUBLISHED.replace('"opcode"', '"missing":[],"opcode"'),
      PUBLISHED.replace('"opcode"', '"process":{"uid":0},"opcode"'),
      PUBLISHED.replace('"opcode"', '"ty\\u0070e":"IOUringEntry","opcode"'),
      PUBLISHED.replace("/tmp/agent", "/tmp/ägent"),
      PUBLISHED.replace("/tmp/agent", `/tmp/${"a".repeat(5000)}`),
    ]
  ) assert.ok(!isSkipped(line), line);
});

Deno.test("NativeSplitter tells where each line is, and gives the rest of it", () => {
  const splitter = new NativeSplitter(LIBRARY);
  const other = '{"type":"IOUringStatus","phase":"start"}';
  const { process, ...rest } = event();
  const { rows, objects } = split(splitter, `${PUBLISHED}\n \t\r\n${other}\n${PUBLISHED}\n`);
  assert.deepEqual(objects, [{ ...rest, process: 0 }, JSON.parse(other), {
    ...rest,
    process: 0,
  }]);
  const length = PUBLISHED.length + 1;
  const [first, status, again] = rows;
  const text = PUBLISHED.slice(first![4], first![5]);
  assert.deepEqual(JSON.parse(text), process);
  assert.deepEqual(first!.slice(0, 3), [0, length, 0]);
  assert.deepEqual(status!.slice(0, 3), [length + 4, length + 5 + other.length, 2]);
  assert.deepEqual(again!.slice(2, 4), [3, first![3]]);
  const odd = split(splitter, "\n \t\r\n{]\n");
  assert.deepEqual([odd.lines, odd.rows], [3, [[5, 8, 2, NOT_TAKEN, 0, 0, 0, 0, 0, 0, NO_REPEAT]]]);
});

Deno.test("NativeSplitter tells processes apart, and forgets when there are too many", () => {
  const splitter = new NativeSplitter(LIBRARY);
  const start = split(splitter, "\n").generation;
  let generation = start;
  const numbers = new Map<string, number>();
  for (let pid = 1; pid < 40_000; pid += 7) {
    const lines = [pid, pid, pid + 1].map((pid) =>
      JSON.stringify({ ...event(), process: { ...event().process, pid, args: "x".repeat(1500) } })
    );
    const found = split(splitter, lines.join("\n") + "\n");
    const [first, second, third] = found.rows.map((row) => row[3]!);
    assert.ok(first! >= 0 && first === second && third !== first);
    if (found.generation !== generation) numbers.clear();
    generation = found.generation;
    for (const [number, line] of [[first, lines[0]], [third, lines[2]]] as const) {
      assert.equal(numbers.get(line!) ?? number, number);
      numbers.set(line!, number!);
    }
  }
  assert.ok(generation > start + 1);
});

Deno.test("NativeSplitter asks anew about processes that it forgot", () => {
  const splitter = new NativeSplitter(LIBRARY);
  const line = (pid: number) =>
    JSON.stringify({ ...event(), process: { ...event().process, pid, args: "x".repeat(3000) } });
  const first = split(splitter, `${line(0)}\n`);
  splitter.leaveOut(first.rows[0]![3]!);
  assert.equal(split(splitter, `${line(0)}\n`).skipped, 1);
  let { generation } = first;
  for (let pid = 1; generation < first.generation + 3; pid++) {
    const found = split(splitter, `${line(pid)}\n`);
    assert.equal(found.skipped, 0);
    generation = found.generation;
  }
  assert.equal(split(splitter, `${line(0)}\n`).skipped, 0);
});

Deno.test("NativeSplitter refuses lines without an end", () => {
  const splitter = new NativeSplitter(LIBRARY);
  assert.throws(() => splitter.split(ENCODER.encode("{}"), 0, false), /no newline/);
});

function lineOf({ lines }: PartlyReadBatch, i: number): string {
  const { bytes, starts, ends } = lines;
  const line = new TextDecoder().decode(bytes.subarray(starts[i], ends[i]));
  assert.ok(line.endsWith("\n"));
  return line.slice(0, -1);
}

/** Lines of events and of what looks like them, many of them damaged; the same for the same seed. */
function* damagedLines(count: number): Generator<Uint8Array> {
  const random = new Random(7);
  const processes = [
    () => `"uid":${random.below(3)},"euid":${random.below(2)},"filename":"a"`,
    () =>
      `"start_time":"t","pid":${random.below(99999)},"uid":1,"euid":1,"filename":"${
        "ab"[random.below(2)]
      }"`,
    () => `"euid":0,"filename":"a","uid":${random.below(3)}`,
    () => `"uid":1,"euid":1,"filename":"\\u0061"`,
    () => `"uid":1,"euid":1,"filename":"\ufffd","filename_hex":"ff"`,
    () => `"uid":1,"euid":1,"filename":"b","filename_hex":"61"`,
    () => `"uid":1,"euid":1,"filename":"a","uid":2`,
    () => `"uid":1,"u\\u0069d":2,"euid":1,"filename":"a"`,
    () => `"uid":1.0,"euid":1e0,"filename":"a"`,
    () => `"uid":"1","euid":null,"filename":["a"]`,
    () => `"args":"\\"uid\\":2","uid":1,"euid":1,"filename":"a","x":{"uid":2}`,
    () => `"euid":1,"filename":"a"`,
    () => "",
  ];
  const rests = [
    ',"opcode":"N","process":7}',
    ',"opcode":"N","pr\\u006fcess":{"uid":1,"euid":1,"filename":"a"}}',
    '.5,"opcode":"N"}',
    ',"opcode":"N","timestamp":"t"}',
    ',"opcode":"N","op_info":{"path":"/a","n":-5},"timestamp":"t"}',
    ',"opcode":"N","op_info":{"target":{"kind":"file","path":"/a"},"l":[1,"x",null]}} \r',
    ',"timestamp":"t","seccomp":{"mode":0},"io_uring":{"sqe_flags":["A"],"x":true},"unverified":[]}',
    ',"classification":{"suspicious":true,"rules":[{"id":"a","attack":["T1"]}]}}',
    ',"timestamp":"t","missing":["process.uid"]}',
    ',"timestamp":"t","miss\\u0069ng":["process.uid"]}',
    ',"timestamp":"t","process":{"uid":1,"euid":1,"filename":"a"}}',
    ',"timestamp":"t","proc\\u0065ss":{"uid":2}}',
    ',"timestamp":"t","type":"Else"}',
    ',"timestamp":"t","ty\\u0070e":"Else"}',
    ',"op_info":{"path":"/\u00e9\ufffd"},"timestamp":"t"}',
    ',"op_info":{"process":{"uid":2},"type":"Else","missing":[1]},"timestamp":"t"}',
    ',"x":{"process":{"uid":2}},"later":{"a":{"b":{"c":[[[[[[[[[1]]]]]]]]]}}}}',
    ',"n":1.5,"m":-0,"e":1E5}',
    "}",
    "} ",
    "},",
    ',"opcode":"N"}{"type":"IOUringEvent"}',
  ];
  const pieces = [
    ...[
      '"',
      "\\",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "0",
      "1",
      "-",
      ".",
      " ",
      "\r",
      "\t",
      "\x00",
      "\x7f",
      "\u00e9",
    ],
    ...[
      '"process":',
      '"uid":2,',
      '"missing":[],',
      '"type":"X",',
      "\\u0022",
      "\ufeff",
      "\u2028",
      "null",
      "\\",
    ],
  ];
  const invalid = [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf8]];
  const encoder = new TextEncoder();
  for (let i = 0; i < count; i++) {
    // Some are long enough to be remembered, and some of those begin alike.
    const text = "x".repeat(random.one([70, 90, 100, 300]));
    const args = random.below(2) === 0 ? "" : `"args":"${text}",`;
    const process = `"process":{${args}${random.one(processes)()}}`;
    const type = random.below(12) === 0 ? "IOUringResult" : "IOUringEvent";
    let line = random.below(8) === 0
      ? `{${process},"type":"${type}"${random.one(rests)}`
      : `{"type":"${type}",${process}${random.one(rests)}`;
    if (random.below(6) === 0) line = line.replaceAll(/(?<=")([,:])/g, "$1 ");
    for (let damage = random.below(3); damage > 0; damage--) {
      const at = random.below(line.length + 1);
      line = line.slice(0, at) + random.one(["", ...pieces]) + line.slice(at + random.below(3));
    }
    const bytes = encoder.encode(line);
    if (random.below(20) !== 0) {
      yield bytes;
    } else {
      const at = random.below(bytes.length);
      yield Uint8Array.from([
        ...bytes.subarray(0, at),
        ...random.one(invalid),
        ...bytes.subarray(at),
      ]);
    }
  }
}

Deno.test("lines.c reads and writes nothing outside of what it is given", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const program = `${folder}/bounds`;
    const options = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined"];
    const { code, stderr } = run("cc", [
      ...options,
      "-fno-sanitize-recover",
      "-o",
      program,
      `${ROOT}test/ffi/lines_bounds.c`,
    ]);
    assert.equal(code, 0, stderr);
    const input = `${folder}/lines`;
    Deno.writeFileSync(input, textOf([...damagedLines(50_000)]));
    // What is still held at the end does not matter, and is not looked for in every container.
    const env = { ASAN_OPTIONS: "detect_leaks=0" };
    assert.deepEqual(run(program, [input], { env }), { code: 0, stdout: "", stderr: "" });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

/** Lines, each with a newline. */
function textOf(lines: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const text = new Uint8Array(lines.reduce((sum, { length }) => sum + length + 1, 0));
  let length = 0;
  for (const line of lines) {
    text.set(line, length);
    length += line.length + 1;
    text[length - 1] = NEWLINE;
  }
  return text;
}

/** What becomes of a line where everything is read. */
function oracle(bytes: Uint8Array, judge: RecordFilter) {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { bad: "is not UTF-8" };
  }
  if (/^[ \t\r]*$/.test(text)) return {};
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    return { bad: "is not JSON" };
  }
  if (typeof (record as { type?: unknown } | null)?.type !== "string") {
    return { bad: "is not a record" };
  }
  // Records of other types pass.
  const isJudged = /^IOUring(?:Event|Result)$/.test((record as { type: string }).type);
  return isJudged && judge(record as object) !== "pass"
    ? { leftOut: true }
    : { passed: { text, record } };
}

for (
  const [about, process_filter, skips] of [
    ["a user", { uid: [1] }, true],
    ["users but one", { deny_list: true, uid: [1] }, true],
    ["users and a name", { uid: [1, 2], euid: [1], binary: { name: ["a"] } }, true],
    ["names but one", { deny_list: true, binary: { name: ["a"] } }, true],
    ["a path, which no process has", { binary: { path: ["/a"], prefix: ["/"] } }, false],
    ["everything", {}, false],
  ] as const
) {
  Deno.test(`RecordReader and Filter do what they would if all was read: ${about}`, async () => {
    const filter = new Filter({ process_filter });
    const judge = recordFilter({ process_filter });
    const lines = [...damagedLines(20_000)].filter((line) => !line.includes(NEWLINE));
    const input = textOf(lines);
    const expected = { bad: [] as string[], passed: [] as object[], leftOut: 0 };
    for (const [i, line] of lines.entries()) {
      const { bad, passed, leftOut } = oracle(line, judge);
      if (bad !== undefined) expected.bad.push(`${i + 1} ${bad}`);
      if (passed !== undefined) expected.passed.push(passed);
      if (leftOut) expected.leftOut++;
    }
    const actual = { bad: [] as string[], passed: [] as object[], leftOut: 0 };
    let skipped = 0;
    const reader = new RecordReader(readBytes(input), {
      onBadLine: (line, problem) => void actual.bad.push(`${line} ${problem}`),
      splitter: new NativeSplitter(LIBRARY),
      isLeftOut: filter.isLeftOut,
      chunk: 10_000,
    });
    for await (const batch of reader.batches()) {
      skipped += batch.skipped;
      batch.forEach((record, i) => {
        assert.ok(!(record instanceof UnreadEvent));
        if (filter.transform(record) === undefined) actual.leftOut++;
        else actual.passed.push({ text: lineOf(batch, i), record });
      });
    }
    actual.leftOut += skipped;
    assert.deepEqual(actual, expected);
    assert.ok(expected.bad.length > 3000 && expected.passed.length > 1000);
    assert.equal(skipped > 30, skips, `${skipped} skipped`);
  });
}
