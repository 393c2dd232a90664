/** A program of the kernel side, by its index in `enum program` of bpf/iouring.h. */
export type ProgramIndex = number;

/** What a capture is to do in the kernel. */
export interface CaptureOptions {
  /** Size of the ring buffer in bytes, a power of two of at least 64 KiB. */
  readonly ringBytes: number;
  /** A file with the kernel's BTF, where the kernel has none of its own. */
  readonly btf?: string;
  /** Let libbpf say on standard error what it does. */
  readonly verbose: boolean;
  /** Follow every completion; without it only those of ACCEPT. */
  readonly results: boolean;
  /** Attach a second copy of the submit program, for kernels that skip the first when preempted. */
  readonly again: boolean;
  /** Processes by pid in the kernel's first namespace; empty is all. */
  readonly pids: readonly number[];
  /** Opcodes; empty is all. */
  readonly opcodes: readonly number[];
  /** Ids that the process filter names; an absent list is no condition. */
  readonly uids?: readonly number[];
  readonly euids?: readonly number[];
  readonly auids?: readonly number[];
  /** The process filter has a condition on the executable, decided out here, once for each. */
  readonly binary: boolean;
  /** The process filter is turned round. */
  readonly deny: boolean;
}

/** Which hooks of the kernel are attached, and what this kernel lacks of them and of its types. */
export interface Coverage {
  readonly hooks: readonly string[];
  readonly missing: readonly { readonly hook: string; readonly hides: string }[];
}

/** Clocks read together, in nanoseconds. */
export interface Clocks {
  /** Since boot, suspend included. */
  readonly boot: bigint;
  /** Since 1970. */
  readonly real: bigint;
}

/** A capture that runs in the kernel. */
export interface CaptureDevice {
  /** `bpf/iouring.h` in numbers: lines of `name offset-or-value size`. */
  readonly layout: string;
  /** What is attached. */
  readonly coverage: Coverage;
  /**
   * Fills the front of `batch` with records, each at a multiple of 8.
   *
   * @param timeoutMs How long to wait for the first one; 0 does not wait.
   * @returns Bytes filled, 0 where none came.
   */
  poll(batch: Uint8Array, timeoutMs: number): number;
  /** The counters, `struct counters` for each CPU and program; live memory that the kernel writes. */
  readonly counters: BigUint64Array;
  /** CPUs that the counters have rows for. */
  readonly cpus: number;
  /** How often the kernel did not run a program; 0 where it does not say. */
  misses(program: ProgramIndex): number;
  /** Says whether the filter lists what a process runs, by the name of that; the kernel keeps it. */
  judge(image: bigint, listed: boolean): void;
  /** Submits a NOP of our own; 0, or a negative errno. */
  canary(userData: bigint): number;
  /** Runs an iterator of the object, whose records come through {@linkcode poll}; 0 or a negative errno. */
  iterate(name: string): number;
  /** Detaches all programs; what they have written can still be polled. */
  detach(): void;
  clocks(): Clocks;
  close(): void;
}

/** Asks whether the program was told to stop. From the first call on, SIGINT, SIGTERM and SIGHUP only ask. */
export type StopSignal = () => number;

/** This host cannot be captured on: what is missing and what to do, in one line. Exit code 4. */
export class UnsupportedHostError extends Error {
  override readonly name = "UnsupportedHostError";
}
