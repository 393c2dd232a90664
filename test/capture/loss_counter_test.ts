import { deepStrictEqual, equal } from "node:assert/strict";
import type { CaptureDevice } from "../../lib/capture/capture_device.ts";
import { LossCounter } from "../../lib/capture/loss_counter.ts";
import { Wire } from "../../lib/capture/wire.ts";
import { layoutText } from "./wire_bytes.ts";

const layout = layoutText();
const ignore = layout === undefined;

Deno.test({
  name: `LossCounter tells what is new, by opcode and process${
    ignore ? " (skipped: the shim is not built)" : ""
  }`,
  ignore,
  fn() {
    const wire = new Wire(layout!);
    const row = wire.size("counters") / 8;
    const counters = new BigUint64Array(row * wire.at("PROGRAMS") * 2);
    const device = { counters, cpus: 2, misses: () => 0 } as unknown as CaptureDevice;
    const loss = new LossCounter(device, wire);
    equal(loss.since(""), undefined);
    // OPENAT on one CPU, NOP on the other: a slot left empty in between must not count.
    const at = wire.at("counters.lost") / 8;
    counters[at + 18] = 3n;
    const other = row * wire.at("PROGRAMS");
    counters[other + at] = 4n;
    counters[other + wire.at("counters.lost_by_pid") / 8] = 4n << 32n | 77n;
    deepStrictEqual(loss.since("now")?.lost, {
      count: 7,
      reason: "buffer_full",
      by_opcode: { IORING_OP_OPENAT: 3, IORING_OP_NOP: 4 },
      by_pid: { "77": 4 },
    });
    equal(loss.since(""), undefined);
    equal(loss.total, 7);
  },
});

Deno.test({
  name: `LossCounter counts what the kernel skipped${ignore ? " (skipped: no shim)" : ""}`,
  ignore,
  fn() {
    const wire = new Wire(layout!);
    const row = wire.size("counters") / 8;
    const counters = new BigUint64Array(row * wire.at("PROGRAMS"));
    const skipped = new Map<number, number>();
    const skip = (program: string, times: number) => skipped.set(wire.at(program), times);
    const device = {
      counters,
      cpus: 1,
      misses: (program: number) => skipped.get(program) ?? 0,
    } as unknown as CaptureDevice;
    const loss = new LossCounter(device, wire);
    // Of seven that the first program did not see, the second saw five.
    skip("PROGRAM_SUBMIT", 7);
    counters[row * wire.at("PROGRAM_SUBMIT_AGAIN") + wire.at("counters.seen") / 8] = 5n;
    skip("PROGRAM_FAILED", 1);
    deepStrictEqual(loss.since("now")?.lost, { count: 3, reason: "preempted" });
    // A ring, a registration and two results are no requests.
    skip("PROGRAM_CREATE", 1);
    skip("PROGRAM_REGISTER", 1);
    skip("PROGRAM_COMPLETE", 2);
    deepStrictEqual(loss.since("now")?.lost, {
      count: 0,
      reason: "preempted",
      descriptions: 4,
    });
    equal(loss.since("now"), undefined);
    deepStrictEqual([loss.total, loss.otherTotal], [3, 4]);
  },
});
