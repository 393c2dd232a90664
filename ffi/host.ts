import {
  BrokenPipe,
  type BuildInfo,
  type Digest,
  type DroppedPrivileges,
  FileError,
  type Host,
  type Input,
  type Output,
  type OutputFile,
  StalledReader,
} from "../lib/cli/host.ts";
import type { CaptureDevice, CaptureOptions, StopSignal } from "../lib/capture/capture_device.ts";
import type { LineSplitter } from "../lib/chain/line_splitter.ts";
import type { ImageFile } from "../lib/memory/image_file.ts";
import { loadCaptureLibrary, openCapture } from "./capture.ts";
import { errorCode, stateOf } from "./error_state.ts";
import type { LibraryPaths } from "./libraries.ts";
import { NativeSplitter } from "./lines.ts";
import { loadMemoryLibrary, MappedImage, type MemoryLibrary, UnmappableError } from "./memory.ts";
import { dropPrivileges, loadPrivilegesLibrary, type PrivilegesLibrary } from "./privileges.ts";
import { Signals } from "./signals.ts";
import { UnmappedImage } from "./unmapped_image.ts";
import { verifyExecutable } from "./verify.ts";

/** What the host is told about this process. */
export interface HostOptions {
  readonly build: BuildInfo;
  /** Where the native libraries are; each is loaded when it is first needed. */
  readonly libraries: LibraryPaths;
}

/** The machine, through Deno and the shims. */
export class DenoHost implements Host {
  readonly stdin: Input = isRegular("/proc/self/fd/0")
    ? new FileInput(Deno.stdin, "standard input")
    : new StreamInput(Deno.stdin, "standard input");
  readonly stdout: Output;
  readonly stderr: Output;
  readonly build: BuildInfo;
  #libraries: LibraryPaths;
  #memory: MemoryLibrary | undefined;
  #privileges: PrivilegesLibrary | undefined;
  #signals: Signals | undefined;

  constructor(options: HostOptions) {
    this.build = options.build;
    this.#libraries = options.libraries;
    this.stdout = this.#standardOutput(Deno.stdout, { fd: 1, name: "standard output" });
    this.stderr = this.#standardOutput(Deno.stderr, { fd: 2, name: "standard error" });
  }

  #standardOutput(
    stream: typeof Deno.stdout,
    { fd, name }: { fd: number; name: string },
  ): StreamOutput {
    const interruptible = {
      isTerminal: () => stream.isTerminal(),
      close: () => stream.close(),
      writeSync: (bytes: Uint8Array) => this.#signals?.write(fd, bytes) ?? stream.writeSync(bytes),
    };
    return new StreamOutput(interruptible, name, this.#isEnding);
  }

  env(name: string): string | undefined {
    return Deno.env.get(name);
  }

  openImage(path: string): ImageFile {
    this.#memory ??= loadMemoryLibrary(this.#libraries.memory);
    try {
      return new MappedImage(this.#memory, path);
    } catch (error) {
      if (error instanceof UnmappableError) return new UnmappedImage(path);
      throw error;
    }
  }

  openCapture(options: CaptureOptions): CaptureDevice {
    return openCapture(loadCaptureLibrary(this.#libraries), options);
  }

  tryBpf(): number {
    return loadCaptureLibrary(this.#libraries).symbols.iouring_capture_try();
  }

  get stopSignal(): StopSignal {
    // The runtime has a thread that ends the process at a signal that nobody listens to. When it
    // starts that thread is its own affair, so somebody listens.
    const signals = this.#signals ??= this.#takeSignals(() => {});
    return () => signals.stop;
  }

  endIn(seconds: number): void {
    this.#signals?.endIn(seconds);
  }

  #isEnding = (): boolean => this.#signals?.ending ?? false;

  get isPrivileged(): boolean {
    this.#privileges ??= loadPrivilegesLibrary(this.#libraries.privileges);
    return this.#privileges.iouring_is_privileged() !== 0;
  }

  dropPrivileges(): DroppedPrivileges {
    this.#privileges ??= loadPrivilegesLibrary(this.#libraries.privileges);
    return dropPrivileges(this.#privileges, Deno.pid);
  }

  verify(): Promise<Digest[]> {
    return verifyExecutable(this.build.form);
  }

  notices(): Uint8Array {
    return Deno.readFileSync(this.#libraries.notices);
  }

  openSplitter(): LineSplitter {
    return new NativeSplitter(this.#libraries.lines);
  }

  openInput(path: string): Input {
    const file = openForReading(path);
    return file.statSync().isFile ? new FileInput(file, path) : new StreamInput(file, path);
  }

  readFile(path: string, limit: number): Uint8Array {
    const input = new StreamInput(openForReading(path), path);
    try {
      // One byte over the limit, to tell a file that just fits from one that is larger.
      let buffer = new Uint8Array(Math.min(limit + 1, 64 * 1024));
      let length = 0;
      for (;;) {
        const count = input.readSync(buffer.subarray(length));
        if (count === null) return buffer.subarray(0, length);
        length += count;
        if (length > limit) {
          throw new FileError("read", path, `larger than ${limit} bytes`);
        }
        if (length === buffer.length) {
          const larger = new Uint8Array(Math.min(limit + 1, buffer.length * 2));
          larger.set(buffer);
          buffer = larger;
        }
      }
    } finally {
      input.close();
    }
  }

  createFile(path: string, options: { append: boolean }): OutputFile {
    const file = attempt("create", path, () =>
      Deno.openSync(
        path,
        options.append ? { append: true, create: true } : { write: true, createNew: true },
      ));
    const output = new FileOutput(file, path, this.#isEnding);
    // A file that was cut within a line is added to after that line.
    if (options.append && isCut(path)) output.write(Uint8Array.of(NEWLINE));
    return output;
  }

  exists(path: string): boolean {
    try {
      Deno.lstatSync(path);
      return true;
    } catch {
      return false;
    }
  }

  now(): number {
    return Date.now();
  }

  untilStopped(): Promise<void> {
    return new Promise((resolve) => {
      this.#signals ??= this.#takeSignals(resolve);
    });
  }

  /** From here on the first signal calls `stop` and lets the program end itself, the second ends it. */
  #takeSignals(stop: () => void): Signals {
    const takesHangup = !isHangupIgnored();
    for (const signal of STOP_SIGNALS) Deno.addSignalListener(signal, stop);
    if (takesHangup) Deno.addSignalListener("SIGHUP", stop);
    else Deno.addSignalListener("SIGHUP", () => {});
    return new Signals(this.#libraries.signals, { takesHangup });
  }
}

/** The part of `Deno.FsFile` that `Deno.stdin` and its siblings share. */
interface Stream {
  isTerminal(): boolean;
  close(): void;
}

interface InputStream extends Stream {
  read(buffer: Uint8Array): Promise<number | null>;
  readSync(buffer: Uint8Array): number | null;
}

class StreamInput implements Input {
  #stream: InputStream;
  #name: string;

  constructor(stream: InputStream, name: string) {
    this.#stream = stream;
    this.#name = name;
  }

  get isTerminal(): boolean {
    return this.#stream.isTerminal();
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      try {
        return await this.#stream.read(buffer);
      } catch (error) {
        waitOrThrow(error, "read", this.#name);
      }
    }
  }

  readSync(buffer: Uint8Array): number | null {
    return attempt("read", this.#name, () => this.#stream.readSync(buffer));
  }

  close(): void {
    this.#stream.close();
  }
}

/**
 * A regular file, whose reads do not wait for anybody: to have them done by another thread takes
 * longer than they do. Now and then one is, so that signals and timers have their turn.
 */
class FileInput extends StreamInput {
  #turn = 0;

  override async read(buffer: Uint8Array): Promise<number | null> {
    const now = performance.now();
    if (now - this.#turn < TURN_MS) return this.readSync(buffer);
    this.#turn = now;
    return await super.read(buffer);
  }
}

class StreamOutput implements OutputFile {
  #stream: Stream & { writeSync(bytes: Uint8Array): number };
  #name: string;
  #isEnding: () => boolean;
  #isStalled = false;

  /** @param isEnding Whether the program is to end, whatever a reader does. */
  constructor(
    stream: Stream & { writeSync(bytes: Uint8Array): number },
    name: string,
    isEnding: () => boolean,
  ) {
    this.#stream = stream;
    this.#name = name;
    this.#isEnding = isEnding;
  }

  get isTerminal(): boolean {
    return this.#stream.isTerminal();
  }

  get columns(): number {
    try {
      return Deno.consoleSize().columns || DEFAULT_COLUMNS;
    } catch {
      return DEFAULT_COLUMNS;
    }
  }

  write(bytes: Uint8Array): void {
    let since: number | undefined;
    for (let rest = bytes; rest.length > 0;) {
      if (this.#isStalled) throw new StalledReader(this.#name);
      try {
        rest = rest.subarray(this.#stream.writeSync(rest));
        since = undefined;
      } catch (error) {
        waitOrThrow(error, "write", this.#name);
        if (!this.#isEnding()) continue;
        since ??= performance.now();
        this.#isStalled = performance.now() - since >= STALL_MS;
      }
    }
  }

  close(): void {
    attempt("write", this.#name, () => this.#stream.close());
  }
}

/** Whether a file ends within a line. */
function isCut(path: string): boolean {
  const file = attempt("open", path, () => Deno.openSync(path));
  try {
    const { isFile, size } = file.statSync();
    if (!isFile || size === 0) return false;
    file.seekSync(-1, Deno.SeekMode.End);
    const last = new Uint8Array(1);
    return file.readSync(last) === 1 && last[0] !== NEWLINE;
  } finally {
    file.close();
  }
}

/** A file that holds whole lines, also when the disk is full or a line before it was cut. */
class FileOutput extends StreamOutput {
  #file: Deno.FsFile;
  #path: string;

  constructor(file: Deno.FsFile, path: string, isEnding: () => boolean) {
    super(file, path, isEnding);
    this.#file = file;
    this.#path = path;
  }

  override write(bytes: Uint8Array): void {
    const before = attempt("write", this.#path, () => this.#file.statSync());
    try {
      super.write(bytes);
    } catch (error) {
      this.#cutLine(bytes, before);
      throw error;
    }
  }

  /** Takes away the line of which only the beginning could be written. */
  #cutLine(bytes: Uint8Array, before: Deno.FileInfo): void {
    if (!before.isFile) return;
    const written = this.#file.statSync().size - before.size;
    const whole = bytes.subarray(0, written).lastIndexOf(NEWLINE) + 1;
    if (written > whole) this.#file.truncateSync(before.size + whole);
  }
}

const NEWLINE = 10;
const DEFAULT_COLUMNS = 80;
const STOP_SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** The bit of SIGHUP in what `/proc` says of signals. */
const HANGUP = 1n;
/** How long reads of a file may go on without a turn of signals and timers, in ms. */
const TURN_MS = 20;
/** How long to wait before a stream that would block is tried again, in ms. */
const RETRY_MS = 5;
/** How long a reader may take nothing once the program is to end, in ms. */
const STALL_MS = 5000;

/**
 * Whether a hang-up is ignored, as nohup(1) has it. Once somebody listens to a signal, the runtime
 * takes that one too, and it cannot be told any more.
 */
function isHangupIgnored(): boolean {
  const status = Deno.readTextFileSync("/proc/self/status");
  const ignored = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (ignored & HANGUP) !== 0n;
}

/** Whether there is a regular file at `path`. */
function isRegular(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function openForReading(path: string): Deno.FsFile {
  const file = attempt("open", path, () => Deno.openSync(path));
  if (!attempt("open", path, () => file.statSync()).isDirectory) return file;
  file.close();
  throw new FileError("open", path, "is a directory");
}

/** Runs one operation on a file, and says what failed in the program's own words. */
function attempt<T>(action: string, path: string, operation: () => T): T {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      waitOrThrow(error, action, path);
    }
  }
}

/** Returns when a failed operation is to be tried again; says what failed where it is not. */
function waitOrThrow(error: unknown, action: string, path: string): void {
  const code = errorCode(error);
  if (code === "EINTR") return;
  if (code === "EAGAIN") {
    // Somebody made the pipe non-blocking; wait for its other end.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    return;
  }
  if (code === "EPIPE") throw new BrokenPipe("The reader has gone", { cause: error });
  throw new FileError(action, path, stateOf(error));
}
