import assert from "node:assert/strict";
import { RecordReader, type RecordReaderOptions } from "../../lib/chain/record_reader.ts";

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
    assert.equal(batch.length, batch.lines?.length);
    batch.forEach((record, i) => {
      const line = batch.lines![i]!;
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

Deno.test("RecordReader leaves out what it may, and reads everything else as JSON.parse does", async () => {
  let seed = 7;
  const random = (below: number) => {
    seed = Math.imul(seed, 1103515245) + 12345 >>> 0;
    return (seed >>> 8) % below;
  };
  const rests = [
    ',"timestamp":"t"}',
    ',"op_info":{"path":"/a","n":-5},"timestamp":"t"}',
    ',"op_info":{"target":{"kind":"file","path":"/a"},"l":[1,"x",null]},"timestamp":"t"} \r',
    ',"timestamp":"t","seccomp":{"mode":0},"io_uring":{"sqe_flags":["A"],"x":true},"unverified":[]}',
    ',"timestamp":"t","missing":["process.uid"]}',
    ',"timestamp":"t","process":{"uid":1}}',
    ',"timestamp":"t","type":"Else"}',
    ',"op_info":{"path":"\\u0041"},"timestamp":"t"}',
    ',"timestamp":"t","later":{"a":{"b":{"c":1}}}}',
  ];
  const pieces = ['"', "\\", "{", "}", ",", "0", "1", "-", '"process":', '"opcode":"', "\x01", "é"];
  const lines = Array.from({ length: 5000 }, () => {
    const process = `{"uid":${random(2)},"args":"${random(50) === 0 ? "}" : "x"}"}`;
    const line = `{"type":"IOUringEvent","process":${process},"opcode":"N"${
      rests[random(rests.length)]
    }`;
    if (random(2) === 0) return line;
    const at = random(line.length);
    return line.slice(0, at) + pieces[random(pieces.length)] + line.slice(at + random(3));
  });
  const bytes = new TextEncoder().encode(lines.join("\n"));
  const bad: number[] = [];
  const passed: unknown[] = [];
  let skipped = 0;
  let at = 0;
  const reader = new RecordReader((buffer) => {
    const part = bytes.subarray(at, at + buffer.length);
    buffer.set(part);
    at += part.length;
    return Promise.resolve(part.length === 0 ? null : part.length);
  }, { onBadLine: (line) => void bad.push(line), isLeftOut: ({ uid }) => uid === 0 });
  const isLeftOut = (record: { type: string; process?: { uid?: unknown }; missing?: unknown }) =>
    record.type === "IOUringEvent" && record.process?.uid === 0 && record.missing === undefined;
  for await (const batch of reader.batches()) {
    skipped += batch.skipped ?? 0;
    passed.push(...batch.filter((record) => !isLeftOut(record as never)).map((it) => ({ ...it })));
    skipped += batch.filter((record) => isLeftOut(record as never)).length;
  }
  const expected: { record?: { type: string }; line: number }[] = lines.map((line, i) => {
    try {
      const record = JSON.parse(line);
      return { line: i + 1, ...(typeof record?.type === "string" ? { record } : {}) };
    } catch {
      return { line: i + 1 };
    }
  });
  const good = expected.filter(({ record }) => record !== undefined).map(({ record }) => record!);
  assert.deepEqual(
    bad,
    expected.filter(({ record }) => record === undefined).map(({ line }) => line),
  );
  assert.deepEqual(passed, good.filter((record) => !isLeftOut(record)));
  assert.equal(skipped, good.filter(isLeftOut).length);
  assert.ok(bad.length > 500 && skipped > 500 && passed.length > 500);
});
