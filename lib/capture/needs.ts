import { errnoName } from "../uapi/errno.ts";

/** Something that a capture needs of the host. */
export interface Need {
  /** What it is, in a word or two. */
  readonly name: string;
  /** Whether it is there; undefined where that cannot be told. */
  readonly met: boolean | undefined;
  /** A capture runs without it, but sees less or nothing new. */
  readonly optional: boolean;
  /** What was found, and what to do where it is not met. */
  readonly says: string;
}

/** Reads a small file, undefined where it cannot be read. */
export type ReadText = (path: string) => string | undefined;

const CAP_SYS_ADMIN = 21n;
const CAP_PERFMON = 38n;
const CAP_BPF = 39n;
/** What the first user namespace maps. */
const ALL_IDS = "0 0 4294967295";
const EPERM = 1;
const EACCES = 13;
const EINVAL = 22;
const ENOSYS = 38;

/** What has been found out about this host. */
export interface HostFacts {
  /** Whether the kernel's types are there, here or in a file that was given. */
  readonly hasBtf: boolean;
  /** The tracepoints found in them, undefined where they could not be read. */
  readonly hooks: readonly string[] | undefined;
  /** Whether they name the ring buffer that programs write to; undefined as before. */
  readonly hasRingBuffer: boolean | undefined;
  /** Tries to load a program that reads the kernel: 0, or a negative errno. */
  readonly tryBpf: () => number;
}

/**
 * What a capture needs of this host.
 *
 * @param read Reads files of /proc and /sys.
 */
export function captureNeeds(read: ReadText, options: HostFacts): Need[] {
  const privileged = privilege(read);
  return [
    privileged,
    {
      name: "BTF",
      met: options.hasBtf,
      optional: false,
      says: options.hasBtf
        ? "the kernel's types are there"
        : "/sys/kernel/btf/vmlinux is not there: use a kernel with CONFIG_DEBUG_INFO_BTF, or --btf FILE",
    },
    hooks(options.hooks),
    ringBuffer(options.hasRingBuffer),
    lockdown(read),
    privileged.met === false
      ? { name: "bpf", met: undefined, optional: false, says: "not known without privilege" }
      : bpf(read, options.tryBpf()),
    disabled(read),
  ];
}

/** The first need that is not met and that a capture cannot do without. */
export function unmetNeed(needs: readonly Need[]): Need | undefined {
  return needs.find(({ met, optional }) => met === false && !optional);
}

function privilege(read: ReadText): Need {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(read("/proc/self/status") ?? "");
  const need = { name: "privilege", optional: false } as const;
  if (match === null) {
    return { ...need, met: undefined, says: "/proc/self/status cannot be read" };
  }
  // One id each for all of the first namespace's, or it is another one.
  const ids = read("/proc/self/uid_map")?.trim().split(/\s+/).join(" ");
  if (ids !== undefined && ids !== ALL_IDS) {
    return {
      ...need,
      met: false,
      says: "the capabilities of a user namespace are not enough: run it as root of the host",
    };
  }
  const caps = BigInt(`0x${match[1]}`);
  const has = (bit: bigint) => (caps >> bit & 1n) === 1n;
  if (has(CAP_SYS_ADMIN)) return { ...need, met: true, says: "CAP_SYS_ADMIN" };
  if (has(CAP_BPF) && has(CAP_PERFMON)) {
    return { ...need, met: true, says: "CAP_BPF and CAP_PERFMON" };
  }
  const missing = [
    ...(has(CAP_BPF) ? [] : ["CAP_BPF"]),
    ...(has(CAP_PERFMON) ? [] : ["CAP_PERFMON"]),
  ].join(" and ");
  return { ...need, met: false, says: `${missing} missing: run it as root (sudo iouring capture)` };
}

function hooks(found: readonly string[] | undefined): Need {
  const need = { name: "hooks", optional: false } as const;
  if (found === undefined) {
    return { ...need, met: undefined, says: "not known without the kernel's types" };
  }
  const submit = found.some((name) => /^io_uring_submit_(req|sqe)$/.test(name));
  return {
    ...need,
    met: submit,
    says: submit
      ? found.join(", ")
      : "the kernel's types name no io_uring tracepoints: use Linux 5.10 or later, with CONFIG_IO_URING",
  };
}

function ringBuffer(isThere: boolean | undefined): Need {
  const need = { name: "ring buffer", met: isThere, optional: false } as const;
  if (isThere === undefined) return { ...need, says: "not known without the kernel's types" };
  return {
    ...need,
    says: isThere
      ? "this kernel's BPF has one"
      : "this kernel's BPF has no ring buffer: use Linux 5.10 or later",
  };
}

function lockdown(read: ReadText): Need {
  const need = { name: "lockdown", optional: false } as const;
  const mode = /\[(\w+)\]/.exec(read("/sys/kernel/security/lockdown") ?? "")?.[1];
  if (mode === "confidentiality") {
    return {
      ...need,
      met: false,
      says:
        "confidentiality mode forbids BPF to read the kernel: boot without lockdown=confidentiality",
    };
  }
  return { ...need, met: true, says: mode ?? "none" };
}

/** `result` is of a program that does nothing but read the kernel's memory. */
function bpf(read: ReadText, result: number): Need {
  const need = { name: "bpf", optional: false } as const;
  if (result >= 0) {
    return { ...need, met: true, says: "programs that read the kernel can be loaded" };
  }
  const filtered = /^Seccomp:\s*2$/m.test(read("/proc/self/status") ?? "");
  const by = filtered ? "a seccomp filter" : "the kernel or its security module";
  const forbidden =
    `${by} forbids bpf(2): run it where that is allowed, such as outside the container`;
  const says: { readonly [errno: number]: string } = {
    [EPERM]: forbidden,
    [EACCES]: forbidden,
    [EINVAL]: "BPF may not read the kernel: boot without lockdown=confidentiality",
    [ENOSYS]: filtered ? forbidden : "this kernel has no bpf(2): use one with CONFIG_BPF_SYSCALL",
  };
  return {
    ...need,
    met: false,
    says: says[-result] ?? `bpf(2) fails with ${errnoName(-result) ?? -result}`,
  };
}

function disabled(read: ReadText): Need {
  const need = { name: "io_uring_disabled", optional: true } as const;
  const value = read("/proc/sys/kernel/io_uring_disabled")?.trim();
  if (value === undefined || value === "0") {
    return { ...need, met: true, says: "io_uring is on for every process" };
  }
  return {
    ...need,
    met: false,
    says: value === "1"
      ? "kernel.io_uring_disabled is 1: only privileged processes make new rings"
      : "kernel.io_uring_disabled is 2: nobody makes new rings, old ones go on",
  };
}
