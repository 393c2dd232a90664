import type { KernelObject, Program } from "../kernel/program.ts";
import { readable } from "./diagnostics.ts";

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;
/** 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year. */
const LAST_MS = 253_402_300_799_999n;
/** The kernel's own limit of a clock: `KTIME_MAX`, the year 2262. */
const LAST_NS = 2n ** 63n - 1n;
/** A shift above this leaves nothing of the 64 bits it is applied to. */
const MAX_SHIFT = 63n;

/** What the kernel keeps of the time. */
export interface Timekeeping {
  /** Nanoseconds since 1970 at CLOCK_BOOTTIME zero. */
  readonly bootTime: bigint;
  /** Nanoseconds since 1970 when the kernel last updated its clock: the tick before the dump. */
  readonly now: bigint | undefined;
}

/** Turns times of the imaged kernel into dates. */
export class Clock {
  /** Nanoseconds since 1970 at boot (CLOCK_BOOTTIME zero), or undefined where no clock was found. */
  readonly bootTime: bigint | undefined;
  /**
   * Nanoseconds since 1970 at the kernel's last update of its clock, which comes with every tick of
   * a busy machine: about the time of the dump. Undefined where it cannot be read.
   */
  readonly now: bigint | undefined;

  constructor(time?: Timekeeping) {
    this.bootTime = time?.bootTime;
    this.now = time?.now;
  }

  /**
   * The date of a CLOCK_BOOTTIME in nanoseconds, RFC 3339 UTC with milliseconds. Undefined without
   * a clock, and for a time that the kernel's clock cannot have shown.
   */
  dateOfBootNs(ns: bigint): string | undefined {
    if (this.bootTime === undefined || ns < 0n || ns > LAST_NS) return undefined;
    return dateOfNs(this.bootTime + ns);
  }
}

/**
 * The date of nanoseconds since 1970, RFC 3339 UTC with milliseconds (cut, not rounded), or
 * undefined before 1970 and after 9999.
 */
export function dateOfNs(ns: bigint): string | undefined {
  const ms = ns / NS_PER_MS;
  if (ns < 0n || ms > LAST_MS) return undefined;
  return new Date(Number(ms)).toISOString();
}

/**
 * The date of a `struct timespec64` of wall time, as inodes have it. Undefined where it is none:
 * before 1970, after 9999, or with a billion nanoseconds and more.
 */
export function dateOfSeconds(seconds: bigint, nanoseconds = 0): string | undefined {
  if (!Number.isInteger(nanoseconds) || nanoseconds < 0 || nanoseconds >= 1e9) return undefined;
  return dateOfNs(seconds * NS_PER_SECOND + BigInt(nanoseconds));
}

/**
 * The clock of an image, from the kernel's timekeeper (`kernel/time/timekeeping.c`), or one that
 * knows no date: a kernel with CONFIG_KALLSYMS_ALL=n does not name it.
 */
export function readClock(program: Program): Clock {
  for (const timekeeper of timekeepers(program)) {
    const time = readable(() => readTimekeeper(timekeeper));
    if (time !== undefined) return new Clock(time);
  }
  return new Clock();
}

/** Where a timekeeper may lie, newest form first. */
function* timekeepers(program: Program): Generator<KernelObject> {
  if (program.types.struct("timekeeper") === undefined) return;
  // Since Linux 6.17, with the auxiliary clocks, `timekeeper_data` is an array of `struct tk_data`,
  // the core timekeeper first. Linux 6.13 gave the struct of `tk_core` that name.
  for (const symbol of ["timekeeper_data", "tk_core"]) {
    const address = program.symbols.lookup(symbol);
    if (address === undefined) continue;
    for (const offset of timekeeperOffsets(program)) {
      yield program.object("timekeeper", BigInt.asUintN(64, address + BigInt(offset)));
    }
  }
  // The copy that updates were prepared in, until Linux 6.13 moved it into `struct tk_data`.
  const shadow = program.variable("shadow_timekeeper", "timekeeper");
  if (shadow !== undefined) yield shadow;
}

/**
 * Possible offsets of the timekeeper behind its sequence counter. Before Linux 6.13 the struct of
 * `tk_core` has no name, but it is the counter and the timekeeper, which is aligned to 8.
 */
function timekeeperOffsets(program: Program): number[] {
  const offsets: number[] = [];
  for (const member of ["timekeeper", "shadow_timekeeper"]) {
    if (program.has("tk_data", member)) offsets.push(program.offsetOf("tk_data", member));
  }
  if (offsets.length > 0) return offsets;
  // `seqcount_raw_spinlock_t` since Linux 5.10, a plain `seqcount_t` before.
  for (const counter of ["seqcount_raw_spinlock", "seqcount"]) {
    const size = program.types.struct(counter)?.size;
    if (size !== undefined && size <= 256) offsets.push(Math.ceil(size / 8) * 8);
  }
  return offsets;
}

/** The clock of a timekeeper, or undefined where what lies there is none. */
function readTimekeeper(timekeeper: KernelObject): Timekeeping | undefined {
  const offsReal = timekeeper.bigint("offs_real");
  const offsBoot = timekeeper.bigint("offs_boot");
  // `tk_set_wall_to_mono()` keeps the offset twice: what does not agree is no timekeeper.
  const toMonotonic = timekeeper.bigint("wall_to_monotonic.tv_sec") * NS_PER_SECOND +
    timekeeper.bigint("wall_to_monotonic.tv_nsec");
  if (offsReal !== -toMonotonic || offsBoot < 0n) return undefined;
  const bootTime = offsReal - offsBoot;
  if (dateOfNs(bootTime) === undefined || bootTime === 0n) return undefined;
  return { bootTime, now: readable(() => readNow(timekeeper, bootTime)) };
}

/** `tk_xtime()`: the wall time of the last update. */
function readNow(timekeeper: KernelObject, bootTime: bigint): bigint | undefined {
  const shift = timekeeper.bigint("tkr_mono.shift");
  if (shift < 0n || shift > MAX_SHIFT) return undefined;
  const now = timekeeper.bigint("xtime_sec") * NS_PER_SECOND +
    (timekeeper.bigint("tkr_mono.xtime_nsec") >> shift);
  return now >= bootTime && dateOfNs(now) !== undefined ? now : undefined;
}
