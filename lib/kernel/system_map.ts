import { KernelFileError } from "./kernel_file_error.ts";
import type { LinkedSymbols } from "./symbols.ts";

/** A kernel has 50,000 to 300,000 symbols; far more is no kernel's. */
const MAX_SYMBOLS = 4_000_000;

/** `ffffffff81000000 T _stext`, and in /proc/kallsyms the module in brackets. */
const LINE = /([0-9a-f]{1,16}) [a-z?] ([^\s]+)(?:[ \t]+(\[[^\]\s]+\]))?[ \t]*\r?(?:\n|$)/iy;

/**
 * Symbols of a `System.map`, or of `/proc/kallsyms` as it was on the host (`kernel/kallsyms.c`,
 * `s_show()`). Those of modules are left out.
 *
 * @throws {KernelFileError} when a line is no symbol.
 */
export function readSystemMap(name: string, bytes: Uint8Array): LinkedSymbols {
  const text = new TextDecoder("latin1").decode(bytes);
  const symbols = new Map<string, bigint[]>();
  let count = 0;
  let isAllZero = true;
  LINE.lastIndex = 0;
  for (let line = 1; LINE.lastIndex < text.length; line++) {
    const match = LINE.exec(text);
    if (match === null) throw new KernelFileError(name, `line ${line} is no symbol`);
    const [, digits, symbol, module] = match;
    if (module !== undefined) continue;
    const address = BigInt(`0x${digits}`);
    if (address !== 0n) isAllZero = false;
    const known = symbols.get(symbol!);
    if (known === undefined) symbols.set(symbol!, [address]);
    else known.push(address);
    if (++count > MAX_SYMBOLS) {
      throw new KernelFileError(name, `it has more than ${MAX_SYMBOLS} symbols`);
    }
  }
  if (count === 0) throw new KernelFileError(name, "it has no symbols");
  if (isAllZero) {
    throw new KernelFileError(name, "all its addresses are 0: only root can read /proc/kallsyms");
  }
  return { count, addressesOf: (symbol) => symbols.get(symbol) ?? [] };
}
