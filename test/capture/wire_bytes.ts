/**
 * Wire records made by hand, for tests of what decodes them. The layout is the native side's own,
 * read from bpf/iouring.h by the same means as the program's.
 *
 * @module
 */

import { Wire } from "../../lib/capture/wire.ts";
import { ROOT } from "../paths.ts";

/** The layout text of the built shim; undefined where it is not built. */
export function layoutText(): string | undefined {
  const folder = `${ROOT}.cache/build/`;
  try {
    for (const name of ["libz.so.1", "libelf.so.1", "libbpf.so.1"]) {
      Deno.dlopen(folder + name, {});
    }
    const { symbols } = Deno.dlopen(`${folder}libiouring_capture.so`, {
      iouring_capture_layout: { parameters: ["buffer", "u32"], result: "i32" },
    });
    const text = new Uint8Array(16_384);
    return new TextDecoder().decode(
      text.subarray(0, symbols.iouring_capture_layout(text, text.length)),
    );
  } catch {
    return undefined;
  }
}

/** Values of a record's members by their names in bpf/iouring.h. */
export type Members = Readonly<Record<string, number | bigint | string>>;

/** A section to put behind a record. */
export interface SectionBytes {
  readonly kind: string;
  readonly extra?: number;
  readonly bytes: Uint8Array | string;
}

/** Builds batches. */
export class WireBuilder {
  readonly #wire: Wire;
  #bytes: Uint8Array[] = [];

  constructor(layout: string) {
    this.#wire = new Wire(layout);
  }

  /** Adds a record of a struct: `request_record` with its members, and those of its head. */
  add(
    struct: string,
    head: Members,
    members: Members,
    sections: readonly SectionBytes[] = [],
  ): this {
    const wire = this.#wire;
    const tails = sections.map((section) => this.#section(section));
    const size = wire.size(struct) + tails.reduce((sum, { length }) => sum + length, 0);
    const bytes = new Uint8Array(size);
    const put = (name: string, value: number | bigint | string) => {
      const at = wire.at(name);
      if (typeof value === "string") {
        bytes.set(new TextEncoder().encode(value), at);
        return;
      }
      let rest = BigInt.asUintN(64, BigInt(value));
      for (let i = 0; i < wire.size(name); i++, rest >>= 8n) bytes[at + i] = Number(rest & 0xffn);
    };
    for (const [name, value] of Object.entries({ size, ...head })) put(`record.${name}`, value);
    for (const [name, value] of Object.entries(members)) put(`${struct}.${name}`, value);
    let at = wire.size(struct);
    for (const tail of tails) {
      bytes.set(tail, at);
      at += tail.length;
    }
    this.#bytes.push(bytes);
    return this;
  }

  /** A constant of the layout. */
  value(name: string): number {
    return this.#wire.at(name);
  }

  /** The batch, each record at a multiple of 8. */
  batch(): Uint8Array {
    const length = this.#bytes.reduce((sum, bytes) => sum + (bytes.length + 7 & ~7), 0);
    const batch = new Uint8Array(length);
    let at = 0;
    for (const bytes of this.#bytes) {
      batch.set(bytes, at);
      at += bytes.length + 7 & ~7;
    }
    this.#bytes = [];
    return batch;
  }

  #section({ kind, extra = 0, bytes }: SectionBytes): Uint8Array {
    const content = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    const section = new Uint8Array(8 + (content.length + 7 & ~7));
    const view = new DataView(section.buffer);
    view.setUint16(0, this.#wire.at(`SECTION_${kind}`), true);
    view.setUint16(2, content.length, true);
    view.setUint32(4, extra, true);
    section.set(content, 8);
    return section;
  }
}

const SECOND = 1_000_000_000n;
/** What names the process of addProcess(). */
const PROCESS = 0x1122334455667788n;

/** Adds the description of a process. */
export function addProcess(wire: WireBuilder, members: Members = {}): WireBuilder {
  const valid = ["START", "CRED", "AUID", "PPID", "SECURE"]
    .reduce((bits, name) => bits | wire.value(`VALID_${name}`), 0);
  return wire.add("process_record", {
    kind: wire.value("RECORD_PROCESS"),
    process: PROCESS,
  }, {
    start: 5n * SECOND,
    exec_count: 3,
    pid: 100,
    ppid: 50,
    uid: 1000,
    euid: 0,
    auid: 1000,
    comm: "agent",
    valid,
    ...members,
  }, [
    { kind: "EXE", bytes: "agent\0bin\0usr\0" },
    { kind: "ARGS", bytes: "agent\0-x\0two words\0" },
    { kind: "CGROUP", bytes: `${"a1".repeat(32)}\0docker\0` },
    { kind: "CWD", bytes: "" },
  ]);
}

/** Adds a request of that process. */
export function addRequest(
  wire: WireBuilder,
  head: Members = {},
  members: Members = {},
  sections: SectionBytes[] = [],
): WireBuilder {
  return wire.add("request_record", {
    kind: wire.value("RECORD_REQUEST"),
    opcode: 0,
    cpu: 1,
    time: 10n * SECOND,
    process: PROCESS,
    ring: 0xffff888100c4a000n,
    ...head,
  }, {
    user_data: 0xdeadn,
    request: 0xffff888100001000n,
    seq: 1,
    tid: 101,
    pid: 100,
    fd: -1,
    ...members,
  }, sections);
}

/** Adds what is said of a ring that the process has. */
export function addRing(wire: WireBuilder, head: Members = {}, members: Members = {}): WireBuilder {
  return wire.add("ring_record", {
    kind: wire.value("RECORD_RING"),
    time: 10n * SECOND,
    process: PROCESS,
    ring: 0xffff888100c4a000n,
    ...head,
  }, { pid: 100, tid: 101, sq_entries: 8, cq_entries: 16, ...members });
}
