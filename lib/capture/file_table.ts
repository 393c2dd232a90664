import { ANON_INODE_FS_MAGIC, fileKind } from "../uapi/file_kind.ts";
import type { JsonObject } from "../uapi/json_value.ts";
import { putText } from "../uapi/text.ts";
import { pathFromComponents } from "./path_bytes.ts";
import type { Section, SectionReader } from "./sections.ts";
import type { Wire } from "./wire.ts";

/** Descriptions that are kept; the kernel keeps half as many. */
const MAX_FILES = 32_768;

/** Of what names a file. */
const NAME_BYTES = 8;
/** Of `include/uapi/linux/magic.h`. */
const PIPEFS_MAGIC = 0x50495045;

/** The open files that the kernel has described. */
export class FileTable {
  readonly #wire: Wire;
  readonly #sections: SectionReader;
  /** By the lower half of the name; two with the same one replace each other. */
  #targets = new Map<number, { readonly high: number; readonly target: JsonObject }>();

  constructor(wire: Wire, sections: SectionReader) {
    this.#wire = wire;
    this.#sections = sections;
  }

  /** Takes the file record at `at`. */
  add(view: DataView, at: number, size: number): void {
    const wire = this.#wire;
    const [section] = this.#sections.read(view, at + wire.size("file_record"), at + size);
    const mode = view.getUint32(at + wire.at("file_record.mode"), true);
    const kind = fileKind(mode);
    const target: JsonObject = {};
    const components = section?.bytes ?? new Uint8Array();
    const magic = view.getUint32(at + wire.at("file_record.magic"), true);
    if (magic === PIPEFS_MAGIC) {
      const inode = view.getBigUint64(at + wire.at("file_record.inode"), true);
      target.kind = "pipe";
      target.path = `pipe:[${inode}]`;
    } else if (kind === undefined || magic === ANON_INODE_FS_MAGIC) {
      // An anonymous inode has a name in place of a path, and before 6.15 no type.
      target.kind = "anon_inode";
      putText(target, "name", components.subarray(0, Math.max(0, components.length - 1)));
    } else {
      target.kind = kind;
      putText(target, "path", pathFromComponents(components));
      if (section === undefined || section.extra !== 0) target.partial = true;
      if (view.getUint32(at + wire.at("file_record.deleted"), true) !== 0) target.deleted = true;
    }
    if (this.#targets.size >= MAX_FILES) {
      // The oldest half; a file that is asked for again moves to the end.
      this.#targets = new Map([...this.#targets].slice(MAX_FILES / 2));
    }
    const name = at + wire.at("file_record.file");
    const high = view.getUint32(name + 4, true);
    this.#targets.set(view.getUint32(name, true), { high, target });
  }

  /** What the file that a section names is; undefined where its description was lost. */
  target({ view, at, length }: Section): JsonObject | undefined {
    if (length < NAME_BYTES) throw new RangeError("Section of a file is too short");
    const low = view.getUint32(at, true);
    const known = this.#targets.get(low);
    if (known === undefined || known.high !== view.getUint32(at + 4, true)) return undefined;
    if (this.#targets.size > MAX_FILES / 2) {
      this.#targets.delete(low);
      this.#targets.set(low, known);
    }
    return known.target;
  }
}
