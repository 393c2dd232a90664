/**
 * Live capture over `capture.c`, which loads the BPF object through libbpf.
 *
 * @module
 */

import {
  type CaptureDevice,
  type CaptureOptions,
  type Clocks,
  type Coverage,
  UnsupportedHostError,
} from "../lib/capture/capture_device.ts";
import { errnoName } from "../lib/uapi/errno.ts";
import type { LibraryPaths } from "./libraries.ts";

const SYMBOLS = {
  // int32_t iouring_capture_layout(char *out, uint32_t capacity)
  iouring_capture_layout: { parameters: ["buffer", "u32"], result: "i32" },
  // int32_t iouring_capture_log(char *out, uint32_t capacity)
  iouring_capture_log: { parameters: ["buffer", "u32"], result: "i32" },
  // int32_t iouring_capture_try(void)
  iouring_capture_try: { parameters: [], result: "i32" },
  // int32_t iouring_capture_open(const uint8_t *object, uint64_t size, const char *btf, uint32_t verbose)
  iouring_capture_open: { parameters: ["buffer", "u64", "buffer", "u32"], result: "i32" },
  // int32_t iouring_capture_set(const char *name, const uint8_t *value, uint32_t size)
  iouring_capture_set: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  // int32_t iouring_capture_room(const char *map, uint32_t entries)
  iouring_capture_room: { parameters: ["buffer", "u32"], result: "i32" },
  // int32_t iouring_capture_load(uint32_t ring_bytes, uint32_t may_be_typed)
  iouring_capture_load: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t iouring_capture_attach(uint32_t program)
  iouring_capture_attach: { parameters: ["u32"], result: "i32" },
  // int32_t iouring_capture_new_name(void)
  iouring_capture_new_name: { parameters: [], result: "i32" },
  // int32_t iouring_capture_form(uint32_t program)
  iouring_capture_form: { parameters: ["u32"], result: "i32" },
  // int32_t iouring_capture_has(const char *name, const char *member)
  iouring_capture_has: { parameters: ["buffer", "buffer"], result: "i32" },
  // int32_t iouring_capture_add_pid(uint32_t pid)
  iouring_capture_add_pid: { parameters: ["u32"], result: "i32" },
  // int32_t iouring_capture_add_id(uint32_t kind, uint32_t id)
  iouring_capture_add_id: { parameters: ["u32", "u32"], result: "i32" },
  // int32_t iouring_capture_judge(uint64_t image, uint32_t verdict)
  iouring_capture_judge: { parameters: ["u64", "u32"], result: "i32" },
  // int32_t iouring_capture_poll(uint8_t *batch, uint32_t capacity, uint32_t timeout_ms)
  iouring_capture_poll: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  // int32_t iouring_capture_counters(uint64_t *out)
  iouring_capture_counters: { parameters: ["buffer"], result: "i32" },
  // int64_t iouring_capture_misses(uint32_t program)
  iouring_capture_misses: { parameters: ["u32"], result: "i64" },
  // int32_t iouring_capture_canary(uint64_t user_data)
  iouring_capture_canary: { parameters: ["u64"], result: "i32" },
  // int32_t iouring_capture_iterate(const char *name)
  iouring_capture_iterate: { parameters: ["buffer"], result: "i32" },
  // int32_t iouring_capture_clocks(uint64_t *out)
  iouring_capture_clocks: { parameters: ["buffer"], result: "i32" },
  // int32_t iouring_capture_detach(void)
  iouring_capture_detach: { parameters: [], result: "i32" },
  // int32_t iouring_capture_close(void)
  iouring_capture_close: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** The native library and the BPF object. */
export interface CaptureLibrary {
  readonly symbols: Symbols;
  readonly object: Uint8Array<ArrayBuffer>;
}

/** What was loaded stays: a library that is closed under a running capture takes it down. */
const LOADED: Deno.DynamicLibrary<Deno.ForeignLibraryInterface>[] = [];
let library: CaptureLibrary | undefined;

/**
 * Loads the shim, once, and before it what it needs: the dynamic linker takes a library that is
 * there already in place of one of the system with the same name.
 */
export function loadCaptureLibrary(paths: LibraryPaths): CaptureLibrary {
  if (library === undefined) {
    for (const name of ["z", "elf", "bpf"] as const) LOADED.push(Deno.dlopen(paths[name], {}));
    const { symbols } = Deno.dlopen(paths.capture, SYMBOLS);
    library = { symbols, object: Deno.readFileSync(paths.object) };
  }
  return library;
}

const ENOENT = 2;
const HOOKS: readonly {
  readonly program: string;
  readonly hook: string;
  readonly hides: string;
}[] = [
  { program: "PROGRAM_SUBMIT", hook: "io_uring_submit_req", hides: "every request" },
  {
    program: "PROGRAM_FAILED",
    hook: "io_uring_req_failed",
    hides: "requests that were refused before they ran",
  },
  { program: "PROGRAM_COMPLETE", hook: "io_uring_complete", hides: "results" },
  {
    program: "PROGRAM_OVERFLOW",
    hook: "io_uring_cqe_overflow",
    hides: "results that did not fit the completion queue",
  },
  { program: "PROGRAM_REGISTER", hook: "io_uring_register", hides: "registrations" },
  { program: "PROGRAM_CREATE", hook: "io_uring_create", hides: "rings made from now on" },
];

/** What older hooks do not pass, by the form that the shim has found. */
const FORMS: readonly {
  readonly program: string;
  readonly form: number;
  readonly what: string;
  readonly hides: string;
}[] = [
  {
    // Before 5.14, and 5.10.162 of its series.
    program: "PROGRAM_SUBMIT",
    form: 3,
    what: "io_uring_submit_sqe: req",
    hides: "the kernel's copy of a request: all but its opcode and user_data is from the ring's " +
      "entry, which its owner can write",
  },
  {
    // Before 5.18.
    program: "PROGRAM_COMPLETE",
    form: 3,
    what: "io_uring_complete: req",
    hides: "which of several requests with the same user_data a result is of",
  },
  {
    // 5.17 alone.
    program: "PROGRAM_FAILED",
    form: 3,
    what: "io_uring_req_failed: ctx",
    hides: "the ring of a request that was refused before it ran",
  },
];

/** What older kernels do not keep. */
const MEMBERS: readonly {
  readonly struct: string;
  readonly member: string;
  readonly hides: string;
}[] = [
  // Before 5.11, and older kernels of the 5.10 series.
  { struct: "seccomp", member: "filter_count", hides: "the number of seccomp filters" },
  // Before 5.19.
  { struct: "io_rw", member: "flags", hides: "flags of reads and writes, where the file has some" },
];

/**
 * Loads the BPF object and attaches it.
 *
 * @throws {UnsupportedHostError} This host does not allow it.
 */
export function openCapture(library: CaptureLibrary, options: CaptureOptions): CaptureDevice {
  // Types from a file are not the ones that the kernel checks typed programs with.
  if (options.btf !== undefined) return loadCapture(library, options, { mayBeTyped: false });
  try {
    return loadCapture(library, options, { mayBeTyped: true });
  } catch (error) {
    if (!(error instanceof UnsupportedHostError)) throw error;
    // A verifier may not follow what another one does; calls pass in all of them.
    return loadCapture(library, options, { mayBeTyped: false });
  }
}

function loadCapture(
  { symbols, object }: CaptureLibrary,
  options: CaptureOptions,
  form: { mayBeTyped: boolean },
): CaptureDevice {
  const opened = symbols.iouring_capture_open(
    object,
    BigInt(object.length),
    cString(options.btf ?? ""),
    options.verbose ? 1 : 0,
  );
  if (opened < 0) {
    throw refusal(
      symbols,
      options.btf === undefined ? "read the kernel's types" : "read the types in --btf",
      opened,
    );
  }
  try {
    return new KernelCapture(symbols, options, form);
  } catch (error) {
    symbols.iouring_capture_close();
    throw error;
  }
}

class KernelCapture implements CaptureDevice {
  readonly layout: string;
  readonly coverage: Coverage;
  readonly counters: BigUint64Array;
  readonly cpus: number;
  readonly #symbols: Symbols;
  #closed = false;

  constructor(symbols: Symbols, options: CaptureOptions, { mayBeTyped }: { mayBeTyped: boolean }) {
    this.#symbols = symbols;
    const text = new Uint8Array(16_384);
    const length = symbols.iouring_capture_layout(text, text.length);
    this.layout = new TextDecoder().decode(text.subarray(0, length));
    this.#configure(options);
    this.#sizeMaps(options);
    const loaded = symbols.iouring_capture_load(options.ringBytes, mayBeTyped ? 1 : 0);
    if (loaded < 0) throw refusal(symbols, "load the BPF programs", loaded);
    this.#fillMaps(options);
    this.coverage = this.#attach(options);
    const place = new BigUint64Array(3);
    this.#check(symbols.iouring_capture_counters(place), "map the counters");
    const memory = Deno.UnsafePointerView.getArrayBuffer(
      Deno.UnsafePointer.create(place[0]!)!,
      Number(place[1]!),
    );
    this.counters = new BigUint64Array(memory);
    this.cpus = Number(place[2]!);
  }

  poll(batch: Uint8Array<ArrayBuffer>, timeoutMs: number): number {
    const length = this.#symbols.iouring_capture_poll(batch, batch.length, timeoutMs);
    return this.#check(length, "read records");
  }

  misses(program: number): number {
    const count = Number(this.#symbols.iouring_capture_misses(program));
    return this.#check(count, "read how often a program was left out");
  }

  judge(image: bigint, listed: boolean): void {
    // One that another takes the place of passes here, and is left out further on.
    this.#symbols.iouring_capture_judge(
      image,
      this.#value(listed ? "VERDICT_PASS" : "VERDICT_DROP"),
    );
  }

  canary(userData: bigint): number {
    return this.#symbols.iouring_capture_canary(userData);
  }

  iterate(name: string): number {
    return this.#symbols.iouring_capture_iterate(cString(name));
  }

  clocks(): Clocks {
    const out = new BigUint64Array(2);
    this.#symbols.iouring_capture_clocks(out);
    return { boot: out[0]!, real: out[1]! };
  }

  detach(): void {
    this.#symbols.iouring_capture_detach();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // A view that outlives the mapping must not be read.
    structuredClone(this.counters.buffer, { transfer: [this.counters.buffer as ArrayBuffer] });
    this.#symbols.iouring_capture_close();
  }

  #value(name: string): number {
    const match = new RegExp(`^${name} (\\d+) `, "m").exec(this.layout);
    if (match === null) throw new Error(`Cannot capture: no ${name} in the layout`);
    return Number(match[1]);
  }

  #check(result: number, action: string): number {
    if (result < 0) throw refusal(this.#symbols, action, result);
    return result;
  }

  #configure(options: CaptureOptions): void {
    const wanted = new Uint8Array(256);
    for (const opcode of options.opcodes) wanted[opcode] = 1;
    const shift = Math.log2(options.ringBytes / 4);
    const flag = (value: boolean) => Uint8Array.of(value ? 1 : 0);
    const selects = options.pids.length + options.opcodes.length > 0 || options.binary ||
      idLists(options).some((ids) => ids !== undefined);
    const constants: [name: string, value: Uint8Array][] = [
      ["want_results", flag(options.results)],
      ["want_again", flag(options.again)],
      ["want_tracking", flag(options.results && selects)],
      ["filter_pids", flag(options.pids.length > 0)],
      ["filter_opcodes", flag(options.opcodes.length > 0)],
      ["filter_uids", flag(options.uids !== undefined)],
      ["filter_euids", flag(options.euids !== undefined)],
      ["filter_auids", flag(options.auids !== undefined)],
      ["filter_binary", flag(options.binary)],
      ["filter_deny", flag(options.deny)],
      ["wanted_opcodes", wanted],
      ["ring_bytes", new Uint8Array(BigUint64Array.of(BigInt(options.ringBytes)).buffer)],
      ["window_shift", new Uint8Array(Uint32Array.of(shift).buffer)],
      ["window_share", new Uint8Array(Uint32Array.of(options.ringBytes / 16).buffer)],
    ];
    for (const [name, value] of constants) {
      this.#check(
        this.#symbols.iouring_capture_set(
          cString(name),
          value as Uint8Array<ArrayBuffer>,
          value.length,
        ),
        `set ${name}`,
      );
    }
  }

  #sizeMaps(options: CaptureOptions): void {
    const ids = idLists(options).reduce((sum, list) => sum + (list?.length ?? 0), 0);
    for (const [name, entries] of [["pids", options.pids.length], ["ids", ids]] as const) {
      const room = this.#symbols.iouring_capture_room(cString(name), Math.max(1, entries));
      this.#check(room, `make room for ${entries} ${name}`);
    }
  }

  #fillMaps(options: CaptureOptions): void {
    for (const pid of options.pids) {
      this.#check(this.#symbols.iouring_capture_add_pid(pid), `filter by pid ${pid}`);
    }
    const lists = idLists(options);
    for (const [kind, list] of lists.entries()) {
      for (const id of list ?? []) {
        this.#check(this.#symbols.iouring_capture_add_id(kind, id), `filter by id ${id}`);
      }
    }
  }

  #attach(options: CaptureOptions): Coverage {
    const hooks: string[] = [];
    const missing: { hook: string; hides: string }[] = [];
    for (const { program, hook, hides } of HOOKS) {
      const isSubmit = program === "PROGRAM_SUBMIT";
      const name = isSubmit && this.#symbols.iouring_capture_new_name() === 0
        ? "io_uring_submit_sqe"
        : hook;
      const result = this.#symbols.iouring_capture_attach(this.#value(program));
      if (result >= 0) {
        hooks.push(name);
        continue;
      }
      if (isSubmit && -result === ENOENT) {
        throw new UnsupportedHostError(
          `Cannot attach to ${name}: there is no such tracepoint, so the types are of another kernel`,
        );
      }
      if (isSubmit) throw refusal(this.#symbols, `attach to ${name}`, result);
      missing.push({ hook: name, hides });
    }
    for (const { program, form, what, hides } of FORMS) {
      if (this.#symbols.iouring_capture_form(this.#value(program)) === form) {
        missing.push({ hook: what, hides });
      }
    }
    for (const { struct, member, hides } of MEMBERS) {
      if (this.#symbols.iouring_capture_has(cString(struct), cString(member)) === 0) {
        missing.push({ hook: `${struct}.${member}`, hides });
      }
    }
    // Programs of one tracepoint run in the order in which they were attached: this one looks for
    // what the first has left.
    if (options.again) {
      this.#check(
        this.#symbols.iouring_capture_attach(this.#value("PROGRAM_SUBMIT_AGAIN")),
        "attach the second program",
      );
    }
    return { hooks, missing };
  }
}

/** The ids that the filter names, by their kind in the kernel: see `iouring_capture_add_id`. */
function idLists({ uids, euids, auids }: CaptureOptions): (readonly number[] | undefined)[] {
  return [uids, euids, auids];
}

/** Plain words for error numbers that do not stand for the verifier's many reasons. */
const REASONS: Readonly<Record<string, string>> = {
  EAGAIN: "interrupted",
  EMFILE: "too many open files",
  ENOMEM: "out of memory",
  ENOSYS: "this kernel does not have it",
  EPERM: "not permitted",
};

/** Why this host refuses, as far as the error number tells. */
function refusal(symbols: Symbols, action: string, result: number): UnsupportedHostError {
  const text = new Uint8Array(4096);
  const length = symbols.iouring_capture_log(text, text.length);
  const log = new TextDecoder().decode(text.subarray(0, Math.min(length, text.length)))
    .split("\n")[0]!.replace(/^libbpf: /, "");
  const name = errnoName(-result) ?? String(-result);
  const reason = REASONS[name] ?? name;
  return new UnsupportedHostError(
    `Cannot ${action}: ${reason}${log === "" ? "" : ` (${log})`}, see iouring capture --check`,
  );
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
