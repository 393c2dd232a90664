import { UnsupportedHostError } from "../capture/capture_device.ts";
import { captureSource, type KnownSelf } from "../capture/capture_source.ts";
import { captureNeeds, type HostFacts, type Need, unmetNeed } from "../capture/needs.ts";
import { runChain, type Transform } from "../chain/chain.ts";
import { Classifier } from "../chain/classifier.ts";
import { Filter } from "../chain/filter.ts";
import { Tally } from "../chain/tally.ts";
import type { ProcessFilterConfig } from "../config/process_filter.ts";
import { nearest } from "../config/nearest.ts";
import { Btf } from "../kernel/btf.ts";
import { BtfError } from "../kernel/btf_format.ts";
import type { Diagnostic } from "../record/records.ts";
import { OPCODES } from "../uapi/opcodes.ts";
import { OPCODE_WORDS, opcodeNumbers } from "../config/event_filter.ts";
import { dropPrivileges } from "./drop_privileges.ts";
import { exitCode } from "./fail_on.ts";
import { BrokenPipe, FileError, type Host, StalledReader } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { RecordOutput } from "./record_output.ts";
import { say } from "./say.ts";
import { UsageError } from "./usage_error.ts";

const KERNEL_BTF = "/sys/kernel/btf/vmlinux";
/** A kernel's types take 3 to 10 MB. */
const BTF_LIMIT = 256 * 1024 * 1024;
const TEXT_LIMIT = 64 * 1024;
const DEFAULT_RING_BYTES = 16 * 1024 * 1024;
const MIN_RING_BYTES = 64 * 1024;
const MAX_RING_BYTES = 1024 * 1024 * 1024;
const MAX_PID = 4_194_304;
const MAX_SECONDS = 10 * 365 * 86_400;

/** `iouring capture`: what is submitted to io_uring on this host. */
export function capture(args: CommandArgs, host: Host, argv: readonly string[]): number {
  const { flags } = args;
  const output = new RecordOutput(args, host);
  const pids = pidsOf(flags.get("pid"), host);
  const named = opcodesOf(flags.get("opcode"));
  const seconds = positive(flags.get("duration"), { flag: "duration", max: MAX_SECONDS });
  const count = wholeNumber(flags.get("count"), "count");
  const ringBytes = ringBytesOf(flags.get("ring-buffer"));
  const configPath = flags.get("config");
  const config = configPath === undefined ? {} : loadConfig(configPath, host);
  const opcodes = opcodesInKernel(named, config.event_filter?.opcode ?? []);

  const btfPath = flags.get("btf");
  const btf = readBtf(btfPath, host);
  const read = (path: string) => readText(path, host);
  const needs = captureNeeds(read, {
    hasBtf: btf !== undefined,
    ...featuresOf(btf?.names),
    tryBpf: () => host.tryBpf(),
  });
  if (flags.has("check")) return check(needs, host);
  const unmet = unmetNeed(needs);
  if (unmet !== undefined || btf === undefined) {
    throw new UnsupportedHostError(`Cannot capture: ${unmet?.says ?? "no types of the kernel"}`);
  }

  const filter = config.process_filter ?? {};
  const binary = hasBinary(filter);
  const stopSignal = host.stopSignal;
  stopSignal();
  const device = host.openCapture({
    ringBytes,
    ...(btfPath === undefined ? {} : { btf: btfPath }),
    verbose: flags.has("verbose"),
    results: flags.has("results"),
    // 7.0 made both: tracepoints that can be preempted, and this type.
    again: btf.types.struct("delayed_filename") !== undefined,
    pids,
    opcodes,
    ...idLists(filter),
    binary,
    deny: filter.deny_list ?? false,
  });
  const selection = new Filter(config);
  const classifier = new Classifier(config.classifier ?? {});
  const tally = new Tally();
  const counter = new RecordCounter(count);
  let failure: BrokenPipe | StalledReader | undefined;
  try {
    const source = captureSource({
      device,
      btf: btf.types,
      results: flags.has("results"),
      processFilter: filter,
      judgeBinaries: binary,
      ...(seconds === undefined ? {} : { durationMs: seconds * 1000 }),
      stopSignal,
      attached: () => {
        if (seconds !== undefined) host.endIn(Math.ceil(seconds));
        if (!host.isPrivileged) return;
        output.create();
        dropPrivileges(host, flags.has("verbose"));
      },
      enough: () => counter.enough,
      now: () => host.now(),
      random: randomBits,
      start: {
        host: hostOf(read),
        tool: { version: host.build.version, build: host.build.build },
        argv: [...argv],
      },
      diagnostics: diagnosticsOf(needs),
      self: selfOf(read),
    });
    runChain(source, {
      transforms: [selection.transform, classifier.transform, counter.transform],
      openSink: () => output.open(),
      tally,
      live: true,
    });
  } catch (error) {
    if (!(error instanceof BrokenPipe || error instanceof StalledReader)) throw error;
    failure = error;
  } finally {
    device.close();
    output.close();
  }
  if (selection.warning !== undefined) say(host, `warning: ${selection.warning}`);
  if (!(failure instanceof BrokenPipe)) say(host, tally.summary());
  if (failure instanceof StalledReader) throw failure;
  return exitCode(args, tally);
}

/** Passes records of requests until there are enough. */
class RecordCounter {
  readonly transform: Transform;
  #left: number;

  constructor(count: number | undefined) {
    this.#left = count ?? Infinity;
    this.transform = (record) => {
      if (record.type !== "IOUringEvent") return record;
      return this.#left-- > 0 ? record : undefined;
    };
  }

  get enough(): boolean {
    return this.#left <= 0;
  }
}

/** One line for each need; 0 where a capture can run. */
function check(needs: readonly Need[], host: Host): number {
  const lines = needs.map(({ name, met, optional, says }) => {
    const state = met === undefined ? "?" : met ? "ok" : optional ? "note" : "missing";
    return `${state.padEnd(7)} ${name}: ${says}\n`;
  });
  host.stdout.write(new TextEncoder().encode(lines.join("")));
  return unmetNeed(needs) === undefined ? 0 : 4;
}

function diagnosticsOf(needs: readonly Need[]): Diagnostic[] {
  return needs.filter(({ met, optional }) => met === false && optional)
    .map(({ name, says }) => ({ code: name, message: says }));
}

function hasBinary({ binary }: ProcessFilterConfig): boolean {
  const { name = [], path = [], prefix = [] } = binary ?? {};
  return name.length + path.length + prefix.length > 0;
}

function idLists(filter: ProcessFilterConfig) {
  const list = (ids: readonly number[] | undefined) => ids !== undefined && ids.length > 0;
  return {
    ...(list(filter.uid) ? { uids: filter.uid! } : {}),
    ...(list(filter.euid) ? { euids: filter.euid! } : {}),
    ...(list(filter.auid) ? { auids: filter.auid! } : {}),
  };
}

/** The kernel's types, and the names in them. */
interface KernelTypes {
  readonly types: Btf;
  readonly names: Uint8Array;
}

function readBtf(path: string | undefined, host: Host): KernelTypes | undefined {
  const own = tryRead(KERNEL_BTF, host);
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
  return { types, names: bytes };
}

function tryRead(path: string, host: Host, limit = BTF_LIMIT): Uint8Array | undefined {
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

const HOOKS = [
  "io_uring_submit_req",
  "io_uring_submit_sqe",
  "io_uring_req_failed",
  "io_uring_complete",
  "io_uring_cqe_overflow",
  "io_uring_register",
  "io_uring_create",
];

/** What of the kernel's features its types name. */
function featuresOf(types: Uint8Array | undefined): Pick<HostFacts, "hooks" | "hasRingBuffer"> {
  if (types === undefined) return { hooks: undefined, hasRingBuffer: undefined };
  const text = new TextDecoder("latin1").decode(types);
  return {
    hooks: HOOKS.filter((hook) => text.includes(`\0btf_trace_${hook}\0`)),
    hasRingBuffer: text.includes("\0BPF_MAP_TYPE_RINGBUF\0"),
  };
}

function readText(path: string, host: Host): string | undefined {
  const bytes = tryRead(path, host, TEXT_LIMIT);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

function hostOf(read: (path: string) => string | undefined) {
  const line = (path: string) => (read(path) ?? "").trim();
  return {
    name: line("/proc/sys/kernel/hostname"),
    boot_id: line("/proc/sys/kernel/random/boot_id"),
    kernel: line("/proc/sys/kernel/osrelease"),
  };
}

/** What this process is, before it gives up anything. */
function selfOf(read: (path: string) => string | undefined): KnownSelf {
  const ids = /^Uid:\s*(\d+)\s+(\d+)/m.exec(read("/proc/self/status") ?? "");
  return {
    comm: read("/proc/self/comm")?.replace(/\n$/, ""),
    uid: ids === null ? undefined : Number(ids[1]),
    euid: ids === null ? undefined : Number(ids[2]),
  };
}

function pidsOf(value: string | undefined, host: Host): number[] {
  if (value === undefined) return [];
  const pids = value.split(",").map((text) => {
    const pid = Number(text);
    if (!/^[0-9]+$/.test(text) || pid < 1 || pid > MAX_PID) {
      throw new UsageError(
        `Flag "--pid" cannot be ${JSON.stringify(text)}: it takes a process id, 1 to ${MAX_PID}`,
      );
    }
    if (readText(`/proc/${pid}/stat`, host) === undefined) {
      throw new UsageError(`Cannot capture process ${pid}: there is none`);
    }
    return pid;
  });
  return pids;
}

/** Opcodes by the words of a config, in any case, and a name also without its prefix. */
function opcodesOf(value: string | undefined): number[] {
  if (value === undefined) return [];
  const opcodes = new Set<number>();
  for (const text of value.split(",")) {
    const wanted = text.toUpperCase();
    const words = [wanted, `IORING_OP_${wanted}`, text.toLowerCase()];
    const numbers = opcodeNumbers(words.filter((word) => OPCODE_WORDS.includes(word)));
    for (const number of numbers) opcodes.add(number);
    if (numbers.size === 0) {
      const near = nearest(wanted, [
        ...OPCODE_WORDS,
        ...OPCODES.map(({ name }) => name.slice("IORING_OP_".length)),
      ]);
      throw new UsageError(
        `Unknown opcode ${JSON.stringify(text)}` +
          (near === undefined ? "" : `, did you mean ${JSON.stringify(near)}?`),
      );
    }
  }
  return [...opcodes];
}

/** The opcodes that pass both the command line and the config; a list that is empty is "any". */
function opcodesInKernel(wanted: readonly number[], config: readonly string[]): number[] {
  if (config.length === 0) return [...wanted];
  const numbers = [...opcodeNumbers(config)];
  if (wanted.length === 0) return numbers;
  const both = numbers.filter((number) => wanted.includes(number));
  if (both.length > 0) return both;
  throw new UsageError("No opcode passes both --opcode and the config's event_filter");
}

function positive(
  value: string | undefined,
  options: { flag: string; max: number },
): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^[0-9]*\.?[0-9]+$/.test(value) || number <= 0 || number > options.max) {
    throw new UsageError(
      `Flag "--${options.flag}" cannot be ${
        JSON.stringify(value)
      }: it takes seconds, above 0 and at most ${options.max}`,
    );
  }
  return number;
}

function wholeNumber(value: string | undefined, flag: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^[0-9]+$/.test(value) || number < 1 || !Number.isSafeInteger(number)) {
    throw new UsageError(
      `Flag "--${flag}" cannot be ${JSON.stringify(value)}: it takes a whole number above 0`,
    );
  }
  return number;
}

function ringBytesOf(value: string | undefined): number {
  if (value === undefined) return DEFAULT_RING_BYTES;
  const match = /^([0-9]+)([KMG]?)i?B?$/i.exec(value);
  const unit = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[match?.[2]?.toUpperCase() ?? ""] ?? 1;
  const bytes = match === null ? NaN : Number(match[1]) * unit;
  const fits = bytes >= MIN_RING_BYTES && bytes <= MAX_RING_BYTES;
  if (!fits || !Number.isInteger(Math.log2(bytes))) {
    throw new UsageError(
      `Flag "--ring-buffer" cannot be ${JSON.stringify(value)}: ` +
        "it takes a power of two from 64K to 1G",
    );
  }
  return bytes;
}

function randomBits(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!;
}
