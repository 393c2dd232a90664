import {
  BrokenPipe,
  type Digest,
  type DroppedPrivileges,
  FileError,
  type Host,
  type Input,
  type Output,
  type OutputFile,
} from "../../lib/cli/host.ts";
import {
  type CaptureDevice,
  type StopSignal,
  UnsupportedHostError,
} from "../../lib/capture/capture_device.ts";
import { type LineSplitter, PLAIN_SPLITTER } from "../../lib/chain/line_splitter.ts";
import type { ImageFile } from "../../lib/memory/image_file.ts";
import { BufferImage } from "../memory/buffer_image.ts";

/** What a {@linkcode FakeHost} starts with. */
export interface FakeHostOptions {
  readonly files?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Whether standard output and error are a terminal. */
  readonly terminal?: boolean;
  /** Resolves when the person presses Ctrl-C. */
  readonly stopped?: Promise<void>;
  /** What giving up root comes to; without it the process is not privileged. */
  readonly drop?: DroppedPrivileges;
  /** What the executable's parts have. */
  readonly digests?: readonly Digest[];
  /** Writes to standard output that succeed before its reader is gone. */
  readonly writes?: number;
}

/** A machine of strings. Its clock goes on 300 ms each time it is read. */
export class FakeHost implements Host {
  readonly files: Map<string, string>;
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly build = { version: "1.2.3", form: "source", build: "abc", deno: "2.9.6", libbpf: "1.1.2" };
  /** The files that there were when root was given up. */
  dropped: string[] | undefined;
  out = "";
  err = "";
  #options: FakeHostOptions;
  #now = 0;

  constructor(options: FakeHostOptions = {}) {
    this.#options = options;
    this.files = new Map(Object.entries(options.files ?? {}));
    this.stdin = input(options.stdin ?? "");
    const terminal = { isTerminal: options.terminal ?? false, columns: 80 };
    let writes = 0;
    this.stdout = {
      ...terminal,
      write: (bytes) => {
        if (++writes > (options.writes ?? Infinity)) throw new BrokenPipe();
        this.out += new TextDecoder().decode(bytes);
      },
    };
    this.stderr = {
      ...terminal,
      write: (bytes) => this.err += new TextDecoder().decode(bytes),
    };
  }

  env(name: string): string | undefined {
    return this.#options.env?.[name];
  }

  openImage(path: string): ImageFile {
    const bytes = new TextEncoder().encode(this.#content("open", path));
    return new BufferImage(bytes, path);
  }

  openCapture(): CaptureDevice {
    throw new UnsupportedHostError("Cannot capture: this machine is made of strings");
  }

  tryBpf(): number {
    return 0;
  }

  get stopSignal(): StopSignal {
    return () => 0;
  }

  endIn(): void {}

  get isPrivileged(): boolean {
    return this.#options.drop !== undefined;
  }

  dropPrivileges(): DroppedPrivileges {
    this.dropped = [...this.files.keys()];
    return this.#options.drop!;
  }

  verify(): Promise<Digest[]> {
    return Promise.resolve([...this.#options.digests ?? []]);
  }

  notices(): Uint8Array {
    return new Uint8Array();
  }

  openSplitter(): LineSplitter {
    return PLAIN_SPLITTER;
  }

  openInput(path: string): Input {
    return input(this.#content("open", path));
  }

  readFile(path: string, limit: number): Uint8Array {
    const content = this.#content("open", path);
    if (content.length > limit) throw new FileError("read", path, `larger than ${limit} bytes`);
    return new TextEncoder().encode(content);
  }

  createFile(path: string, { append }: { append: boolean }): OutputFile {
    if (!append && this.files.has(path)) throw new FileError("create", path, "file exists");
    this.files.set(path, this.files.get(path) ?? "");
    return {
      isTerminal: false,
      columns: 80,
      write: (bytes) => {
        this.files.set(path, this.files.get(path) + new TextDecoder().decode(bytes));
      },
      close() {},
    };
  }

  exists(path: string): boolean {
    return this.files.has(path);
  }

  untilStopped(): Promise<void> {
    return this.#options.stopped ?? new Promise(() => {});
  }

  now(): number {
    return this.#now += 300;
  }

  #content(action: string, path: string): string {
    const content = this.files.get(path);
    if (content === undefined) throw new FileError(action, path, "no such file");
    return content;
  }
}

function input(text: string): Input {
  let rest = new TextEncoder().encode(text);
  return {
    isTerminal: false,
    read(buffer) {
      if (rest.length === 0) return Promise.resolve(null);
      const part = rest.subarray(0, buffer.length);
      buffer.set(part);
      rest = rest.subarray(part.length);
      return Promise.resolve(part.length);
    },
    close() {},
  };
}
