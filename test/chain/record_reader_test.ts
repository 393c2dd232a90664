import assert from "node:assert/strict";
import type { RecordBatch } from "../../lib/chain/chain.ts";
import { Filter, type RecordFilter, recordFilter } from "../../lib/chain/filter.ts";
import { RecordReader, type RecordReaderOptions } from "../../lib/chain/record_reader.ts";
import { Random } from "../scan/mutations.ts";

function lineOf({ lines }: RecordBatch, i: number): string {
  const { bytes, starts, ends } = lines!;
  const line = new TextDecoder().decode(bytes.subarray(starts[i], ends[i]));
  assert.ok(line.endsWith("\n"));
  return line.slice(0, -1);
}

/** The records of `input` and the complaints, read `step` bytes at a time. */
async function read(
  input: string | Uint8Array,
  step: number,
  over: Partial<RecordReaderOptions> = {},
) {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  const bad: string[] = [];
  const lines: string[] = [];
  let at = 0;
  const reader = new RecordReader((buffer) => {
    if (at === bytes.length) return Promise.resolve(null);
    const part = bytes.subarray(at, at + Math.min(step, buffer.length));
    buffer.set(part);
    at += part.length;
    return Promise.resolve(part.length);
  }, { onBadLine: (line, problem) => void bad.push(`${line} ${problem}`), ...over });
  for await (const batch of reader.batches()) {
    batch.forEach((record, i) => {
      const line = lineOf(batch, i);
      assert.deepEqual(JSON.parse(line), record);
      lines.push(line);
    });
  }
  return { lines, bad };
}

const STEPS = [1, 7, 100_000];

Deno.test("RecordReader pairs each record with its line", async () => {
  const input = '{"type":"A"}\n { "type" : "B", "ü": "漢" } \r\n\n{"type":"C"}';
  for (const step of STEPS) {
    assert.deepEqual(await read(input, step), {
      lines: ['{"type":"A"}', ' { "type" : "B", "ü": "漢" } \r', '{"type":"C"}'],
      bad: [],
    });
  }
});

Deno.test("RecordReader reports what is no record, with its line", async () => {
  const input = 'x\n[]\n{"type":"A"}\nnull\n7\n{}\n{"type":1}\n{"type":"B"\n\x00\n{"type":"C"}\n';
  for (const step of STEPS) {
    assert.deepEqual(await read(input, step), {
      lines: ['{"type":"A"}', '{"type":"C"}'],
      bad: [
        "1 is not JSON",
        "2 is not a record",
        "4 is not a record",
        "5 is not a record",
        "6 is not a record",
        "7 is not a record",
        "8 is not JSON",
        "9 is not JSON",
      ],
    });
  }
});

Deno.test("RecordReader leaves out a line that is not UTF-8, and only that", async () => {
  const input = new Uint8Array([
    ...new TextEncoder().encode('{"type":"Ä"}\n{"type":"'),
    0xff,
    ...new TextEncoder().encode('"}\n{"type":"B"}\n'),
  ]);
  for (const step of STEPS) {
    assert.deepEqual(await read(input, step), {
      lines: ['{"type":"Ä"}', '{"type":"B"}'],
      bad: ["2 is not UTF-8"],
    });
  }
});

Deno.test("RecordReader leaves out a line that is too long", async () => {
  const input = `{"type":"A"}\n${"x".repeat(1000)}\n{"type":"B"}\n`;
  assert.deepEqual(await read(input, 16, { limit: 100, chunk: 16 }), {
    lines: ['{"type":"A"}', '{"type":"B"}'],
    bad: ["2 is too long"],
  });
});

Deno.test("RecordReader takes a million nested brackets", async () => {
  assert.deepEqual((await read("[".repeat(1_000_000) + "\n", 100_000)).bad, ["1 is not JSON"]);
  const deep = "[".repeat(1_000_000) + "]".repeat(1_000_000);
  assert.deepEqual((await read(deep + "\n", 100_000)).bad, ["1 is not a record"]);
});

Deno.test("RecordReader leaves out a line with more values than it may hold in memory", async () => {
  const list = (count: number) => `{"type":"A","x":[${"[],".repeat(count)}0]}`;
  const most = list(1_990_000);
  for (const line of [list(4_100_000), "[".repeat(5_000_000)]) {
    const { lines, bad } = await read(`${most}\n${line}\n{"type":"B"}\n`, 1_000_000);
    assert.deepEqual(bad, ["2 has too many values"]);
    assert.deepEqual(lines.map(({ length }) => length), [most.length, 12]);
  }
});

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
    // Some are long enough to be remembered, and begin alike.
    const args = random.below(2) === 0 ? "" : `"args":"${"x".repeat(random.one([60, 70, 300]))}",`;
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
    const lines = [...damagedLines(20_000)].filter((line) => !line.includes(10));
    const input = new Uint8Array(lines.reduce((sum, { length }) => sum + length + 1, 0));
    let length = 0;
    const expected = { bad: [] as string[], passed: [] as object[], leftOut: 0 };
    for (const [i, line] of lines.entries()) {
      input.set(line, length);
      input[length + line.length] = 10;
      length += line.length + 1;
      const { bad, passed, leftOut } = oracle(line, judge);
      if (bad !== undefined) expected.bad.push(`${i + 1} ${bad}`);
      if (passed !== undefined) expected.passed.push(passed);
      if (leftOut) expected.leftOut++;
    }
    const actual = { bad: [] as string[], passed: [] as object[], leftOut: 0 };
    let skipped = 0;
    let at = 0;
    const reader = new RecordReader((buffer) => {
      const part = input.subarray(at, at + buffer.length);
      buffer.set(part);
      at += part.length;
      return Promise.resolve(part.length === 0 ? null : part.length);
    }, {
      onBadLine: (line, problem) => void actual.bad.push(`${line} ${problem}`),
      byProcess: filter.byProcess,
      chunk: 10_000,
    });
    for await (const batch of reader.batches()) {
      skipped += batch.skipped!;
      batch.forEach((record, i) => {
        if (filter.transform(record) === undefined) actual.leftOut++;
        else actual.passed.push({ text: lineOf(batch, i), record });
      });
    }
    actual.leftOut += skipped;
    assert.deepEqual(actual, expected);
    assert.ok(expected.bad.length > 3000 && expected.passed.length > 1000);
    assert.equal(skipped > 200, skips, `${skipped} skipped`);
  });
}
