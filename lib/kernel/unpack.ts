import type { ByteReader } from "../memory/image_file.ts";
import { KernelFileError } from "./kernel_file_error.ts";

/** A kernel's ISF takes 20 to 60 MB. */
const LARGEST = 256 * 1024 * 1024;
/** Of the sums that xz can be told to add, the one that the decoder does not know. */
const XZ_SHA256 = 10;
const PIECE = 1024 * 1024;

/**
 * The whole of a file, taken out of xz or gzip where it is packed so.
 *
 * @param limit Most bytes that it may hold, by default 256 MiB.
 * @throws {KernelFileError} when it is packed otherwise, is damaged or holds more.
 */
export async function unpack(file: ByteReader, limit = LARGEST): Promise<Uint8Array> {
  const head = file.read(0, Math.min(file.size, 8)) ?? new Uint8Array();
  const starts = (...magic: number[]) => magic.every((byte, i) => head[i] === byte);
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)) {
    if (head[7] === XZ_SHA256) throw packed(file, "xz with SHA-256 sums", "unxz");
    const { XzReadableStream } = await xzDecompress();
    return await collect(file, new XzReadableStream(piecesOf(file)), limit);
  }
  if (starts(0x1f, 0x8b)) {
    const inflated = piecesOf(file).pipeThrough(new DecompressionStream("gzip"));
    return await collect(file, inflated, limit);
  }
  if (starts(0x42, 0x5a, 0x68)) throw packed(file, "bzip2", "bunzip2");
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) throw packed(file, "zstd", "unzstd");
  if (file.size > limit) throw tooLarge(file, limit);
  const bytes = file.read(0, file.size);
  if (bytes === undefined) throw new KernelFileError(file.name, "it cannot be read to its end");
  return bytes;
}

/** The module has names in the bundle, and a default that has them outside of it. */
async function xzDecompress(): Promise<typeof import("xz-decompress")> {
  const module = await import("xz-decompress") as { default?: typeof import("xz-decompress") };
  return module.default ?? module as typeof import("xz-decompress");
}

function packed(file: ByteReader, how: string, command: string): KernelFileError {
  return new KernelFileError(file.name, `it is packed by ${how}, unpack it first with ${command}`);
}

function tooLarge(file: ByteReader, limit: number): KernelFileError {
  return new KernelFileError(file.name, `it holds more than ${limit} bytes`);
}

function piecesOf(file: ByteReader): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const piece = file.read(at, Math.min(PIECE, file.size - at));
      if (piece === undefined || piece.length === 0) return controller.close();
      at += piece.length;
      controller.enqueue(piece.slice());
    },
  });
}

async function collect(
  file: ByteReader,
  stream: ReadableStream<Uint8Array>,
  limit: number,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = stream.getReader();
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch {
      throw new KernelFileError(file.name, "what is packed in it is damaged or cut short");
    }
    if (piece.done) break;
    length += piece.value.length;
    if (length > limit) {
      await reader.cancel();
      throw tooLarge(file, limit);
    }
    pieces.push(piece.value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
