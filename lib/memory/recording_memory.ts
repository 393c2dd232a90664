import type { SearchOptions, SearchPattern } from "./image_file.ts";
import type { AddressRange, PhysicalMemory } from "./physical_memory.ts";

const PAGE_SIZE = 4096;

/** Physical memory that notes which pages values are read from; searches leave no note. */
export class RecordingMemory implements PhysicalMemory {
  readonly format: string;
  readonly ranges: readonly AddressRange[];
  readonly stored: readonly AddressRange[];
  #inner: PhysicalMemory;
  /** Numbers of pages read. */
  #pages = new Set<number>();

  constructor(inner: PhysicalMemory) {
    this.#inner = inner;
    this.format = inner.format;
    this.ranges = inner.ranges;
    this.stored = inner.stored ?? inner.ranges;
  }

  get held(): number | undefined {
    return this.#inner.held;
  }

  read(address: number, length: number): Uint8Array | undefined {
    const bytes = this.#inner.read(address, length);
    if (bytes !== undefined) {
      const last = Math.floor((address + length - 1) / PAGE_SIZE);
      for (let page = Math.floor(address / PAGE_SIZE); page <= last; page++) this.#pages.add(page);
    }
    return bytes;
  }

  search(patterns: readonly SearchPattern[], options?: SearchOptions): number[][] {
    return this.#inner.search(patterns, options);
  }

  /** What was read, in runs of whole pages, ascending. Addresses and lengths are bytes. */
  recorded(): { start: number; length: number }[] {
    const runs: { start: number; length: number }[] = [];
    for (const page of [...this.#pages].sort((a, b) => a - b)) {
      const start = page * PAGE_SIZE;
      const last = runs.at(-1);
      if (last !== undefined && last.start + last.length === start) last.length += PAGE_SIZE;
      else runs.push({ start, length: PAGE_SIZE });
    }
    return runs;
  }
}
