import type { Block, BlockSource } from "./block_memory.ts";
import { crc32c } from "./crc32c.ts";
import type { ByteReader, ByteSource } from "./image_file.ts";
import { AVML_BLOCK_SIZE, LIME_HEADER_SIZE, readLimeHeader } from "./lime.ts";
import { type AddressRange, indexBehind } from "./physical_memory.ts";
import { decodeSnappy, snappyLength } from "./snappy.ts";

/** Magic of a compressed block, as it lies in the file. */
export const AVML_MAGIC = [0x41, 0x56, 0x4d, 0x4c] as const;
const VERSION = 2;
const MAGIC_AND_VERSION = new Uint8Array([...AVML_MAGIC, VERSION, 0, 0, 0]);

/** Length of the Snappy stream, after it. */
const TRAILER_SIZE = 8;
/** Type and length of a chunk of a Snappy stream. */
const CHUNK_HEADER_SIZE = 4;
const CHECKSUM_SIZE = 4;
/** Bytes that a chunk holds, except for a stream's last (snap, MAX_BLOCK_SIZE). */
const CHUNK_BYTES = 65536;
/** A copy of at most 64 bytes takes 3, so no chunk holds more bytes for each of its own. */
const MOST_FOR_A_BYTE = 22;
const CHUNK_COMPRESSED = 0x00;
const CHUNK_PLAIN = 0x01;
const CHUNK_STREAM = 0xff;
/** From here on, chunks that a reader does not know may be skipped. */
const CHUNK_SKIPPABLE = 0x80;
/** One for 16 MiB of memory. More is damage. */
const MAX_BLOCKS = 2 ** 22;

/** A range of memory and the chunks of its stream. */
interface AvmlBlock extends AddressRange {
  /** Index of its first chunk. */
  readonly chunk: number;
}

/**
 * AVML's compressed format, version 2 (AVML, src/image.rs): blocks with LiME's header under a magic
 * of their own, each a stream in Snappy's framing format (google/snappy, framing_format.txt) and
 * that stream's length. Each chunk of a stream decodes by itself.
 */
export class Avml implements BlockSource {
  readonly format = "avml";
  readonly ranges: readonly AddressRange[];
  /** As of {@linkcode LimeRanges.elided}. */
  readonly elided: boolean;
  /** Damage that was worked around, one sentence each. */
  readonly damage: readonly string[];
  #source: ByteReader;
  #blocks: readonly AvmlBlock[];
  /** Offset in the file of each chunk. */
  #chunks: Float64Array;

  /** Reads every header, and no memory. */
  constructor(source: ByteSource) {
    const blocks: AvmlBlock[] = [];
    const damage: string[] = [];
    const chunks = new Offsets();
    let longest = 0;
    let at = 0;
    while (at < source.size && blocks.length < MAX_BLOCKS) {
      const header = source.read(at, LIME_HEADER_SIZE);
      const range = header && readLimeHeader(header, AVML_MAGIC, VERSION);
      if (range !== undefined) {
        const chunk = chunks.length;
        const stream = readStream(source, at + LIME_HEADER_SIZE, range.end - range.start, chunks);
        const end = range.start + stream.held;
        if (stream.held > 0) blocks.push({ start: range.start, end, chunk });
        longest = Math.max(longest, stream.held);
        if (end === range.end) {
          at = stream.end + TRAILER_SIZE;
          continue;
        }
      }
      damage.push(
        range === undefined
          ? `no block header at ${at}`
          : `the block at ${at} holds less than it says`,
      );
      if (damage.length === MAX_DAMAGE) break;
      const [[next] = []] = source.search([{ bytes: MAGIC_AND_VERSION }], {
        start: at + 1,
        limit: 1,
      });
      if (next === undefined) break;
      at = next;
    }
    this.#source = source;
    this.#blocks = withoutOverlap(blocks, damage);
    this.#chunks = chunks.take();
    this.ranges = joined(this.#blocks);
    this.elided = longest === AVML_BLOCK_SIZE && damage.length === 0;
    this.damage = damage;
  }

  seek(address: number): Block | undefined {
    const block = this.#blocks[indexBehind(this.#blocks, address)];
    if (block === undefined) return undefined;
    const index = Math.floor(Math.max(0, address - block.start) / CHUNK_BYTES);
    const start = block.start + index * CHUNK_BYTES;
    return {
      start,
      end: Math.min(start + CHUNK_BYTES, block.end),
      key: block.chunk + index,
    };
  }

  decode({ start, end, key }: Block): Uint8Array | undefined {
    const chunk = readChunk(this.#source, this.#chunks[key]!);
    const body = chunk && this.#source.read(chunk.body, chunk.size);
    if (chunk === undefined || body === undefined) return undefined;
    const bytes = chunk.type === CHUNK_PLAIN
      ? body.slice(CHECKSUM_SIZE)
      : decodeSnappy(body.subarray(CHECKSUM_SIZE), end - start);
    if (bytes === undefined) return undefined;
    const checksum = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
    return masked(crc32c(bytes)) === checksum ? bytes : undefined;
  }
}

/** Most sentences about damage; the rest of such a file is not worth reading. */
const MAX_DAMAGE = 64;

interface Chunk {
  readonly type: number;
  /** Offset in the file, and bytes there: checksum and data. */
  readonly body: number;
  readonly size: number;
}

function readChunk(source: ByteReader, at: number): Chunk | undefined {
  const header = source.read(at, CHUNK_HEADER_SIZE);
  if (header === undefined) return undefined;
  const size = header[1]! | header[2]! << 8 | header[3]! << 16;
  const body = at + CHUNK_HEADER_SIZE;
  return body + size <= source.size ? { type: header[0]!, body, size } : undefined;
}

/** Finds a stream's chunks: how many bytes they hold, and where the stream ends. */
function readStream(
  source: ByteReader,
  at: number,
  length: number,
  chunks: Offsets,
): { held: number; end: number } {
  let held = 0;
  while (held < length) {
    const chunk = readChunk(source, at);
    if (chunk === undefined) break;
    if (chunk.type === CHUNK_COMPRESSED || chunk.type === CHUNK_PLAIN) {
      const bytes = heldBy(source, chunk);
      if (bytes !== Math.min(CHUNK_BYTES, length - held)) break;
      chunks.add(at);
      held += bytes;
    } else if (chunk.type < CHUNK_SKIPPABLE || (chunk.type === CHUNK_STREAM && chunk.size !== 6)) {
      break;
    }
    at = chunk.body + chunk.size;
  }
  return { held, end: at };
}

/** How many bytes a chunk says it holds; undefined where it cannot. */
function heldBy(source: ByteReader, { type, body, size }: Chunk): number | undefined {
  const stored = size - CHECKSUM_SIZE;
  if (stored <= 0) return undefined;
  if (type === CHUNK_PLAIN) return stored;
  const preamble = source.read(body + CHECKSUM_SIZE, Math.min(stored, 5));
  const length = preamble && snappyLength(preamble);
  return length !== undefined && length <= stored * MOST_FOR_A_BYTE ? length : undefined;
}

/** As the framing format stores a checksum. */
function masked(crc: number): number {
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** Sorts blocks and drops those that begin in an earlier one. */
function withoutOverlap(blocks: readonly AvmlBlock[], damage: string[]): AvmlBlock[] {
  let end = 0;
  const kept = [...blocks].sort((a, b) => a.start - b.start).filter((block) => {
    if (block.start < end) return false;
    end = block.end;
    return true;
  });
  if (kept.length < blocks.length) {
    damage.push(`${blocks.length - kept.length} blocks overlap another`);
  }
  return kept;
}

function joined(blocks: readonly AvmlBlock[]): AddressRange[] {
  const ranges: AddressRange[] = [];
  for (const { start, end } of blocks) {
    const last = ranges.at(-1);
    if (last?.end === start) ranges[ranges.length - 1] = { start: last.start, end };
    else ranges.push({ start, end });
  }
  return ranges;
}

/** A growing list of offsets, 8 bytes each. */
class Offsets {
  #values = new Float64Array(1024);
  length = 0;

  add(offset: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(2 * this.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = offset;
  }

  take(): Float64Array {
    return this.#values.slice(0, this.length);
  }
}
