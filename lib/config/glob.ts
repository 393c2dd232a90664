/** One step of a glob. */
export type GlobToken =
  /** Exactly this character. */
  | { readonly kind: "text"; readonly text: string }
  /** `?`, and `[abc]`, `[!a-z]`: one character, never `/`. */
  | { readonly kind: "one"; readonly accepts: (character: string) => boolean }
  /** `*`: any characters but `/`. */
  | { readonly kind: "many" }
  /** `**`: any characters. */
  | { readonly kind: "all" }
  /** `**` and a slash: nothing, or directories. */
  | { readonly kind: "directories" };

/**
 * Reads a glob: `*` and `?` stand for characters within a name, `**` for whatever, `**` and a slash
 * for any number of directories, `[a-z]` and `[!a-z]` for one character; a backslash takes the next
 * character as it is.
 *
 * @returns Its tokens, or what is wrong with it: sentence case, no full stop.
 */
export function parseGlob(glob: string): GlobToken[] | string {
  const tokens: GlobToken[] = [];
  const characters = [...glob];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    if (character === "\\") {
      const text = characters[++i];
      if (text === undefined) return `Glob ${JSON.stringify(glob)} ends in a backslash`;
      tokens.push({ kind: "text", text });
    } else if (character === "?") {
      tokens.push({ kind: "one", accepts: (it) => it !== "/" });
    } else if (character === "*") {
      if (characters[i + 1] !== "*") {
        tokens.push({ kind: "many" });
      } else if (characters[i + 2] === "*") {
        return `Glob ${JSON.stringify(glob)} has three stars together`;
      } else if (characters[i + 2] === "/" && (i === 0 || characters[i - 1] === "/")) {
        tokens.push({ kind: "directories" });
        i += 2;
      } else {
        tokens.push({ kind: "all" });
        i++;
      }
    } else if (character === "[") {
      const start = i + (characters[i + 1] === "!" ? 2 : 1);
      // A "]" that comes first is one of the characters.
      const end = characters.indexOf("]", start + 1);
      if (end < 0) return `Glob ${JSON.stringify(glob)} has a "[" without its "]"`;
      const accepted = classOf(characters.slice(start, end));
      if (accepted === undefined) {
        return `Glob ${JSON.stringify(glob)} has a range that runs backward`;
      }
      const negated = start === i + 2;
      tokens.push({ kind: "one", accepts: (it) => it !== "/" && accepted(it) !== negated });
      i = end;
    } else {
      tokens.push({ kind: "text", text: character });
    }
  }
  return tokens;
}

/** What stands between brackets; undefined for a range that runs backward. */
function classOf(characters: readonly string[]): ((character: string) => boolean) | undefined {
  const ranges: [first: number, last: number][] = [];
  for (let i = 0; i < characters.length; i++) {
    const first = characters[i]!.codePointAt(0)!;
    const isRange = characters[i + 1] === "-" && i + 2 < characters.length;
    const last = isRange ? characters[i + 2]!.codePointAt(0)! : first;
    if (isRange) i += 2;
    if (last < first) return undefined;
    ranges.push([first, last]);
  }
  return (character) => {
    const code = character.codePointAt(0)!;
    return ranges.some(([first, last]) => code >= first && code <= last);
  };
}

/** A token that may begin here, and a `directories` that is within a name. */
const FRESH = 1;
const INSIDE = 2;

/**
 * Whether the tokens stand for the whole of `text`. Takes time in proportion to the product of the
 * two lengths at most, whatever they hold.
 */
export function matchesGlob(tokens: readonly GlobToken[], text: string): boolean {
  // At index i: whether the text so far can have used up the first i tokens, and how.
  let reached = new Uint8Array(tokens.length + 1);
  reached[0] = FRESH;
  skipEmpty(tokens, reached);
  let next = new Uint8Array(tokens.length + 1);
  for (const character of text) {
    next.fill(0);
    let alive = false;
    for (let i = 0; i < tokens.length; i++) {
      if (reached[i] === 0) continue;
      const token = tokens[i]!;
      switch (token.kind) {
        case "text":
          if (token.text === character) next[i + 1]! |= FRESH;
          break;
        case "one":
          if (token.accepts(character)) next[i + 1]! |= FRESH;
          break;
        case "many":
          if (character !== "/") next[i]! |= FRESH;
          break;
        case "all":
          next[i]! |= FRESH;
          break;
        case "directories":
          // Within a directory's name the token is not used up, and nothing may follow it yet.
          next[i]! |= INSIDE;
          if (character === "/") next[i + 1]! |= FRESH;
      }
      alive = true;
    }
    if (!alive) return false;
    skipEmpty(tokens, next);
    [reached, next] = [next, reached];
  }
  return reached[tokens.length] !== 0;
}

/** Steps over tokens that may stand for nothing. */
function skipEmpty(tokens: readonly GlobToken[], reached: Uint8Array): void {
  for (let i = 0; i < tokens.length; i++) {
    const { kind } = tokens[i]!;
    const isEmpty = kind === "many" || kind === "all" || kind === "directories";
    if (isEmpty && (reached[i]! & FRESH) !== 0) reached[i + 1]! |= FRESH;
  }
}
