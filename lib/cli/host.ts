import type { CaptureDevice, CaptureOptions, StopSignal } from "../capture/capture_device.ts";
import type { LineSplitter } from "../chain/line_splitter.ts";
import type { ImageFile } from "../memory/image_file.ts";

/** A stream of bytes to a person, a pipe or a file. */
export interface Output {
  /**
   * Writes all of `bytes`. Throws {@linkcode BrokenPipe} when the reader has gone, and, once the
   * program is to end, {@linkcode StalledReader} when it takes nothing.
   */
  write(bytes: Uint8Array): void;
  readonly isTerminal: boolean;
  /** Columns of the terminal; 80 where it does not say. */
  readonly columns: number;
}

/** An output file that the program opened itself. */
export interface OutputFile extends Output {
  close(): void;
}

/** A stream of bytes read front to back. */
export interface Input {
  /** Fills the front of `buffer`; the number of bytes read, or null at the end. */
  read(buffer: Uint8Array): Promise<number | null>;
  readonly isTerminal: boolean;
  close(): void;
}

/** How this executable was made. */
export interface BuildInfo {
  /** Version of iouring, `MAJOR.MINOR.PATCH`. */
  readonly version: string;
  /** `launcher`, `compile` or `source`. */
  readonly form: string;
  /** The commit it was built from, or "unknown". */
  readonly build: string;
  /** Version of the Deno runtime inside. */
  readonly deno: string;
  /** Version of libbpf inside, or "unknown". */
  readonly libbpf: string;
}

/** What {@linkcode Host.dropPrivileges} came to. */
export type DroppedPrivileges =
  /** The user that the process is now; it has no capability. */
  | { readonly user: number }
  /** Why it is what it was. */
  | { readonly failed: string };

/** The SHA-256 of one part of the executable, in hex. */
export interface Digest {
  readonly part: string;
  readonly sha256: string;
  /** What the part had when it was built; absent for the whole file, which cannot hold its own. */
  readonly built?: string;
}

/** Everything outside the program. `lib/` reaches the machine through this and nothing else. */
export interface Host {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly build: BuildInfo;
  /** An environment variable, or undefined. */
  env(name: string): string | undefined;
  /** Maps an image file; `-` is standard input, which must be a regular file. Throws {@linkcode FileError}. */
  openImage(path: string): ImageFile;
  /** Starts recording what is submitted to io_uring. Throws {@linkcode UnsupportedHostError}. */
  openCapture(options: CaptureOptions): CaptureDevice;
  /** Tries to load a BPF program that reads the kernel: 0, or a negative errno. */
  tryBpf(): number;
  /** Takes SIGINT, SIGTERM and SIGHUP over, and tells whether one has come: its number, or 0. */
  readonly stopSignal: StopSignal;
  /** The program is to end in so many seconds; only where it has asked for {@linkcode stopSignal}. */
  endIn(seconds: number): void;
  /** Whether this process is root, or has a capability. */
  readonly isPrivileged: boolean;
  /** Gives up root and every capability, in every thread, for good. Open files stay open. */
  dropPrivileges(): DroppedPrivileges;
  /** Reads the executable again and digests it. Throws {@linkcode FileError}. */
  verify(): Promise<Digest[]>;
  /** The licenses of everything in the executable, as UTF-8. */
  notices(): Uint8Array;
  /** What splits the one stream of lines that this process reads. */
  openSplitter(): LineSplitter;
  /** Opens a file for reading front to back. Throws {@linkcode FileError}. */
  openInput(path: string): Input;
  /** Reads a whole file of at most `limit` bytes. Throws {@linkcode FileError}. */
  readFile(path: string, limit: number): Uint8Array;
  /** Creates a file, or appends to one. Without `append` an existing file is refused. Throws {@linkcode FileError}. */
  createFile(path: string, options: { append: boolean }): OutputFile;
  /** Whether there is something at `path`. */
  exists(path: string): boolean;
  /** Wall clock, ms since 1970. */
  now(): number;
  /**
   * Resolves at the first SIGINT, SIGTERM or SIGHUP, which then does not end the process; the second
   * does. It resolves only while something is awaited.
   */
  untilStopped(): Promise<void>;
}

/** The reader of an output has gone; the program ends quietly with 0. */
export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";
}

/** A file that cannot be opened, read or written: the action, the path and the state. */
export class FileError extends Error {
  override readonly name: string = "FileError";
  /** `new FileError("open", "dump.raw", "no such file")` says `Cannot open "dump.raw": no such file`. */
  constructor(action: string, path: string, state: string) {
    super(`Cannot ${action} ${JSON.stringify(path)}: ${state}`);
  }
}

/** The reader of an output takes nothing, and the program is to end: what is left is lost. */
export class StalledReader extends FileError {
  override readonly name = "StalledReader";
  constructor(path: string) {
    super("write", path, "its reader has stopped reading");
  }
}
