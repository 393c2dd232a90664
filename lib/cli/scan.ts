import { runChain } from "../chain/chain.ts";
import { Classifier } from "../chain/classifier.ts";
import { Filter } from "../chain/filter.ts";
import { Tally } from "../chain/tally.ts";
import { type OpenKernelFiles, readKernelFiles } from "../kernel/kernel_files.ts";
import type { SymbolFile } from "../kernel/system_map.ts";
import type { ImageFile } from "../memory/image_file.ts";
import type { StreamRecord } from "../record/records.ts";
import { scanImage, type ScanOptions } from "../scan/scan_image.ts";
import { dropPrivileges } from "./drop_privileges.ts";
import { exitCode } from "./fail_on.ts";
import { FileError, type Host, type Input, type OutputFile } from "./host.ts";
import { loadConfig } from "./load_config.ts";
import type { CommandArgs } from "./parse.ts";
import { Progress } from "./progress.ts";
import { RecordOutput } from "./record_output.ts";
import { say } from "./say.ts";
import { UsageError } from "./usage_error.ts";

/** `iouring scan`: the rings of a memory image. */
export function scan(args: CommandArgs, host: Host, argv: readonly string[]): Promise<number> {
  return scanWith(scanImage, args, host, argv);
}

/** Finds the records of an image. */
export type ScanSource = (image: ImageFile, options: ScanOptions) => Iterable<StreamRecord[]>;

/**
 * `iouring scan` with the source given.
 *
 * @throws {ImageError} There is nothing to scan in the file.
 * @throws {KernelFileError} A file of symbols or types cannot be read.
 * @throws {WrongKernelError} A file of symbols or types is of another kernel.
 */
export async function scanWith(
  source: ScanSource,
  args: CommandArgs,
  host: Host,
  argv: readonly string[],
): Promise<number> {
  const output = new RecordOutput(args, host);
  const path = args.flags.get("config");
  const config = path === undefined ? {} : loadConfig(path, host);
  const selection = new Filter(config);
  const classifier = new Classifier(config.classifier ?? {});
  const tally = new Tally();
  const progress = new Progress(host);
  const slicePath = args.flags.get("slice");
  const slice = slicePath === undefined ? undefined : new SliceFile(slicePath, host);
  const kernelFiles = new KernelFileSet(args, host);
  const image = host.openImage(args.operand!);
  try {
    if (host.isPrivileged) {
      // Foreign data is parsed from here on: first open what is to be written, then be nobody.
      output.create();
      slice?.create();
      dropPrivileges(host, args.flags.has("verbose"));
    }
    const files = await readKernelFiles(kernelFiles);
    const batches = source(image, {
      files,
      now: () => host.now(),
      tool: { version: host.build.version, build: host.build.build },
      argv,
      progress: (done, total, what) => progress.update(done, total, what),
      deep: args.flags.has("deep"),
      ...(slice === undefined ? {} : { slice: (pieces) => slice.write(pieces) }),
    });
    runChain(clearing(batches, progress), {
      transforms: [selection.transform, classifier.transform],
      openSink: () => output.open(),
      tally,
      live: false,
    });
  } finally {
    progress.clear();
    slice?.close();
    output.close();
    image.close();
    kernelFiles.close();
  }
  if (selection.warning !== undefined) say(host, `warning: ${selection.warning}`);
  say(host, tally.summary());
  return exitCode(args, tally);
}

/** The files of symbols and types, opened while that is still permitted. */
class KernelFileSet implements OpenKernelFiles {
  readonly btf: ImageFile | undefined;
  readonly isf: ImageFile | undefined;
  readonly symbols: SymbolFile | undefined;
  readonly #symbols: Input | undefined;

  /** @throws {UsageError} --isf says the same as the others. */
  constructor({ flags }: CommandArgs, host: Host) {
    const [btf, symbols, isf] = ["btf", "symbols", "isf"].map((flag) => flags.get(flag));
    const other = btf === undefined ? symbols && "--symbols" : "--btf";
    if (isf !== undefined && other !== undefined) {
      throw new UsageError(`Flag "--isf" cannot go with "${other}": it stands for both`);
    }
    this.btf = btf === undefined ? undefined : host.openImage(btf);
    this.isf = isf === undefined ? undefined : host.openImage(isf);
    if (symbols === undefined) return;
    // /proc/kallsyms cannot be mapped, and has no size.
    const input = this.#symbols = host.openInput(symbols);
    this.symbols = { name: symbols, read: (buffer) => input.read(buffer) };
  }

  close(): void {
    this.btf?.close();
    this.isf?.close();
    this.#symbols?.close();
  }
}

/** The file that `--slice` names, which is made once there is something to write. */
class SliceFile {
  readonly #path: string;
  readonly #host: Host;
  #file: OutputFile | undefined;

  /** @throws {FileError} It exists: known now rather than after the scan. */
  constructor(path: string, host: Host) {
    this.#path = path;
    this.#host = host;
    if (host.exists(path)) throw new FileError("create", path, "file exists");
  }

  create(): void {
    this.#file ??= this.#host.createFile(this.#path, { append: false });
  }

  write(pieces: Iterable<Uint8Array>): void {
    this.create();
    for (const piece of pieces) this.#file!.write(piece);
  }

  close(): void {
    this.#file?.close();
  }
}

/** The batches, with the progress line taken away before each. */
function* clearing<T>(batches: Iterable<T>, progress: Progress): Generator<T> {
  for (const batch of batches) {
    progress.clear();
    yield batch;
  }
  progress.clear();
}
