import type { ByteReader } from "../memory/image_file.ts";
import { viewOf } from "../uapi/bytes.ts";
import { buildIdOf } from "./build_id.ts";
import { KernelFileError } from "./kernel_file_error.ts";

/** What of a kernel's ELF file says its types, and which kernel it is. */
export interface Vmlinux {
  readonly btf: Uint8Array;
  /** Hex, or undefined where the file has none. */
  readonly buildId: string | undefined;
}

const HEADER = 64;
const SECTION_HEADER = 64;
const SHT_NOTE = 7;
const SHT_NOBITS = 8;
/** Sections, names and notes take some KiB. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads the `.BTF` section and the build id of an ELF64 file such as `vmlinux` (System V ABI).
 *
 * @throws {KernelFileError} when it has none.
 */
export function readVmlinux(file: ByteReader): Vmlinux {
  const read = (offset: number, length: number, what: string) => {
    const bytes = length > MAX_BYTES ? undefined : file.read(offset, length);
    if (bytes === undefined) {
      throw new KernelFileError(
        file.name,
        `its ${what} lie outside the file of ${file.size} bytes`,
      );
    }
    return bytes;
  };
  const header = viewOf(read(0, HEADER, "ELF headers"));
  if (header.getUint8(4) !== 2 || header.getUint8(5) !== 1) {
    throw new KernelFileError(file.name, "it is no 64-bit little-endian ELF file");
  }
  const table = Number(header.getBigUint64(40, true));
  const count = header.getUint16(60, true);
  const headers = viewOf(read(table, count * SECTION_HEADER, "section headers"));
  const section = (index: number) => ({
    name: headers.getUint32(index * SECTION_HEADER, true),
    type: headers.getUint32(index * SECTION_HEADER + 4, true),
    offset: Number(headers.getBigUint64(index * SECTION_HEADER + 24, true)),
    size: Number(headers.getBigUint64(index * SECTION_HEADER + 32, true)),
  });
  const namesAt = header.getUint16(62, true);
  if (namesAt >= count) throw new KernelFileError(file.name, "its sections have no names");
  const names = read(section(namesAt).offset, section(namesAt).size, "section names");
  let buildId: string | undefined;
  let btf: Uint8Array | undefined;
  for (let i = 0; i < count; i++) {
    const { name, type, offset, size } = section(i);
    if (type === SHT_NOTE) buildId ??= buildIdOf(read(offset, size, "notes"));
    if (!startsWith(names, name, BTF_NAME)) continue;
    if (type === SHT_NOBITS) {
      throw new KernelFileError(file.name, "its .BTF section is empty, as debugging files may be");
    }
    btf = file.read(offset, size);
    if (btf === undefined) {
      throw new KernelFileError(file.name, "its .BTF section lies outside the file");
    }
  }
  if (btf === undefined) throw new KernelFileError(file.name, "it has no .BTF section");
  return { btf, buildId };
}

const BTF_NAME = new TextEncoder().encode(".BTF\0");

function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  return prefix.every((byte, i) => bytes[at + i] === byte);
}
