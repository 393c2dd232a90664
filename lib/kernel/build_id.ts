import { elfNotes } from "../memory/elf_core.ts";
import { bytesToHex } from "../uapi/text.ts";

/** `NT_GNU_BUILD_ID` (`elf.h`). */
const BUILD_ID = 3;

/** The build id among ELF notes, in hex, or undefined where there is none. */
export function buildIdOf(notes: Uint8Array): string | undefined {
  for (const { owner, type, data } of elfNotes(notes)) {
    if (owner === "GNU" && type === BUILD_ID && data.length > 0) return bytesToHex(data);
  }
  return undefined;
}
