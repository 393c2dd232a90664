import { deepStrictEqual } from "node:assert/strict";
import type { CaptureDevice } from "../../lib/capture/capture_device.ts";
import { captureSource } from "../../lib/capture/capture_source.ts";
import { Wire } from "../../lib/capture/wire.ts";
import type { StreamRecord } from "../../lib/record/records.ts";
import { addProcess, addRequest, addRing, layoutText, WireBuilder } from "./wire_bytes.ts";

const layout = layoutText();
const ignore = layout === undefined;
const SECOND = 1_000_000_000n;

/** A host of one CPU whose ring buffer gives these batches, one a look. */
function deviceOf(batches: readonly Uint8Array[]): CaptureDevice {
  const wire = new Wire(layout!);
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
    canary: () => -1,
    iterate: () => 0,
    detach() {},
    // The rings that were there were listed by now.
    clocks: () => ({ boot: 20n * SECOND, real: 20n * SECOND }),
    close() {},
  };
}

/** What comes of them until there are none left. */
function recordsOf(batches: readonly Uint8Array[]): StreamRecord[] {
  const device = deviceOf(batches);
  let looks = 0;
  const source = captureSource({
    device,
    btf: undefined,
    results: false,
    processFilter: {},
    judgeBinaries: false,
    stopSignal: () => ++looks < batches.length ? 0 : 2,
    attached() {},
    enough: () => false,
    now: () => 0,
    random: () => 1n,
    start: {},
    diagnostics: [],
    self: { comm: undefined, uid: undefined, euid: undefined },
  });
  return [...source].flatMap((batch) => [...batch]);
}

Deno.test({
  name: `captureSource() tells of rings in time on a host that never idles${
    ignore ? " (skipped: the shim is not built)" : ""
  }`,
  ignore,
  fn() {
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
  },
});
