/**
 * Characters that do something other than stand in a line: controls, format characters (direction
 * marks, zero-width ones, tags), lone surrogates, line and paragraph ends.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Text that another process chose, made safe to show to a person: ESC becomes `\x1b`, U+202E
 * becomes `\u{202e}`.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0)!;
    return code <= 0xff ? `\\x${hexByte(code)}` : `\\u{${code.toString(16)}}`;
  });
}

/**
 * The text at `key` of a record, made safe to show. Where `<key>_hex` has the exact bytes, those
 * that are not UTF-8 become `\xff`; in the text itself they are all U+FFFD.
 *
 * @param record An object of a record.
 * @param key The key; a value that is not text counts as "".
 */
export function printableField(record: object, key: string): string {
  const { [key]: text, [`${key}_hex`]: hex } = record as Record<string, unknown>;
  if (typeof hex === "string" && /^(?:[0-9a-f]{2})+$/.test(hex)) {
    return printableBytes(Uint8Array.fromHex(hex));
  }
  return typeof text === "string" ? printable(text) : "";
}

function printableBytes(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length;) {
    const lead = bytes[i]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      out += printable(DECODER.decode(bytes.subarray(i, i + length)));
      i += length;
    } catch {
      out += `\\x${hexByte(lead)}`;
      i++;
    }
  }
  return out;
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
