import {
  type PhysicalMemory,
  searchSteps,
  storedBytes,
  type TellProgress,
} from "../memory/physical_memory.ts";
import { elfNotes } from "../memory/elf_core.ts";
import { untilNul } from "../uapi/text.ts";

/**
 * What a kernel writes down about itself for crash tools (`kernel/vmcore_info.c`): `KEY=value`
 * lines, and `SYMBOL(x)`, `NUMBER(x)`, `OFFSET(x)`.
 */
export class Vmcoreinfo {
  readonly text: string;
  #values = new Map<string, string>();

  /** Lines without `=` are skipped; the first of equal keys counts. */
  constructor(text: string) {
    this.text = text;
    for (const line of text.split("\n")) {
      const equals = line.indexOf("=");
      if (equals <= 0) continue;
      const key = line.slice(0, equals);
      if (!this.#values.has(key)) this.#values.set(key, line.slice(equals + 1));
    }
  }

  /** A value as it stands, such as `OSRELEASE`. */
  value(key: string): string | undefined {
    return this.#values.get(key);
  }

  /** `SYMBOL(name)`: the address at run time, KASLR included. */
  symbol(name: string): bigint | undefined {
    return parse(this.#values.get(`SYMBOL(${name})`), 16);
  }

  /** `NUMBER(name)`: signed decimal, or hex with `0x`. */
  number(name: string): bigint | undefined {
    return parse(this.#values.get(`NUMBER(${name})`), 10);
  }
}

function parse(text: string | undefined, base: 10 | 16): bigint | undefined {
  if (text === undefined) return undefined;
  const match = /^(-?)(0x)?([0-9a-fA-F]+)$/.exec(text.trim());
  if (match === null) return undefined;
  const hex = base === 16 || match[2] !== undefined;
  if (!hex && /[a-fA-F]/.test(match[3]!)) return undefined;
  const value = BigInt(hex ? `0x${match[3]}` : match[3]!);
  return match[1] === "-" ? -value : value;
}

/** The text that memory begins with, up to the first 0; undefined where there is none. */
export function vmcoreinfoOf(bytes: Uint8Array): Vmcoreinfo | undefined {
  const text = new TextDecoder("latin1").decode(untilNul(bytes));
  return text.startsWith("OSRELEASE=") ? new Vmcoreinfo(text) : undefined;
}

/**
 * Finds the VMCOREINFO texts that lie in memory, each once. Both copies a kernel keeps start on a
 * page: the data itself, and an ELF note of it. There may be several, of earlier kernels too. Memory
 * is searched as far as texts are asked for.
 */
export function* findVmcoreinfo(
  memory: PhysicalMemory,
  progress: TellProgress = () => {},
): Generator<Vmcoreinfo> {
  const found = new Set<string>();
  const total = storedBytes(memory);
  let done = 0;
  for (const { start, end, held } of searchSteps(memory, FIRST_STEP, LAST_STEP)) {
    const within = { start, end, limit: MOST - found.size };
    const [texts = [], notes = []] = memory.search(PATTERNS, within);
    const pages = [...texts, ...notes.map((name) => name - NOTE_NAME)];
    for (const page of pages.sort((a, b) => a - b)) {
      const bytes = memory.read(page, PAGE);
      const parts = bytes === undefined ? [] : [bytes, ...elfNotes(bytes).map(({ data }) => data)];
      for (const part of parts) {
        const info = vmcoreinfoOf(part);
        if (info === undefined || found.has(info.text) || found.size >= MOST) continue;
        found.add(info.text);
        yield info;
      }
    }
    done += held;
    progress(done, total, "of memory searched for the kernel");
  }
}

const PAGE = 4096;
/** Anyone can write such a page; the kernel's own must be among the hits. */
const MOST = 4096;
/** Offset of the note's name in its page, after three 32-bit sizes. */
const NOTE_NAME = 12;
const PATTERNS = [
  { bytes: new TextEncoder().encode("OSRELEASE="), align: PAGE },
  { bytes: new TextEncoder().encode("VMCOREINFO\0"), align: PAGE, phase: NOTE_NAME },
];
/** Memory searched at once. */
const FIRST_STEP = 64 * 1024 * 1024;
const LAST_STEP = 2 ** 30;
