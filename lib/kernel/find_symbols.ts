import type { AddressSpace } from "./address_space.ts";
import { findAnchors, possibleSlides, readBanner, whyNotItsBanner } from "./check_kernel.ts";
import { findKallsyms } from "./find_kallsyms.ts";
import { Kallsyms, KallsymsError, type KallsymsTables } from "./kallsyms.ts";
import type { GivenSymbols } from "./kernel_files.ts";
import { MemoryFault } from "./memory_fault.ts";
import { Rank, Refusal } from "./refusal.ts";
import { isInImage, type KernelSymbols, SlidSymbols } from "./symbols.ts";
import type { Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where symbols come from: the kernel's own tables, found in one way or the other, or a file. */
export type SymbolSource = "vmcoreinfo" | "search" | GivenSymbols["source"];

/** Symbols that may be the kernel's. */
export interface SymbolTable {
  readonly source: SymbolSource;
  /** @throws {KallsymsError | MemoryFault} when they are not. */
  open(space: AddressSpace): KernelSymbols;
}

/** Symbols that may be the kernel's: of a file, or its own. */
export function* findSymbols(
  space: AddressSpace,
  info: Vmcoreinfo | undefined,
  given: GivenSymbols | undefined,
): Generator<SymbolTable> {
  if (given === undefined) return yield* ownTables(space, info);
  const { file, source, symbols } = given;
  const anchors = findAnchors(space, info);
  const slides = possibleSlides(symbols, anchors);
  for (const slide of slides) yield { source, open: () => new SlidSymbols(symbols, slide) };
  if (slides.size > 0 || anchors.length === 0) return;
  const why = whyNotItsBanner(space, given, anchors) ??
    "_stext and linux_banner are elsewhere in it";
  yield {
    source,
    open() {
      throw new Refusal(Rank.GIVEN_SYMBOLS, why, file);
    },
  };
}

/** The kernel's own tables: where VMCOREINFO says, then wherever they look like themselves. */
function* ownTables(space: AddressSpace, info: Vmcoreinfo | undefined): Generator<SymbolTable> {
  const tableOf = (source: SymbolSource, tables: KallsymsTables): SymbolTable => ({
    source,
    open: (space) =>
      new Kallsyms(space, tables, (symbol, address) => {
        const noted = info?.symbol(symbol);
        if (noted !== undefined) return address === noted;
        if (!isInImage(address) || !space.isMapped(address)) return false;
        return symbol === "linux_banner"
          ? readBanner(space, address) !== undefined
          : (address & 0xfffn) === 0n;
      }),
  });
  const tables = info && tablesOf(info);
  if (tables !== undefined) yield tableOf("vmcoreinfo", tables);
  for (const found of findKallsyms(space)) yield tableOf("search", found);
}

/** The kernel's own symbols, where they can be read. */
export function ownSymbols(
  space: AddressSpace,
  info: Vmcoreinfo | undefined,
): KernelSymbols | undefined {
  for (const table of ownTables(space, info)) {
    try {
      return table.open(space);
    } catch (error) {
      if (!(error instanceof KallsymsError || error instanceof MemoryFault)) throw error;
    }
  }
  return undefined;
}

function tablesOf(info: Vmcoreinfo): KallsymsTables | undefined {
  const numSyms = info.symbol("kallsyms_num_syms");
  const names = info.symbol("kallsyms_names");
  const tokenTable = info.symbol("kallsyms_token_table");
  const tokenIndex = info.symbol("kallsyms_token_index");
  if (
    numSyms === undefined || names === undefined || tokenTable === undefined ||
    tokenIndex === undefined
  ) return undefined;
  return {
    numSyms,
    names,
    tokenTable,
    tokenIndex,
    offsets: info.symbol("kallsyms_offsets"),
    addresses: info.symbol("kallsyms_addresses"),
    relativeBase: info.symbol("kallsyms_relative_base"),
  };
}
