import assert from "node:assert/strict";
import type { PartlyReadBatch } from "../../lib/chain/chain.ts";
import { RecordReader, type RecordReaderOptions } from "../../lib/chain/record_reader.ts";
import { readBytes } from "./read_bytes.ts";

function lineOf({ lines }: PartlyReadBatch, i: number): string {
  const { bytes, starts, ends } = lines;
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
  const reader = new RecordReader(readBytes(bytes, step), {
    onBadLine: (line, problem) => void bad.push(`${line} ${problem}`),
    ...over,
  });
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
