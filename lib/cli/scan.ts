import { runChain } from "../chain/chain.ts";
import { Filter } from "../chain/filter.ts";
import { Tally } from "../chain/tally.ts";
import { ImageError } from "../memory/image_error.ts";
import type { ImageFile } from "../memory/image_file.ts";
import type { StreamRecord } from "../record/records.ts";
import type { Host } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { Progress } from "./progress.ts";
import { RecordOutput } from "./record_output.ts";
import { say } from "./say.ts";
import { UsageError } from "./usage_error.ts";

/** What a scan is told. */
export interface ScanOptions {
  now(): number;
  readonly tool: { readonly version: string; readonly build: string };
  readonly argv: readonly string[];
  readonly progress?: (done: number, total: number, what: string) => void;
}

/** Finds the records of an image. */
export type ScanSource = (image: ImageFile, options: ScanOptions) => Iterable<StreamRecord[]>;

const scanImage: ScanSource = (image) => {
  throw new ImageError(`Cannot scan ${JSON.stringify(image.name)}: this build has no scanner`);
};

/** `iouring scan`: the rings of a memory image. */
export function scan(args: CommandArgs, host: Host, argv: readonly string[]): number {
  return scanWith(scanImage, args, host, argv);
}

/**
 * `iouring scan` with the source given.
 *
 * @throws {ImageError} There is nothing to scan in the file.
 */
export function scanWith(
  source: ScanSource,
  args: CommandArgs,
  host: Host,
  argv: readonly string[],
): number {
  if (args.flags.has("slice")) throw new UsageError('Flag "--slice" is not built yet');
  const output = new RecordOutput(args, host);
  const path = args.flags.get("config");
  const selection = new Filter(path === undefined ? {} : loadConfig(path, host));
  const tally = new Tally();
  const progress = new Progress(host);
  const image = host.openImage(args.operand!);
  try {
    const batches = source(image, {
      now: () => host.now(),
      tool: { version: host.build.version, build: host.build.build },
      argv,
      progress: (done, total, what) => progress.update(done, total, what),
    });
    runChain(clearing(batches, progress), {
      transforms: [selection.transform],
      openSink: () => output.open(),
      tally,
      live: false,
    });
  } finally {
    progress.clear();
    output.close();
    image.close();
  }
  if (selection.warning !== undefined) say(host, `warning: ${selection.warning}`);
  say(host, tally.summary());
  return 0;
}

/** The batches, with the progress line taken away before each. */
function* clearing<T>(batches: Iterable<T>, progress: Progress): Generator<T> {
  for (const batch of batches) {
    progress.clear();
    yield batch;
  }
  progress.clear();
}
