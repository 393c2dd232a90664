import { JsonSink, NdjsonSink, type Sink } from "../chain/sink.ts";
import { TableSink } from "../chain/table_sink.ts";
import { FileError, type Host, type OutputFile } from "./host.ts";
import type { CommandArgs } from "./parse.ts";
import { say } from "./say.ts";
import { UsageError } from "./usage_error.ts";

/** Where and how a command writes its records, by `--format`, `-o`, `--append` and `--color`. */
export class RecordOutput {
  readonly #host: Host;
  readonly #path: string | undefined;
  readonly #append: boolean;
  readonly format: string;
  readonly #color: boolean;
  readonly #detail: boolean;
  #file: OutputFile | undefined;
  #isUsed = false;

  /**
   * @throws {UsageError} Flags that do not go together.
   * @throws {FileError} The file exists already.
   */
  constructor({ flags }: CommandArgs, host: Host) {
    this.#host = host;
    this.#path = flags.get("output");
    this.#append = flags.has("append");
    const toTerminal = this.#path === undefined && host.stdout.isTerminal;
    this.format = flags.get("format") ?? (toTerminal ? "table" : "ndjson");
    const color = flags.get("color") ?? "auto";
    this.#color = color === "always" ||
      color === "auto" && toTerminal && !host.env("NO_COLOR") && host.env("TERM") !== "dumb";
    this.#detail = flags.has("detail");
    if (this.#detail && this.format !== "table") {
      throw new UsageError('Flag "--detail" needs --format table');
    }
    if (this.#append && this.#path === undefined) {
      throw new UsageError('Flag "--append" needs -o FILE');
    }
    if (this.#append && this.format === "json") {
      throw new UsageError("Cannot append to a JSON array, use --format ndjson");
    }
    if (this.#path !== undefined && !this.#append && host.exists(this.#path)) {
      throw new FileError("create", this.#path, "file exists");
    }
  }

  /**
   * Makes the file of `-o` before there is something to write, for a command that may not be
   * allowed to later.
   *
   * @throws {FileError} The file exists, or cannot be made.
   */
  create(): void {
    if (this.#path === undefined || this.#file !== undefined) return;
    this.#file = this.#host.createFile(this.#path, { append: this.#append });
  }

  /**
   * Opens the output.
   *
   * @throws {FileError} The file exists, or cannot be made.
   */
  open(): Sink {
    this.create();
    this.#isUsed = true;
    const output = this.#file ?? this.#host.stdout;
    const write = (bytes: Uint8Array) => output.write(bytes);
    switch (this.format) {
      case "json":
        return new JsonSink(write);
      case "table":
        return new TableSink(write, {
          columns: output.isTerminal ? output.columns : undefined,
          color: this.#color,
          detail: this.#detail,
          warn: (line) => say(this.#host, line),
        });
      default:
        return new NdjsonSink(write);
    }
  }

  close(): void {
    this.#file?.close();
    if (this.#file === undefined || this.#isUsed || this.#append) return;
    const name = JSON.stringify(this.#path);
    say(this.#host, `note: ${name} was created before root was given up, and stays empty`);
  }
}
