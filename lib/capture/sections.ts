import type { Wire } from "./wire.ts";

/** Bytes that come behind a record's fixed part. */
export class Section {
  readonly kind: number;
  readonly extra: number;
  /** Of the batch. */
  readonly view: DataView;
  /** Where the bytes begin in it. */
  readonly at: number;
  readonly length: number;

  constructor(kind: number, extra: number, place: { view: DataView; at: number; length: number }) {
    this.kind = kind;
    this.extra = extra;
    this.view = place.view;
    this.at = place.at;
    this.length = place.length;
  }

  /** The bytes, as a view of the batch: copy what outlives it. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.view.buffer, this.view.byteOffset + this.at, this.length);
  }
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
      const kind = view.getUint16(at + this.#kind, true);
      const extra = view.getUint32(at + this.#extra, true);
      sections.push(new Section(kind, extra, { view, at: from, length }));
      at = from + ((length + 7) & ~7);
    }
    return sections;
  }
}
