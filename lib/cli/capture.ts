import { UnsupportedHostError } from "../capture/capture_device.ts";
import { captureSource } from "../capture/capture_source.ts";
import { captureNeeds, type Need, unmetNeed } from "../capture/needs.ts";
import { runChain, type Transform } from "../chain/chain.ts";
import { Classifier } from "../chain/classifier.ts";
import { Filter } from "../chain/filter.ts";
import { Tally } from "../chain/tally.ts";
import type { ProcessFilterConfig } from "../config/process_filter.ts";
import type { Diagnostic } from "../record/records.ts";
import {
  opcodesInKernel,
  opcodesOf,
  pidsOf,
  ringBytesOf,
  secondsOf,
  wholeNumber,
} from "./capture_flags.ts";
import { dropPrivileges } from "./drop_privileges.ts";
import { exitCode } from "./fail_on.ts";
import { BrokenPipe, type Host, StalledReader } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { RecordOutput } from "./record_output.ts";
import { hostOf, readKernel, readText, selfOf } from "./running_host.ts";
import { say } from "./say.ts";

/** `iouring capture`: what is submitted to io_uring on this host. */
export function capture(args: CommandArgs, host: Host, argv: readonly string[]): number {
  const { flags } = args;
  const output = new RecordOutput(args, host);
  const pids = pidsOf(flags.get("pid"), host);
  const named = opcodesOf(flags.get("opcode"));
  const seconds = secondsOf(flags.get("duration"));
  const count = wholeNumber(flags.get("count"), "count");
  const ringBytes = ringBytesOf(flags.get("ring-buffer"));
  const configPath = flags.get("config");
  const config = configPath === undefined ? {} : loadConfig(configPath, host);
  const opcodes = opcodesInKernel(named, config.event_filter?.opcode ?? []);

  const btfPath = flags.get("btf");
  const kernel = readKernel(btfPath, host);
  const read = (path: string) => readText(path, host);
  const needs = captureNeeds(read, {
    hasBtf: kernel !== undefined,
    hooks: kernel?.hooks,
    hasRingBuffer: kernel?.hasRingBuffer,
    tryBpf: () => host.tryBpf(),
  });
  if (flags.has("check")) return check(needs, host);
  const unmet = unmetNeed(needs);
  if (unmet !== undefined || kernel === undefined) {
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
    again: kernel.preemptsTracepoints,
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
      btf: kernel.types,
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

function randomBits(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!;
}
