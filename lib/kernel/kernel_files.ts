import { isElf } from "../memory/elf_core.ts";
import type { ByteReader } from "../memory/image_file.ts";
import { Btf } from "./btf.ts";
import { BtfError } from "./btf_format.ts";
import { readIsf } from "./isf.ts";
import { KernelFileError } from "./kernel_file_error.ts";
import type { LinkedSymbols } from "./symbols.ts";
import { readSystemMap, type SymbolFile } from "./system_map.ts";
import type { KernelTypes } from "./types.ts";
import { unpack } from "./unpack.ts";
import { readVmlinux } from "./vmlinux.ts";

/** Symbols from a file. */
export interface GivenSymbols {
  readonly file: string;
  readonly source: "system_map" | "isf";
  readonly symbols: LinkedSymbols;
  /** The kernel's banner as the file has it. */
  readonly banner: string | undefined;
}

/** Types from a file. */
export interface GivenTypes {
  readonly file: string;
  readonly source: "btf_file" | "isf";
  readonly types: KernelTypes;
  /** Of the kernel's ELF file, in hex. */
  readonly buildId: string | undefined;
}

/** What files say of a kernel, to be used in place of what it says of itself. */
export interface KernelFiles {
  readonly symbols?: GivenSymbols;
  readonly types?: GivenTypes;
}

/** The files as they were opened; nothing of them has been parsed. */
export interface OpenKernelFiles {
  /** BTF, or an ELF file that has it. */
  readonly btf?: ByteReader | undefined;
  /** System.map, or what /proc/kallsyms said. */
  readonly symbols?: SymbolFile | undefined;
  /** ISF, compressed or not. */
  readonly isf?: ByteReader | undefined;
}

/**
 * Reads the files that stand in for a kernel's own symbols and types. Which kernel they are of is
 * found out when the image is read.
 *
 * @throws {KernelFileError} when one cannot be read.
 */
export async function readKernelFiles(
  { btf, symbols, isf }: OpenKernelFiles,
): Promise<KernelFiles> {
  if (isf !== undefined) {
    const { types, symbols, banner } = readIsf(isf.name, await unpack(isf));
    const common = { file: isf.name, source: "isf" } as const;
    return {
      symbols: { ...common, symbols, banner },
      types: { ...common, types, buildId: undefined },
    };
  }
  return {
    ...(btf === undefined ? {} : { types: readTypes(btf) }),
    ...(symbols === undefined ? {} : {
      symbols: {
        file: symbols.name,
        source: "system_map",
        symbols: await readSystemMap(symbols),
        banner: undefined,
      },
    }),
  };
}

function readTypes(file: ByteReader): GivenTypes {
  const { btf, buildId } = isElf(file.read(0, 4) ?? new Uint8Array())
    ? readVmlinux(file)
    : { btf: wholeOf(file), buildId: undefined };
  try {
    return { file: file.name, source: "btf_file", types: new Btf(btf), buildId };
  } catch (error) {
    if (!(error instanceof BtfError)) throw error;
    throw new KernelFileError(file.name, error.message);
  }
}

/** A kernel's types take 3 to 10 MB. */
const LARGEST_BTF = 64 * 1024 * 1024;

function wholeOf(file: ByteReader): Uint8Array {
  if (file.size > LARGEST_BTF) {
    throw new KernelFileError(file.name, `it has ${file.size} bytes, more than BTF ever has`);
  }
  const bytes = file.read(0, file.size);
  if (bytes === undefined) throw new KernelFileError(file.name, "it cannot be read to its end");
  return bytes;
}
