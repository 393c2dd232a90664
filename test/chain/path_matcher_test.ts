import assert from "node:assert/strict";
import { headOf, headsOf, latin1, PathMatcher } from "../../lib/chain/path_matcher.ts";
import { matchesGlob, parseGlob } from "../../lib/config/glob.ts";
import { Random } from "../scan/mutations.ts";

Deno.test("PathMatcher finds what one of its patterns alone would, on generated configs", () => {
  const random = new Random(11);
  const text = (pieces: readonly string[], most: number) =>
    "/" + Array.from({ length: random.below(most) }, () => random.one(pieces)).join("");
  const list = (make: () => string) => Array.from({ length: random.below(3) }, make);
  const isGlob = (glob: string) => typeof parseGlob(glob) !== "string";
  const names = ["/", "/a", "/b", "a", "b", "é", ".", "//"];
  const globs = [...names, "*", "?", "**", "/**/", "[ab]", "\\*"];
  const bytesOf = (path: string) => latin1(new TextEncoder().encode(path));
  let matching = 0;
  for (let i = 0; i < 20_000; i++) {
    const config = {
      exact: list(() => text(names, 4)),
      prefix: list(() => text(names, 4)),
      glob: list(() => text(globs, 5)).filter(isGlob),
    };
    const path = text([...names, "*"], 6);
    for (const [bytes, form] of [[false, (it: string) => it], [true, bytesOf]] as const) {
      const expected = config.exact.includes(path) ||
        config.prefix.some((prefix) => path.startsWith(prefix)) ||
        config.glob.some((glob) => matchesGlob(parseGlob(form(glob)) as never, form(path)));
      const heads = [headOf(form(path))];
      const actual = new PathMatcher(config).matches({ forms: [form(path)], bytes, heads });
      assert.equal(actual, expected, `${JSON.stringify(config)} ${path} ${bytes}`);
      if (!expected) continue;
      matching++;
      assert.ok(headsOf(config)?.has(heads[0]!) ?? true, `${JSON.stringify(config)} ${path}`);
    }
  }
  assert.ok(matching > 2000, `${matching} match`);
});
