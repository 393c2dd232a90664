import { deepStrictEqual, equal } from "node:assert/strict";
import type { CaptureDevice } from "../../lib/capture/capture_device.ts";
import { captureSource } from "../../lib/capture/capture_source.ts";
import { Wire } from "../../lib/capture/wire.ts";
import { Btf } from "../../lib/kernel/btf.ts";
import type { StreamRecord } from "../../lib/record/records.ts";
import { emptyBtf } from "../live/btf_bytes.ts";
import { addProcess, addRequest, addRing, layoutText, WireBuilder } from "./wire_bytes.ts";

const layout = layoutText();
const ignore = layout === undefined;
const SECOND = 1_000_000_000n;

/** What is asked of a host, and what it does that is not as it should be. */
interface Trouble {
  /** What each try to send a NOP of our own comes to; the last is for all others too. */
  readonly canaries?: readonly number[];
  /** What an iterator comes to. */
  readonly iterators?: number;
  /** Every event waits for its result. */
  readonly results?: boolean;
  /** ms from one look at the clock to the next. */
  readonly step?: number;
  /** ms that it takes to start. */
  readonly startMs?: number;
  /** ms that it is to run. */
  readonly durationMs?: number;
}

/** A host of one CPU whose ring buffer gives these batches, one a look. */
function deviceOf(
  batches: readonly Uint8Array[],
  trouble: Trouble,
  elapsedMs: () => number,
): CaptureDevice {
  const wire = new Wire(layout!);
  const canaries = [...trouble.canaries ?? [-1]];
  let next = 0;
  return {
    layout: layout!,
    coverage: { hooks: [], missing: [] },
    poll(batch) {
      const records = batches[next++] ?? new Uint8Array();
      batch.set(records);
      return records.length;
    },
    counters: new BigUint64Array(wire.size("counters") / 8 * wire.at("PROGRAMS")),
    cpus: 1,
    misses: () => 0,
    judge() {},
    canary: () => canaries.length > 1 ? canaries.shift()! : canaries[0]!,
    iterate: () => trouble.iterators ?? 0,
    detach() {},
    // The rings that were there were listed by now.
    clocks() {
      const now = 20n * SECOND + BigInt(elapsedMs()) * 1_000_000n;
      return { boot: now, real: now };
    },
    close() {},
  };
}

/** What comes of them until there are none left. */
function recordsOf(batches: readonly Uint8Array[], trouble: Trouble = {}): StreamRecord[] {
  let looks = 0;
  let time = 0;
  const device = deviceOf(batches, trouble, () => time);
  const source = captureSource({
    device,
    btf: new Btf(emptyBtf()),
    results: trouble.results ?? false,
    processFilter: {},
    judgeBinaries: false,
    ...(trouble.durationMs === undefined ? {} : { durationMs: trouble.durationMs }),
    stopSignal: () => ++looks < batches.length ? 0 : 2,
    attached: () => time += trouble.startMs ?? 0,
    enough: () => false,
    now: () => time += trouble.step ?? 0,
    random: () => 1n,
    start: {},
    diagnostics: [],
    self: { comm: undefined, uid: undefined, euid: undefined },
  });
  return [...source].flatMap((batch) => [...batch]);
}

function test(name: string, fn: () => void): void {
  Deno.test({ name: ignore ? `${name} (skipped: the shim is not built)` : name, ignore, fn });
}

/** Phase and codes of what the status records say. */
function told(records: readonly StreamRecord[]): [string, ...string[]][] {
  return records.flatMap((record) =>
    record.type !== "IOUringStatus"
      ? []
      : [[record.phase, ...(record.diagnostics ?? []).map(({ code }) => code)]]
  );
}

test("captureSource() says at the end, too, that its own requests were taken away", () => {
  const looks = Array.from({ length: 8 }, () => new Uint8Array());
  const records = recordsOf(looks, { canaries: [0, -12], step: 3000 });
  deepStrictEqual(told(records), [
    ["start"],
    ["lost", "capture_blinded"],
    ["lost", "no_canary"],
    ["end", "capture_blinded", "no_canary"],
  ]);
  const end = records.at(-1)!;
  equal(end.type === "IOUringStatus" && end.complete, false);
});

test("captureSource() takes no silence of its reader for an attack, and sees one beside a flood", () => {
  const wire = addProcess(new WireBuilder(layout!));
  // A look gives no more than this, and its reader takes seconds for it.
  for (let i = 0; i < 3000; i++) addRequest(wire);
  const full = wire.batch();
  const canary = addRequest(addProcess(wire), {}, { user_data: 1n }).batch();
  const looks = [full, full, canary, new Uint8Array()];
  deepStrictEqual(told(recordsOf(looks, { canaries: [0], step: 2400 })), [["start"], ["end"]]);

  for (let i = 0; i < 3000; i++) addRequest(wire, { time: 30n * SECOND });
  const later = wire.batch();
  const taken = recordsOf([full, full, later], { canaries: [0], step: 2400 });
  deepStrictEqual(told(taken), [
    ["start"],
    ["lost", "capture_blinded"],
    ["end", "capture_blinded"],
  ]);
});

test("captureSource() runs for as long as it was told, however long it took to start", () => {
  const looks = Array.from({ length: 50 }, () => new Uint8Array());
  const records = recordsOf(looks, { step: 100, startMs: 5000, durationMs: 2000 });
  const end = records.at(-1)!;
  equal(end.type === "IOUringStatus" && end.duration_ms, 5000 + 2000 + 2 * 100);
});

test("captureSource() says what it cannot list, and that it cannot test itself", () => {
  const records = recordsOf([new Uint8Array()], { iterators: -2 });
  deepStrictEqual(told(records), [
    [
      "start",
      "no_mode_iterator",
      "no_ring_iterator",
      "no_task_iterator",
      "no_canary",
    ],
    ["end"],
  ]);
});

test("captureSource() tells of rings in time on a host that never idles", () => {
  const wire = new WireBuilder(layout!);
  const found = (name: string) => ({ found_by: wire.value(`FOUND_BY_${name}`), fd: 4 });
  const ring = 0x2000n;
  addRing(addProcess(wire), { time: 10n * SECOND }, found("FD"));
  addRequest(wire, { time: 15n * SECOND });
  const first = wire.batch();
  addRequest(wire, { time: 30n * SECOND });
  const second = wire.batch();
  addRing(wire, { time: 31n * SECOND, ring }, found("CREATE"));
  addRequest(wire, { time: 32n * SECOND, ring });
  const records = recordsOf([first, second, wire.batch()]);
  const told = records.map((record) =>
    record.type === "IOUringEntry"
      ? record.found_by
      : record.type === "IOUringStatus"
      ? record.phase
      : record.type
  );
  deepStrictEqual(told, [
    "start",
    "IOUringEvent",
    ["fd"],
    "IOUringEvent",
    ["create"],
    "IOUringEvent",
    "end",
  ]);
});

test("captureSource() tells of what still waits at the end, once", () => {
  const wire = new WireBuilder(layout!);
  addRequest(addProcess(wire), { time: 15n * SECOND });
  const records = recordsOf([wire.batch()], { results: true });
  deepStrictEqual(records.map(({ type }) => type), [
    "IOUringStatus",
    "IOUringEvent",
    "IOUringStatus",
  ]);
});
