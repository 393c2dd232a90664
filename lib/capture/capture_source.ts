import type { RecordBatch } from "../chain/chain.ts";
import { processFilter } from "../chain/process_filter.ts";
import type { ProcessFilterConfig } from "../config/process_filter.ts";
import type { Btf } from "../kernel/btf.ts";
import type { Diagnostic, IOUringStatus, ProcessBlock } from "../record/records.ts";
import { type CaptureDevice, type StopSignal, UnsupportedHostError } from "./capture_device.ts";
import { Decoder } from "./decoder.ts";
import { LossCounter } from "./loss_counter.ts";
import { PreparedCommands } from "./prepared_commands.ts";
import type { ProcessDescription } from "./process_table.ts";

/** Room for one batch. A record is at most 64 KiB, and two must fit. */
const BATCH_BYTES = 256 * 1024;
/** How long one look at the ring buffer may take, so that the rest is done in time, in ms. */
const POLL_MS = 50;
const LOSS_INTERVAL_MS = 1000;
const CANARY_INTERVAL_MS = 10_000;
/** A canary that is not among the records of this time after it was taken away. */
const CANARY_PATIENCE_NS = 2_000_000_000n;

/** What lists what was there before, and what its absence hides. */
const ITERATORS: readonly { readonly name: string; readonly diagnostic: Diagnostic }[] = [
  {
    name: "modes_of_tasks",
    diagnostic: {
      code: "no_mode_iterator",
      message: "This kernel cannot list the seccomp modes of its tasks",
      hides: "filters that only some threads have, of rings that were there before the capture",
    },
  },
  {
    name: "rings_of_files",
    diagnostic: {
      code: "no_ring_iterator",
      message: "This kernel cannot list the open files of all processes",
      hides: "rings that were there before the capture, until they submit something",
    },
  },
  {
    name: "rings_of_tasks",
    diagnostic: {
      code: "no_task_iterator",
      message: "This kernel cannot list the rings that its tasks use",
      hides: "rings that were there before the capture and that no file descriptor names",
    },
  },
];

const NO_CANARY: Diagnostic = {
  code: "no_canary",
  message: "This process may not use io_uring itself, so the capture cannot test itself",
  hides: "that the capture is being blinded",
};

const BLINDED: Diagnostic = {
  code: "capture_blinded",
  message: "A request of our own did not come back: something takes records away",
  hides: "any request",
};

/** How a capture runs. */
export interface CaptureRun {
  readonly device: CaptureDevice;
  /** The kernel's types. */
  readonly btf: Btf;
  readonly results: boolean;
  readonly processFilter: ProcessFilterConfig;
  /** The process filter has a condition on the executable, which is judged here. */
  readonly judgeBinaries: boolean;
  /** ms to run once everything is attached; undefined until told to stop. */
  readonly durationMs?: number;
  readonly stopSignal: StopSignal;
  /** Everything runs that takes a privilege to start. */
  readonly attached: () => void;
  /** The chain has had enough. */
  readonly enough: () => boolean;
  /** Wall clock, ms since 1970. */
  readonly now: () => number;
  /** 64 random bits. */
  readonly random: () => bigint;
  /** What the start record says of the host and the program. */
  readonly start: Pick<IOUringStatus, "host" | "tool" | "argv">;
  readonly diagnostics: readonly Diagnostic[];
  /** What this process knows of itself. */
  readonly self: KnownSelf;
}

/** What a description of this process must say; undefined where that could not be found out. */
export interface KnownSelf {
  readonly comm: string | undefined;
  readonly uid: number | undefined;
  readonly euid: number | undefined;
}

/**
 * The records of a live host: a start record, what happens, what was lost, and an end record.
 *
 * @throws {UnsupportedHostError} What the kernel says of this process is not so.
 */
export function* captureSource(run: CaptureRun): Generator<RecordBatch> {
  const { device, now } = run;
  const startedAt = now();
  const decoder = new Decoder({
    layout: device.layout,
    commands: new PreparedCommands(run.btf),
    clocks: device.clocks(),
    results: run.results,
    ...(run.judgeBinaries ? { onProcess: judge(device, run.processFilter) } : {}),
  });
  const loss = new LossCounter(device, decoder.wire);
  const canary = new Canary(device, decoder, run);
  const diagnostics: Diagnostic[] = [...run.diagnostics];
  for (const { name, diagnostic } of ITERATORS) {
    if (device.iterate(name) < 0) diagnostics.push(diagnostic);
  }
  const firstCanary = canary.start(startedAt);
  if (firstCanary !== undefined) diagnostics.push(firstCanary);
  decoder.listedAt(device.clocks().boot);
  run.attached();
  yield [{
    type: "IOUringStatus",
    phase: "start",
    timestamp: dateOf(startedAt),
    ...run.start,
    coverage: {
      hooks: [...device.coverage.hooks],
      missing: device.coverage.missing.map(({ hook, hides }) => ({ hook, hides })),
    },
    ...(diagnostics.length === 0 ? {} : { diagnostics }),
  }];

  const batch = new Uint8Array(BATCH_BYTES);
  let nextLoss = startedAt + LOSS_INTERVAL_MS;
  let selfKnown = false;
  let endsAt: number | undefined;
  for (;;) {
    // Read before the records: what had come by then is decoded before anything is given up.
    const clocks = device.clocks();
    const length = device.poll(batch, POLL_MS);
    for (const records of length > 0 ? decoder.decode(batch, length) : [decoder.listedRings()]) {
      if (!selfKnown && decoder.self !== undefined) {
        selfKnown = true;
        compareSelf(decoder.self, run.self);
      }
      if (records.length > 0) yield records;
    }
    const time = now();
    decoder.clock.set(clocks);
    const readUntil = length > 0 ? decoder.readUntil : clocks.boot;
    const expired = decoder.expire(readUntil);
    if (expired.length > 0) yield expired;
    if (time >= nextLoss) {
      nextLoss = time + LOSS_INTERVAL_MS;
      const lost = loss.since(dateOf(time));
      if (lost !== undefined) yield [lost];
    }
    const found = canary.watch(time, readUntil);
    if (found.length > 0) {
      yield [{
        type: "IOUringStatus",
        phase: "lost",
        timestamp: dateOf(time),
        lost: { count: 0, reason: "canary" },
        diagnostics: found,
      }];
    }
    if (run.stopSignal() !== 0 || run.enough()) break;
    // On a slow host it took long to start.
    endsAt ??= time + (run.durationMs ?? Infinity);
    if (time >= endsAt) break;
  }

  device.detach();
  for (let length: number; (length = device.poll(batch, 0)) > 0;) {
    yield* decoder.decode(batch, length);
  }
  for (const rest of [decoder.listedRings(), decoder.expire(device.clocks().boot, true)]) {
    if (rest.length > 0) yield rest;
  }

  const endedAt = now();
  const lost = loss.since(dateOf(endedAt));
  if (lost !== undefined) yield [lost];
  const ending: Diagnostic[] = [...loss.close(decoder.totals), ...canary.close()];
  const { events, unresolved } = decoder.totals;
  yield [{
    type: "IOUringStatus",
    phase: "end",
    timestamp: dateOf(endedAt),
    totals: {
      events,
      lost: loss.total,
      filtered: loss.filtered,
      ...(unresolved > 0 ? { unresolved } : {}),
    },
    complete: loss.total === 0 && loss.otherTotal === 0 && ending.length === 0,
    duration_ms: endedAt - startedAt,
    ...(ending.length === 0 ? {} : { diagnostics: ending }),
  }];
}

/**
 * Judges what each process runs once, by the same code that judges records, and lets the kernel
 * keep it. The filter's other conditions are the kernel's.
 */
function judge(device: CaptureDevice, { binary }: ProcessFilterConfig) {
  const filter = processFilter(binary === undefined ? {} : { binary });
  return ({ image, block, missing }: ProcessDescription) => {
    device.judge(image, filter({ process: block, missing }) === "pass");
  };
}

/** What is read by the types of another kernel is wrong in places, without a sign of it. */
function compareSelf(told: ProcessBlock, known: KnownSelf): void {
  if (told.partial === true) return;
  for (const key of ["comm", "uid", "euid"] as const) {
    if (known[key] === undefined || told[key] === known[key]) continue;
    throw new UnsupportedHostError(
      `Cannot capture: the kernel seems to say that ${key} of this process is ${
        JSON.stringify(told[key])
      }, and it is ${JSON.stringify(known[key])}: its types are of another kernel`,
    );
  }
}

/** A NOP of our own that must come back through the capture. */
class Canary {
  readonly #device: CaptureDevice;
  readonly #decoder: Decoder;
  readonly #random: () => bigint;
  /** What was found after the start. */
  readonly #found: Diagnostic[] = [];
  #userData = 0n;
  #sentAt = 0;
  /** The same since boot, in ns. */
  #sentBoot = 0n;
  #waiting = false;
  #possible = true;

  constructor(device: CaptureDevice, decoder: Decoder, options: { random: () => bigint }) {
    this.#device = device;
    this.#decoder = decoder;
    this.#random = options.random;
  }

  /** Sends the first; a diagnostic where this process may not use io_uring. */
  start(time: number): Diagnostic | undefined {
    this.#possible = this.#send(time);
    return this.#possible ? undefined : NO_CANARY;
  }

  /**
   * Looks for the last one, and sends the next when it is time.
   *
   * @param readUntil What came until then has been read, in ns since boot: on a busy host that is long ago.
   * @returns What was not found before.
   */
  watch(time: number, readUntil: bigint): Diagnostic[] {
    const before = this.#found.length;
    if (!this.#possible) return [];
    if (this.#waiting && this.#decoder.sawCanary(this.#userData)) this.#waiting = false;
    if (this.#waiting && readUntil - this.#sentBoot >= CANARY_PATIENCE_NS) {
      this.#waiting = false;
      this.#find(BLINDED);
    }
    const isDue = !this.#waiting && time - this.#sentAt >= CANARY_INTERVAL_MS;
    if (isDue && !this.#send(time)) this.#find(NO_CANARY);
    return this.#found.slice(before);
  }

  /** What to say at the end. */
  close(): readonly Diagnostic[] {
    if (this.#waiting && !this.#decoder.sawCanary(this.#userData)) this.#find(BLINDED);
    return this.#found;
  }

  /** False where it could not be sent. */
  #send(time: number): boolean {
    this.#sentAt = time;
    this.#sentBoot = this.#device.clocks().boot;
    this.#userData = this.#random();
    this.#decoder.expectCanary(this.#userData);
    this.#waiting = this.#device.canary(this.#userData) >= 0;
    return this.#waiting;
  }

  #find(diagnostic: Diagnostic): void {
    if (!this.#found.includes(diagnostic)) this.#found.push(diagnostic);
  }
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
}
