import {
  Z_FINISH,
  Z_STREAM_END,
  zlibInflate,
  zlibInflateInit,
  zlibInflateReset,
  ZStream,
} from "pako";

/**
 * Inflates short zlib streams one after the other with one state. `node:zlib` makes a native one for
 * each, which is let go only when the garbage collector gets to it: a search through a large dump
 * would run out of memory.
 */
export class Inflater {
  #stream = new ZStream();

  constructor() {
    zlibInflateInit(this.#stream);
  }

  /** The bytes of a zlib stream that holds exactly `length`; undefined where it does not. */
  inflate(bytes: Uint8Array, length: number): Uint8Array | undefined {
    const stream = this.#stream;
    const output = new Uint8Array(length);
    zlibInflateReset(stream);
    stream.input = bytes;
    stream.next_in = 0;
    stream.avail_in = bytes.length;
    stream.output = output;
    stream.next_out = 0;
    stream.avail_out = length;
    const status = zlibInflate(stream, Z_FINISH);
    return status === Z_STREAM_END && stream.avail_out === 0 ? output : undefined;
  }
}
