import assert from "node:assert/strict";
import { Clock, dateOfNs, dateOfSeconds, readClock } from "../../lib/scan/clock.ts";
import { FakeMachine, type FakeStructs, type FakeValue } from "../kernel/fake_machine.ts";

const TIMEKEEPER: FakeStructs = {
  timespec64: { tv_sec: "s64", tv_nsec: "s64" },
  tk_read_base: { clock: "*", mult: "u32", shift: "u32", xtime_nsec: "u64" },
  timekeeper: {
    tkr_mono: "tk_read_base",
    xtime_sec: "u64",
    wall_to_monotonic: "timespec64",
    offs_real: "s64",
    offs_boot: "s64",
  },
  seqcount: { sequence: "u32" },
  seqcount_raw_spinlock: { seqcount: "seqcount" },
  // Stands in for the struct without a name that `tk_core` was of.
  unnamed: { seq: "seqcount_raw_spinlock", timekeeper: "timekeeper" },
};
const TK_DATA: FakeStructs = {
  tk_data: {
    seq: "seqcount_raw_spinlock",
    timekeeper: "timekeeper",
    shadow_timekeeper: "timekeeper",
  },
};

/** Booted at 1,700,000,000 s, slept 5 s, and 100.25 s have passed. */
const GOOD = {
  "timekeeper.tkr_mono.shift": 24,
  "timekeeper.tkr_mono.xtime_nsec": 250_000_000n << 24n,
  "timekeeper.xtime_sec": 1_700_000_105n,
  "timekeeper.wall_to_monotonic.tv_sec": -1_700_000_006n,
  "timekeeper.wall_to_monotonic.tv_nsec": 500_000_000n,
  "timekeeper.offs_real": 1_700_000_005_500_000_000n,
  "timekeeper.offs_boot": 5_000_000_000n,
};

function clockOf(
  { symbol, struct = "unnamed", values = {} }: {
    symbol?: string;
    struct?: string;
    values?: { [path: string]: FakeValue };
  },
): Clock {
  const structs = struct === "tk_data" ? { ...TIMEKEEPER, ...TK_DATA } : TIMEKEEPER;
  const machine = new FakeMachine({ structs });
  const object = machine.put(struct, { ...GOOD, ...values });
  if (symbol !== undefined) machine.define(symbol, object.address);
  return readClock(machine.program);
}

for (
  const [symbol, struct] of [
    ["tk_core", "unnamed"],
    ["tk_core", "tk_data"],
    ["timekeeper_data", "tk_data"],
  ] as const
) {
  Deno.test(`readClock() reads ${symbol} of ${struct}`, () => {
    const clock = clockOf({ symbol, struct });
    assert.equal(clock.bootTime, 1_700_000_000_500_000_000n);
    assert.equal(clock.now, 1_700_000_105_250_000_000n);
    assert.equal(clock.dateOfBootNs(1_500_000_000n), "2023-11-14T22:13:22.000Z");
  });
}

Deno.test("readClock() gives no date without a symbol", () => {
  const clock = clockOf({});
  assert.equal(clock.bootTime, undefined);
  assert.equal(clock.now, undefined);
  assert.equal(clock.dateOfBootNs(1n), undefined);
});

Deno.test("readClock() gives no date of a timekeeper that contradicts itself", () => {
  for (
    const values of [
      { "timekeeper.offs_real": 1n },
      { "timekeeper.wall_to_monotonic.tv_sec": 2n ** 62n },
      { "timekeeper.offs_boot": -1n },
      { "timekeeper.offs_boot": 1_700_000_005_500_000_000n },
      { "timekeeper.offs_boot": 1_800_000_000_000_000_000n },
    ]
  ) {
    assert.equal(clockOf({ symbol: "tk_core", values }).bootTime, undefined);
  }
});

Deno.test("readClock() uses the shadow where the timekeeper is being written", () => {
  const machine = new FakeMachine({ structs: { ...TIMEKEEPER, ...TK_DATA } });
  const data = machine.put("tk_data", { ...GOOD, "timekeeper.offs_real": 0n });
  for (const [path, value] of Object.entries(GOOD)) machine.set(data, `shadow_${path}`, value);
  machine.define("timekeeper_data", data.address);
  assert.equal(readClock(machine.program).bootTime, 1_700_000_000_500_000_000n);
});

Deno.test("readClock() leaves out a time of the dump that cannot be", () => {
  for (
    const values of [
      { "timekeeper.xtime_sec": 1n },
      { "timekeeper.xtime_sec": 2n ** 63n },
      { "timekeeper.tkr_mono.shift": 64 },
    ]
  ) {
    const clock = clockOf({ symbol: "tk_core", values });
    assert.equal(clock.bootTime, 1_700_000_000_500_000_000n);
    assert.equal(clock.now, undefined);
  }
});

Deno.test("Clock.dateOfBootNs() takes any number", () => {
  const clock = new Clock({ bootTime: 1_700_000_000_000_000_000n, now: undefined });
  assert.equal(clock.dateOfBootNs(0n), "2023-11-14T22:13:20.000Z");
  assert.equal(clock.dateOfBootNs(-1n), undefined);
  assert.equal(clock.dateOfBootNs(2n ** 64n - 1n), undefined);
});

Deno.test("dateOfSeconds() gives RFC 3339 dates and nothing else", () => {
  assert.equal(dateOfSeconds(0n), "1970-01-01T00:00:00.000Z");
  assert.equal(dateOfSeconds(1_700_000_000n, 999_999_999), "2023-11-14T22:13:20.999Z");
  assert.equal(dateOfSeconds(253_402_300_799n, 999_999_999), "9999-12-31T23:59:59.999Z");
  assert.equal(dateOfSeconds(253_402_300_800n), undefined);
  assert.equal(dateOfSeconds(-1n), undefined);
  assert.equal(dateOfSeconds(2n ** 63n), undefined);
  assert.equal(dateOfSeconds(0n, 1e9), undefined);
  assert.equal(dateOfSeconds(0n, -1), undefined);
  assert.equal(dateOfNs(-1n), undefined);
});
