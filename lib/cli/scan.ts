import { runChain } from "../chain/chain.ts";
import { Classifier } from "../chain/classifier.ts";
import { Filter } from "../chain/filter.ts";
import { Tally } from "../chain/tally.ts";
import type { ImageFile } from "../memory/image_file.ts";
import type { StreamRecord } from "../record/records.ts";
import { scanImage, type ScanOptions } from "../scan/scan_image.ts";
import { exitCode } from "./fail_on.ts";
import { FileError, type Host } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { Progress } from "./progress.ts";
import { RecordOutput } from "./record_output.ts";
import { say } from "./say.ts";

/** `iouring scan`: the rings of a memory image. */
export function scan(args: CommandArgs, host: Host, argv: readonly string[]): number {
  return scanWith(scanImage, args, host, argv);
}

/** Finds the records of an image. */
export type ScanSource = (image: ImageFile, options: ScanOptions) => Iterable<StreamRecord[]>;

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
  const output = new RecordOutput(args, host);
  const path = args.flags.get("config");
  const config = path === undefined ? {} : loadConfig(path, host);
  const selection = new Filter(config);
  const classifier = new Classifier(config.classifier ?? {});
  const tally = new Tally();
  const progress = new Progress(host);
  const slice = sliceWriter(args, host);
  const image = host.openImage(args.operand!);
  try {
    const batches = source(image, {
      now: () => host.now(),
      tool: { version: host.build.version, build: host.build.build },
      argv,
      progress: (done, total, what) => progress.update(done, total, what),
      ...(slice === undefined ? {} : { slice }),
    });
    runChain(clearing(batches, progress), {
      transforms: [selection.transform, classifier.transform],
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
  return exitCode(args, tally);
}

/** Writes the pieces of a slice to the file that `--slice` names, once there is one to write. */
function sliceWriter(
  args: CommandArgs,
  host: Host,
): ((pieces: Iterable<Uint8Array>) => void) | undefined {
  const path = args.flags.get("slice");
  if (path === undefined) return undefined;
  // Known now rather than after the scan.
  if (host.exists(path)) throw new FileError("create", path, "file exists");
  return (pieces) => {
    const file = host.createFile(path, { append: false });
    try {
      for (const piece of pieces) file.write(piece);
    } finally {
      file.close();
    }
  };
}

/** The batches, with the progress line taken away before each. */
function* clearing<T>(batches: Iterable<T>, progress: Progress): Generator<T> {
  for (const batch of batches) {
    progress.clear();
    yield batch;
  }
  progress.clear();
}
