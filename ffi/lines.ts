/**
 * Lines of NDJSON, over `lines.c`.
 *
 * @module
 */

import { type LineSplitter, ROW, type SplitLines } from "../lib/chain/line_splitter.ts";

// int32_t iouring_lines_split(const uint8_t *bytes, uint32_t length, uint32_t at,
//   uint8_t *left_out, struct row *rows, uint32_t max_rows,
//   uint8_t *json, uint32_t max_json, struct split *split)
const PARAMETERS = [
  "buffer",
  "u32",
  "u32",
  "buffer",
  "buffer",
  "u32",
  "buffer",
  "u32",
  "buffer",
] as const;

const SYMBOLS = {
  iouring_lines_split: { parameters: PARAMETERS, result: "i32" },
  split_beside: {
    name: "iouring_lines_split",
    parameters: PARAMETERS,
    result: "i32",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** `MAX_PROCESSES` of the shim. */
const MAX_PROCESSES = 1 << 14;
/** Rows of a call: few enough for the processor's cache while their records go through the chain. */
const MAX_ROWS = 512;
/** Room for the array: more than `MAX_LINE` of the shim. */
const MAX_JSON = 2 << 20;
/** Bytes from which on another thread is worth its while. */
const MANY = 128 * 1024;

/** What a call writes to. */
class Found {
  readonly rows = new Int32Array(MAX_ROWS * ROW);
  readonly json = new Uint8Array(MAX_JSON);
  /** `struct split` */
  readonly split = new Uint32Array(6);

  lines(failed: number): SplitLines {
    if (failed !== 0) throw new RangeError("Cannot split lines: the last one has no newline");
    const [next, lines, skipped, rows, json, generation] = this.split as unknown as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return {
      next,
      lines,
      skipped,
      rows: this.rows.subarray(0, rows * ROW),
      json: this.json.subarray(0, json),
      generation,
    };
  }
}

/** The splitter of the one stream that a process reads. */
export class NativeSplitter implements LineSplitter {
  readonly #symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
  readonly #leftOut = new Uint8Array(2 * MAX_PROCESSES);
  /** What the next call writes to, and what the last one did. */
  readonly #found: [Found, Found] = [new Found(), new Found()];

  /** Loads the shim from `path`. */
  constructor(path: string) {
    this.#symbols = Deno.dlopen(path, SYMBOLS).symbols;
  }

  split(bytes: Uint8Array<ArrayBuffer>, at: number): SplitLines | Promise<SplitLines> {
    const [found] = this.#found;
    this.#found.reverse();
    const { rows, json, split } = found;
    const { iouring_lines_split, split_beside } = this.#symbols;
    const args = [
      bytes,
      bytes.length,
      at,
      this.#leftOut,
      rows,
      MAX_ROWS,
      json,
      MAX_JSON,
      split,
    ] as const;
    return bytes.length - at < MANY
      ? found.lines(iouring_lines_split(...args))
      : split_beside(...args).then((failed) => found.lines(failed));
  }

  leaveOut(process: number, generation: number): void {
    this.#leftOut[generation % 2 * MAX_PROCESSES + process] = 1;
  }
}
