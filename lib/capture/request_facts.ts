import type { IOUringEvent } from "../record/records.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import type { ThreadBlock } from "./process_table.ts";

/** What is gathered of one request. */
export class RequestFacts {
  readonly opcode: number;
  readonly bufIndex: number;
  /** All that there is of it is the ring's entry, which its owner can write. */
  readonly entryOnly: boolean;
  flags: number;
  fd: number | undefined;
  info: JsonObject | undefined = undefined;
  result: NonNullable<IOUringEvent["result"]> | undefined = undefined;
  personality: number | undefined = undefined;
  cred: { uid: number; euid: number } | undefined = undefined;
  /** The lists of its process, as long as the request adds nothing to them. */
  missing: string[] | undefined;
  unverified: string[] | undefined;
  readonly #thread: ThreadBlock;

  constructor(
    thread: ThreadBlock,
    request: Pick<RequestFacts, "opcode" | "bufIndex" | "entryOnly" | "flags" | "fd">,
  ) {
    this.#thread = thread;
    this.opcode = request.opcode;
    this.bufIndex = request.bufIndex;
    this.entryOnly = request.entryOnly;
    this.flags = request.flags;
    this.fd = request.fd;
    this.missing = thread.missing;
    this.unverified = thread.unverified;
  }

  /** Notes that a key could not be read. */
  miss(path: string): void {
    if (this.missing === this.#thread.missing) this.missing = [...this.missing ?? []];
    this.missing!.push(path);
  }

  /** Notes that a key is the process's own word. */
  doubt(path: string): void {
    if (this.unverified === this.#thread.unverified) this.unverified = [...this.unverified ?? []];
    this.unverified!.push(path);
  }
}
