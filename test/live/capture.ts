/**
 * Runs the built program's live capture beside the workload, and reads what both say.
 *
 * @module
 */

import { OPCODES } from "../../lib/uapi/opcodes.ts";
import { type Missing, testWith } from "../command.ts";
import { PROGRAM } from "../paths.ts";
import { buildWorkload } from "./workload.ts";

/** A record, whatever its type. */
// deno-lint-ignore no-explicit-any
export type AnyRecord = any;

/** What the workload said of one request. */
export interface Announced {
  readonly user_data: string;
  readonly opcode: number;
  /** The entry's, where it is said. */
  readonly fd?: number;
  readonly res?: number;
  readonly op_info: object;
  readonly process?: object;
  readonly io_uring?: object;
  readonly sqe_flags?: string[];
}

/** Why a capture cannot run here, or undefined. */
export async function cannotCapture(): Promise<string | undefined> {
  if (Deno.uid() !== 0) return "needs root";
  try {
    await Deno.stat(PROGRAM);
  } catch {
    return "needs dist/iouring";
  }
  const { code, stdout } = await new Deno.Command(PROGRAM, { args: ["capture", "--check"] })
    .output();
  if (code === 0) return undefined;
  const line = new TextDecoder().decode(stdout).split("\n").find((line) => /^missing/.test(line));
  return line ?? `capture --check exits with ${code}`;
}

const NO_CAPTURE = await cannotCapture();

/** A test that needs a live kernel, and what else is `missing`. */
export function live(
  name: string,
  run: (t: Deno.TestContext) => void | Promise<void>,
  missing: readonly Missing[] = [],
): void {
  testWith([NO_CAPTURE, ...missing], name, run);
}

const NOP_EVENT = '"opcode":"IORING_OP_NOP"';
/** Of a flood, only so many are kept. */
const MOST_NOPS = 30_000;
/** A capture is ended where what a test waits for has not come after so long. */
const GUARD_MS = 300_000;

/** A capture that is running. */
export class RunningCapture {
  readonly #process: Deno.ChildProcess;
  readonly #errors: Promise<string>;
  readonly #lines: string[] = [];
  #nops = 0;
  #read: Promise<void> = Promise.resolve();
  #isOver = false;
  #onLine = () => {};

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#errors = new Response(process.stderr).text();
  }

  /** Starts one, and waits for its start record. */
  static async start(...args: string[]): Promise<RunningCapture> {
    const process = new Deno.Command(PROGRAM, {
      args: ["capture", "--format", "ndjson", ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const capture = new RunningCapture(process);
    const started = Promise.withResolvers<void>();
    capture.#onLine = started.resolve;
    capture.#read = capture.#take(process.stdout);
    await started.promise;
    if (capture.#lines.length === 0) {
      throw new Error(`Capture ended at once: ${await capture.#errors}`);
    }
    return capture;
  }

  async #take(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.includes(NOP_EVENT) && ++this.#nops > MOST_NOPS) continue;
        this.#lines.push(line);
      }
      if (this.#lines.length > 0) this.#onLine();
    }
    this.#isOver = true;
    this.#onLine();
  }

  /**
   * Stops it with SIGINT. `nops` are all that came; of them, `records` has the first ones.
   *
   * @throws {Error} It did not end in order.
   */
  async stop(): Promise<{ records: AnyRecord[]; nops: number; code: number; errors: string }> {
    try {
      this.#process.kill("SIGINT");
    } catch {
      // It has stopped by itself.
    }
    const { code } = await this.#process.status;
    await this.#read;
    const records = this.#lines.map((line) => JSON.parse(line));
    const errors = await this.#errors;
    if (records.at(-1)?.phase !== "end") {
      throw new Error(`Capture ended with ${code} and without its end record: ${errors}`);
    }
    return { records, nops: this.#nops, code, errors };
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Waits until a line with this text has come; false where none has when the capture ends. */
  async arrived(text: string): Promise<boolean> {
    const guard = setTimeout(() => this.#process.kill("SIGKILL"), GUARD_MS);
    try {
      for (let seen = 0;;) {
        const isOver = this.#isOver;
        const came = this.#lines.slice(seen);
        if (came.some((line) => line.includes(text))) return true;
        if (isOver) return false;
        seen += came.length;
        const more = Promise.withResolvers<void>();
        this.#onLine = more.resolve;
        await more.promise;
      }
    } finally {
      clearTimeout(guard);
    }
  }
}

/** A workload that goes on until it is told to end. */
export class HoldingWorkload {
  readonly #process: Deno.ChildProcess;
  /** Its first line. */
  readonly said: AnyRecord;

  private constructor(process: Deno.ChildProcess, said: AnyRecord) {
    this.#process = process;
    this.said = said;
  }

  /** Starts it, and waits for the line that says that all is in place. */
  static async start(...args: string[]): Promise<HoldingWorkload> {
    const process = new Deno.Command(await buildWorkload(), {
      args,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of process.stdout) {
      text += decoder.decode(chunk, { stream: true });
      if (/"holding".*\n/.test(text)) break;
    }
    const line = text.trim().split("\n").at(-1)!;
    return new HoldingWorkload(process, JSON.parse(line));
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.#process.stdin.close();
    await this.#process.status;
  }
}

/** What a workload said. */
interface Said {
  /** Requests that it told of. */
  readonly announced: Announced[];
  /** Its other lines. */
  readonly other: AnyRecord[];
}

/**
 * A workload that has its pid already, and starts when it is told to: a capture can be asked for this
 * process alone, whatever else on the host uses io_uring.
 */
export class Workload {
  readonly #process: Deno.ChildProcess;
  readonly #name: string;

  private constructor(process: Deno.ChildProcess, name: string) {
    this.#process = process;
    this.#name = name;
  }

  /** Makes the process. */
  static async prepare(...args: string[]): Promise<Workload> {
    const process = new Deno.Command("sh", {
      args: ["-c", 'read go && exec "$0" "$@"', await buildWorkload(), ...args],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    return new Workload(process, args.join(" "));
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Lets it go. */
  async start(): Promise<void> {
    const writer = this.#process.stdin.getWriter();
    await writer.write(new TextEncoder().encode("go\n"));
    await writer.close();
  }

  /** Lets it go, and waits for its end. */
  async run(): Promise<Said> {
    await this.start();
    const { success, stdout } = await this.#process.output();
    if (!success) throw new Error(`Workload ${this.#name} failed`);
    const lines = new TextDecoder().decode(stdout).trim().split("\n")
      .map((line) => JSON.parse(line));
    return {
      announced: lines.filter(({ user_data }) => user_data !== undefined),
      other: lines.filter(({ user_data }) => user_data === undefined),
    };
  }

  /** Ends one that does not end by itself. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.output();
  }
}

/** Captures one run of the workload; `hostWide` what all others do too. */
export async function captureWorkload(
  options: { capture?: string[]; workload: string[]; hostWide?: boolean },
): Promise<
  & {
    records: AnyRecord[];
    /** Those of the workload and its children. */
    events: AnyRecord[];
    end: AnyRecord;
    nops: number;
  }
  & Said
> {
  const workload = await Workload.prepare(...options.workload);
  const { pid } = workload;
  const capture = await RunningCapture.start(
    ...options.hostWide === true ? [] : ["-p", String(pid)],
    ...options.capture ?? [],
  );
  const said = await workload.run();
  const { records, nops } = await capture.stop();
  const events = eventsOf(records, ({ process }) => process.pid === pid || process.ppid === pid);
  return { records, events, ...said, end: records.at(-1), nops };
}

/** Events that fulfil a condition. */
export function eventsOf(
  records: readonly AnyRecord[],
  condition: (event: AnyRecord) => boolean,
): AnyRecord[] {
  return records.filter((record) => record.type === "IOUringEvent" && condition(record));
}

/** What is wrong with the events of announced requests: each is there once, and says what it must. */
export function differences(
  announced: readonly Announced[],
  events: readonly AnyRecord[],
): string[] {
  const byUserData = Map.groupBy(events, ({ io_uring }) => io_uring.user_data as string);
  const wrong: string[] = [];
  for (const request of announced) {
    const found = byUserData.get(request.user_data) ?? [];
    const [event] = found;
    if (found.length !== 1 || event === undefined) {
      wrong.push(`${JSON.stringify(request)} came ${found.length} times`);
      continue;
    }
    const { opcode, fd, op_info, process = {}, io_uring = {}, res, sqe_flags } = request;
    const told = event.io_uring.fd;
    const isTold = told !== undefined || OPCODES[opcode]?.worksOnFile === true;
    const fits = (fd === undefined || !isTold || told === fd) &&
      event.io_uring.opcode_number === opcode && holds(op_info, event.op_info ?? {}) &&
      holds(process, event.process) && holds(io_uring, event.io_uring) &&
      (res === undefined || event.result?.res === res) &&
      (sqe_flags === undefined || holds(sqe_flags, event.io_uring.sqe_flags));
    if (!fits) wrong.push(`${JSON.stringify(request)} came as ${JSON.stringify(event)}`);
  }
  return wrong;
}

/** Whether `value` has all that `wanted` has. */
function holds(wanted: unknown, value: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return wanted === value;
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(wanted).every(([key, item]) =>
    holds(item, (value as Record<string, unknown>)[key])
  );
}
