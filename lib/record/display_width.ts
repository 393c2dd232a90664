/** First and last code point of every range that takes two columns (East Asian Wide, Fullwidth). */
const WIDE: readonly (readonly [first: number, last: number])[] = [
  [0x1100, 0x115f], // Hangul initial consonants
  [0x2e80, 0x303e], // CJK radicals and punctuation
  [0x3041, 0x33ff], // kana, Bopomofo, CJK letters and months
  [0x3400, 0x4dbf], // CJK extension A
  [0x4e00, 0xa4cf], // CJK, Yi
  [0xa960, 0xa97f], // Hangul extended A
  [0xac00, 0xd7a3], // Hangul
  [0xf900, 0xfaff], // CJK compatibility
  [0xfe30, 0xfe6f], // CJK compatibility forms
  [0xff01, 0xff60], // fullwidth forms
  [0xffe0, 0xffe6], // fullwidth signs
  [0x16fe0, 0x18dff], // Tangut, Khitan
  [0x1aff0, 0x1b2ff], // kana supplement
  [0x1f200, 0x1f2ff], // enclosed ideographs
  [0x20000, 0x3fffd], // CJK extensions B and later
];
const ASCII = /^[\x20-\x7e]*$/;
const COMBINING = /^[\p{Mn}\p{Me}]$/u;
const EMOJI = /^\p{Emoji_Presentation}$/u;

/** Columns that printable text takes on a terminal. */
export function displayWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/**
 * Printable text cut to `columns`, with `…` in the last of them when something was cut.
 *
 * @param text Text without control characters.
 * @param columns 1 or more.
 */
export function cutToWidth(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  let width = 1;
  let cut = "";
  for (const character of text) {
    width += characterWidth(character);
    if (width > columns) break;
    cut += character;
  }
  return `${cut}…`;
}

/** The same with the beginning cut away: `…` stands for it. */
export function cutFront(text: string, columns: number): string {
  const reversed = (part: string) => [...part].reverse().join("");
  return reversed(cutToWidth(reversed(text), columns));
}

/**
 * Printable text in lines of at most `columns`, broken at spaces, and within words that are longer
 * than a line. Lines after the first are indented by 4 columns more than the first is.
 */
export function wrapToWidth(text: string, columns: number): string[] {
  if (displayWidth(text) <= columns) return [text];
  const [spaces] = /^ */.exec(text)!;
  const isWide = spaces.length + 4 < columns / 2;
  const next = isWide ? `${spaces}    ` : "";
  const lines: string[] = [];
  let line = isWide ? spaces : "";
  // A word with the spaces before it.
  for (const [word] of text.slice(spaces.length).matchAll(/ *[^ ]+/g)) {
    if (displayWidth(line + word) <= columns) {
      line += word;
      continue;
    }
    if (line.trim() !== "") {
      lines.push(line);
      line = next;
    }
    for (const character of word.trimStart()) {
      if (displayWidth(line + character) > columns) {
        lines.push(line);
        line = next;
      }
      line += character;
    }
  }
  return [...lines, line];
}

/** Columns of one character: 0, 1 or 2. */
function characterWidth(character: string): number {
  const code = character.codePointAt(0)!;
  if (code < 0x300) return 1;
  if (COMBINING.test(character)) return 0;
  if (EMOJI.test(character)) return 2;
  return WIDE.some(([first, last]) => code >= first && code <= last) ? 2 : 1;
}
