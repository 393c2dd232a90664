import assert from "node:assert/strict";
import { type Chain, type RecordBatch, runChain } from "../../lib/chain/chain.ts";
import { Filter } from "../../lib/chain/filter.ts";
import { JsonSink, NdjsonSink, type Sink } from "../../lib/chain/sink.ts";
import { CutStreamError, StreamEnds } from "../../lib/chain/stream_ends.ts";
import { Tally } from "../../lib/chain/tally.ts";
import { ndjsonLine } from "../../lib/record/ndjson.ts";
import type { IOUringStatus, StreamRecord } from "../../lib/record/records.ts";
import { event, ring, status } from "./records.ts";

/** A sink that notes what is asked of it. */
class NotingSink implements Sink {
  readonly log: string[] = [];
  write(record: StreamRecord, line?: string): void {
    this.log.push(record.type + (line === undefined ? "" : `=${line}`));
  }
  flush(): void {
    this.log.push("flush");
  }
  finish(): void {
    this.log.push("finish");
  }
}

function chain(sink: Sink, over: Partial<Chain> = {}): Chain {
  return { transforms: [], openSink: () => sink, tally: new Tally(), live: false, ...over };
}

/** Records that came with these lines, or with those that they are written as. */
function batch(records: StreamRecord[], texts = records.map(ndjsonLine)): RecordBatch {
  const lines = texts.map((text) => new TextEncoder().encode(`${text}\n`));
  let end = 0;
  const ends = lines.map(({ length }) => end += length);
  const bytes = Uint8Array.from(lines.flatMap((line) => [...line]));
  return Object.assign([...records], { lines: { bytes, starts: [0, ...ends], ends } });
}

Deno.test("runChain() writes an unchanged record as it was read", () => {
  const sink = new NotingSink();
  runChain([batch([ring(), event()], ["a", "b"])], chain(sink));
  assert.deepEqual(sink.log, ["IOUringEntry=a", "IOUringEvent=b", "finish"]);
});

Deno.test("runChain() changes the classification of a line and nothing else", () => {
  const sink = new NotingSink();
  const classification = { suspicious: false, severity: "info" as const, rules: [] };
  const transforms = [(record: StreamRecord) => ({ ...record, classification } as StreamRecord)];
  runChain([batch([ring()], ['{ "n": 12345678901234567890 }'])], chain(sink, { transforms }));
  runChain([[ring()]], chain(sink, { transforms }));
  assert.deepEqual(sink.log, [
    'IOUringEntry={ "n": 12345678901234567890 ,' +
    '"classification":{"suspicious":false,"severity":"info","rules":[]}}',
    "finish",
    "IOUringEntry",
    "finish",
  ]);
});

Deno.test("runChain() writes lines as it writes records, whatever becomes of which", () => {
  const classification = { suspicious: true, severity: "high" as const, rules: [] };
  const fates = [
    (record: StreamRecord) => record,
    () => undefined,
    (record: StreamRecord) => ({ ...record, classification } as StreamRecord),
  ];
  const COUNT = 5;
  for (let round = 0; round < fates.length ** COUNT; round++) {
    const records = Array.from({ length: COUNT }, (_, i) => ring({ comm: `é${i}` }));
    const write = (source: RecordBatch, Sink: typeof NdjsonSink | typeof JsonSink) => {
      let digits = round;
      const transforms = [(record: StreamRecord) => {
        const fate = fates[digits % fates.length]!;
        digits = Math.trunc(digits / fates.length);
        return fate(record);
      }];
      const chunks: string[] = [];
      const sink = new Sink((bytes) => void chunks.push(new TextDecoder().decode(bytes)));
      runChain([source], chain(sink, { transforms }));
      assert.ok(chunks.every((text) => text.endsWith("\n")));
      return chunks.join("");
    };
    for (const Sink of [NdjsonSink, JsonSink]) {
      assert.equal(write(batch(records), Sink), write([...records], Sink));
    }
  }
});

Deno.test("runChain() does not show a record that was left out to the next transform", () => {
  const sink = new NotingSink();
  const seen: string[] = [];
  const tally = new Tally();
  runChain(
    [[ring(), event()]],
    chain(sink, {
      tally,
      transforms: [
        (record) => record.type === "IOUringEntry" ? undefined : record,
        (record) => {
          seen.push(record.type);
          return record;
        },
      ],
    }),
  );
  assert.deepEqual(seen, ["IOUringEvent"]);
  assert.deepEqual(sink.log, ["IOUringEvent", "finish"]);
  assert.equal(tally.summary(), "1 event in 1 process, 0 suspicious, 1 filtered out");
});

Deno.test("runChain() writes out each batch of a live source", () => {
  const sink = new NotingSink();
  runChain([[ring()], [event()]], chain(sink, { live: true }));
  assert.deepEqual(sink.log, ["IOUringEntry", "flush", "IOUringEvent", "flush", "finish"]);
});

Deno.test("runChain() finishes the sink when the source fails, and opens none for nothing", () => {
  const sink = new NotingSink();
  const source = function* () {
    yield [ring()];
    throw new Error("broken");
  };
  assert.throws(() => runChain(source(), chain(sink)), /broken/);
  assert.deepEqual(sink.log, ["IOUringEntry", "finish"]);

  let opened = 0;
  const openSink = () => (opened++, sink);
  // deno-lint-ignore require-yield
  const failing = function* (): Generator<StreamRecord[]> {
    throw new Error("nothing there");
  };
  assert.throws(() => runChain(failing(), chain(sink, { openSink })), /nothing there/);
  assert.equal(opened, 0);
  runChain([], chain(sink, { openSink }));
  assert.equal(opened, 1);
});

Deno.test("Filter passes status records and unknown types", () => {
  const filter = new Filter({ process_filter: { uid: [7] } });
  assert.equal(filter.transform(ring()), undefined);
  assert.equal(filter.transform(event()), undefined);
  const start = status();
  assert.equal(filter.transform(start), start);
  const other = { type: "Else" } as unknown as StreamRecord;
  assert.equal(filter.transform(other), other);
  assert.equal(
    filter.warning,
    "1 record filtered out because what the config asks for could not be read",
  );
  assert.equal(new Filter({}).warning, undefined);
});

Deno.test("StreamEnds finds a stream without its end", () => {
  const check = (...records: StreamRecord[]) => {
    const ends = new StreamEnds();
    for (const record of records) assert.equal(ends.watch(record), record);
    ends.check();
  };
  const start = status({ argv: ["scan", "dump.raw"] });
  const end = status({ phase: "end" });
  check();
  check(ring());
  check(start, ring(), end);
  check(start, end, start, end);
  assert.throws(() => check(start, ring()), {
    name: "CutStreamError",
    message: "Stream ended without its end record: scan was killed or cut",
  });
  assert.throws(() => check(status()), /: capture was killed or cut$/);
  assert.throws(() => check(start, start, end), CutStreamError);
});

Deno.test("Tally counts rings, processes and what is suspicious", () => {
  const tally = new Tally();
  assert.equal(tally.summary(), "0 records in 0 processes, 0 suspicious");
  tally.add(ring({ pid: 1 }));
  assert.equal(tally.summary(), "1 ring in 1 process, 0 suspicious");
  tally.add(ring({ pid: 1, bypasses_seccomp: true }));
  tally.add(ring({ pid: 2 }));
  assert.equal(tally.summary(), "3 rings in 2 processes, 1 suspicious");
  tally.add(ring({ pid: 0 }));
  assert.equal(tally.summary(), "4 rings in 2 processes, 1 suspicious");
  const classification = { suspicious: true, severity: "high" as const, rules: [] };
  tally.add(event({ classification }));
  tally.add(status({ phase: "end", complete: false, totals: { lost: 5 } }));
  assert.equal(
    tally.summary(),
    "4 rings and 1 event in 3 processes, 2 suspicious, 5 lost, incomplete",
  );
});

Deno.test("Tally speaks of what the stream is of where nothing passes", () => {
  const summary = (fill: (tally: Tally) => void) => {
    const tally = new Tally();
    fill(tally);
    return tally.summary().split(" in ")[0];
  };
  const start = (coverage: IOUringStatus["coverage"] & object) =>
    status({ phase: "start", coverage });
  assert.equal(summary((tally) => tally.add(start({ image: {} }))), "0 rings");
  assert.equal(summary((tally) => tally.add(start({ hooks: {} }))), "0 events");
  assert.equal(summary((tally) => tally.leaveOut("IOUringEvent", 2)), "0 events");
  assert.equal(summary((tally) => tally.leaveOut("IOUringEvent", 0)), "0 records");
  const rings = (tally: Tally) => tally.leaveOut("IOUringEntry", 1);
  assert.equal(summary(rings), "0 rings");
  const both = (tally: Tally) => {
    tally.leaveOut("IOUringResult", 1);
    rings(tally);
  };
  assert.equal(summary(both), "0 events");
  assert.equal(summary((tally) => (both(tally), tally.add(ring({ pid: 1 })))), "1 ring");
});

Deno.test("Tally takes any classification that a stream may hold", () => {
  const tally = new Tally();
  for (const classification of [null, 7, "high", {}, { severity: "none" }]) {
    tally.add({ type: "Else", classification } as unknown as StreamRecord);
  }
  assert.equal(tally.severity, undefined);
});
