import type { Wire } from "./wire.ts";

/** Bytes that come behind a record's fixed part. */
export interface Section {
  readonly kind: number;
  readonly extra: number;
  /** A view into the batch: copy what outlives it. */
  readonly bytes: Uint8Array;
}

/** Reads the sections of a record; a damaged length ends them, and never leaves the record. */
export class SectionReader {
  readonly #headSize: number;
  readonly #kind: number;
  readonly #length: number;
  readonly #extra: number;

  constructor(wire: Wire) {
    this.#headSize = wire.size("section");
    this.#kind = wire.at("section.kind");
    this.#length = wire.at("section.length");
    this.#extra = wire.at("section.extra");
  }

  /** The sections from `start` to `end`. */
  read(view: DataView, start: number, end: number): Section[] {
    const sections: Section[] = [];
    for (let at = start; at + this.#headSize <= end;) {
      const length = view.getUint16(at + this.#length, true);
      const from = at + this.#headSize;
      if (from + length > end) break;
      sections.push({
        kind: view.getUint16(at + this.#kind, true),
        extra: view.getUint32(at + this.#extra, true),
        bytes: new Uint8Array(view.buffer, view.byteOffset + from, length),
      });
      at = from + ((length + 7) & ~7);
    }
    return sections;
  }
}
