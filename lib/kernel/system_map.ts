import { KernelFileError } from "./kernel_file_error.ts";
import type { LinkedSymbols } from "./symbols.ts";

/** A kernel has 50,000 to 300,000 symbols; far more is no kernel's. */
const MAX_SYMBOLS = 4_000_000;

/** `ffffffff81000000 T _stext`, and in /proc/kallsyms the module in brackets. */
const LINE = /([0-9a-f]{1,16}) [a-z?] ([^\s]+)(?:[ \t]+(\[[^\]\s]+\]))?[ \t]*\r?(?:\n|$)/iy;

/** A symbol's name has 512 bytes at most (`KSYM_NAME_LEN`), so a line has far fewer. */
const CHUNK = 64 * 1024;

/** A file that is read front to back, as `/proc/kallsyms` has to be. */
export interface SymbolFile {
  readonly name: string;
  /** Fills the front of `buffer`; the number of bytes read, or null at the end. */
  read(buffer: Uint8Array): Promise<number | null>;
}

/**
 * Symbols of a `System.map`, or of `/proc/kallsyms` as it was on the host (`kernel/kallsyms.c`,
 * `s_show()`). Those of modules are left out. Nothing is read behind a line that is no symbol.
 *
 * @throws {KernelFileError} when a line is no symbol, or there are too many.
 */
export async function readSystemMap(file: SymbolFile): Promise<LinkedSymbols> {
  const { name } = file;
  const symbols = new Map<string, bigint[]>();
  let count = 0;
  let isAllZero = true;
  let line = 1;
  for await (const text of wholeLines(file)) {
    LINE.lastIndex = 0;
    for (; LINE.lastIndex < text.length; line++) {
      const match = LINE.exec(text);
      if (match === null) throw new KernelFileError(name, `line ${line} is no symbol`);
      if (line > MAX_SYMBOLS) {
        throw new KernelFileError(name, `it has more than ${MAX_SYMBOLS} symbols`);
      }
      const [, digits, symbol, module] = match;
      if (module !== undefined) continue;
      const address = BigInt(`0x${digits}`);
      if (address !== 0n) isAllZero = false;
      const known = symbols.get(symbol!);
      if (known === undefined) symbols.set(symbol!, [address]);
      else known.push(address);
      count++;
    }
  }
  if (count === 0) throw new KernelFileError(name, "it has no symbols");
  if (isAllZero) {
    throw new KernelFileError(name, "all its addresses are 0: only root can read /proc/kallsyms");
  }
  return { count, addressesOf: (symbol) => symbols.get(symbol) ?? [] };
}

/** The text in pieces that end where a line does, or where nothing that long is a line. */
async function* wholeLines(file: SymbolFile): AsyncGenerator<string> {
  const decoder = new TextDecoder("latin1");
  const buffer = new Uint8Array(CHUNK);
  for (let held = 0;;) {
    const read = await file.read(buffer.subarray(held));
    if (read === null) {
      yield decoder.decode(buffer.subarray(0, held));
      return;
    }
    held += read;
    const lines = buffer.subarray(0, held).lastIndexOf(NEWLINE) + 1;
    if (lines === 0 && held < CHUNK) continue;
    const end = lines || held;
    yield decoder.decode(buffer.subarray(0, end));
    buffer.copyWithin(0, end, held);
    held -= end;
  }
}

const NEWLINE = 10;
