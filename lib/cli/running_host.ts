import type { KnownSelf } from "../capture/capture_source.ts";
import { Btf } from "../kernel/btf.ts";
import { BtfError } from "../kernel/btf_format.ts";
import type { IOUringStatus } from "../record/records.ts";
import { FileError, type Host } from "./host.ts";

const KERNEL_BTF = "/sys/kernel/btf/vmlinux";
/** A kernel's types take 3 to 10 MB. */
const BTF_LIMIT = 256 * 1024 * 1024;
/** What is read of `/proc` is a few lines. */
const TEXT_LIMIT = 64 * 1024;
/** The tracepoints that a capture may use. */
const HOOKS = [
  "io_uring_submit_req",
  "io_uring_submit_sqe",
  "io_uring_req_failed",
  "io_uring_complete",
  "io_uring_cqe_overflow",
  "io_uring_register",
  "io_uring_create",
];

/** What the types of the kernel that runs say of it. */
export interface RunningKernel {
  readonly types: Btf;
  /** The tracepoints of io_uring that it has, of those that a capture may use. */
  readonly hooks: readonly string[];
  readonly hasRingBuffer: boolean;
  /** A program at a tracepoint can be preempted, and the next request on its CPU then has none. */
  readonly preemptsTracepoints: boolean;
}

/**
 * Reads the kernel's types.
 *
 * @param path A file to take in place of what the kernel gives.
 * @returns Undefined where no file is named and the kernel gives none.
 * @throws {FileError} The file cannot be read, or is of another kernel.
 */
export function readKernel(path: string | undefined, host: Host): RunningKernel | undefined {
  const own = tryRead(KERNEL_BTF, host, BTF_LIMIT);
  // A file that was named must be there.
  const bytes = path === undefined ? own : host.readFile(path, BTF_LIMIT);
  if (bytes === undefined) return undefined;
  const name = path ?? KERNEL_BTF;
  if (bytes.length === 0) throw new FileError("read", name, "file is empty");
  let types: Btf;
  try {
    types = new Btf(bytes);
  } catch (error) {
    if (!(error instanceof BtfError)) throw error;
    throw new FileError("read", name, error.message);
  }
  if (own !== undefined && bytes !== own && !equalBytes(bytes, own)) {
    throw new FileError("use", name, `this kernel's types are others, those in ${KERNEL_BTF}`);
  }
  const text = new TextDecoder("latin1").decode(bytes);
  const has = (word: string) => text.includes(`\0${word}\0`);
  return {
    types,
    hooks: HOOKS.filter((hook) => has(`btf_trace_${hook}`)),
    hasRingBuffer: has("BPF_MAP_TYPE_RINGBUF"),
    // What a tracepoint holds while its programs run: since 7.0 a read of tracepoint_srcu
    // (__DECLARE_TRACE in include/linux/tracepoint.h), before that the CPU.
    preemptsTracepoints: has("class_srcu_fast_notrace_t"),
  };
}

function tryRead(path: string, host: Host, limit: number): Uint8Array | undefined {
  try {
    return host.readFile(path, limit);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return undefined;
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The text of a small file; undefined where it cannot be read. */
export function readText(path: string, host: Host): string | undefined {
  const bytes = tryRead(path, host, TEXT_LIMIT);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

/** What the start record says of this host. */
export function hostOf(
  read: (path: string) => string | undefined,
): NonNullable<IOUringStatus["host"]> {
  const line = (path: string) => (read(path) ?? "").trim();
  return {
    name: line("/proc/sys/kernel/hostname"),
    boot_id: line("/proc/sys/kernel/random/boot_id"),
    kernel: line("/proc/sys/kernel/osrelease"),
  };
}

/** What this process is, before it gives up anything. */
export function selfOf(read: (path: string) => string | undefined): KnownSelf {
  const ids = /^Uid:\s*(\d+)\s+(\d+)/m.exec(read("/proc/self/status") ?? "");
  return {
    comm: read("/proc/self/comm")?.replace(/\n$/, ""),
    uid: ids === null ? undefined : Number(ids[1]),
    euid: ids === null ? undefined : Number(ids[2]),
  };
}
