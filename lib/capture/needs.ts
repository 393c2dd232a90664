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

/**
 * What a capture needs of this host.
 *
 * @param read Reads files of /proc and /sys.
 * @param hasBtf Whether the kernel's types are there, here or in a file that was given.
 * @param hooks The tracepoints found in them, undefined where they could not be read.
 */
export function captureNeeds(
  read: ReadText,
  options: { readonly hasBtf: boolean; readonly hooks: readonly string[] | undefined },
): Need[] {
  return [
    privilege(read),
    {
      name: "BTF",
      met: options.hasBtf,
      optional: false,
      says: options.hasBtf
        ? "the kernel's types are there"
        : "/sys/kernel/btf/vmlinux is not there: use a kernel with CONFIG_DEBUG_INFO_BTF, or --btf FILE",
    },
    hooks(options.hooks),
    lockdown(read),
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
      : "this kernel has no io_uring tracepoints: use one with CONFIG_IO_URING",
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
