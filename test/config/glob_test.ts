import assert from "node:assert/strict";
import { matchesGlob, parseGlob } from "../../lib/config/glob.ts";
import { countedList } from "../counted_work.ts";

function matches(glob: string, text: string): boolean {
  const tokens = parseGlob(glob);
  assert.ok(typeof tokens !== "string", glob);
  return matchesGlob(tokens, text);
}

/** Glob, what it stands for, what it does not. */
const CASES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ["/etc/shadow", ["/etc/shadow"], ["/etc/shadow-", "/etc/shado", ""]],
  ["/etc/*", ["/etc/", "/etc/x", "/etc/.x"], ["/etc/x/y", "/etc"]],
  ["/home/*/.ssh/**", ["/home/a/.ssh/", "/home/a/.ssh/x/y"], ["/home/a/b/.ssh/x", "/home/a/.ssh"]],
  ["**/.ssh/id_*", [".ssh/id_rsa", "/a/b/.ssh/id_", "/.ssh/id_x"], ["/a.ssh/id_x", "/.ssh/id_/x"]],
  ["/a/**/z", ["/a/z", "/a/b/z", "/a/b/c/z"], ["/az", "/a/bz", "/a/z/"]],
  ["/a**z", ["/az", "/a/b/z", "/abcz"], ["/a", "/az/"]],
  ["/proc/?/maps", ["/proc/1/maps", "/proc/é/maps"], ["/proc/12/maps", "/proc///maps"]],
  ["/[a-cx]", ["/a", "/b", "/c", "/x"], ["/d", "/-", "//", "/"]],
  ["/[!a-c]", ["/d", "/]"], ["/a", "//"]],
  ["/[]]", ["/]"], ["/["]],
  ["/[a-]", ["/a", "/-"], ["/b"]],
  ["/\\*\\[", ["/*["], ["/x[", "/*"]],
  ["/*.c*", ["/a.c", "/a.cc", "/.c"], ["/a.o", "/x/a.c"]],
  ["/漢?", ["/漢字", "/漢😀"], ["/漢"]],
];

for (const [glob, good, bad] of CASES) {
  Deno.test(`matchesGlob() knows what ${glob} stands for`, () => {
    for (const text of good) assert.ok(matches(glob, text), text);
    for (const text of bad) assert.ok(!matches(glob, text), text);
  });
}

Deno.test("matchesGlob() agrees with a regular expression on random globs", () => {
  let seed = 1;
  const random = (below: number) => {
    seed = Math.imul(seed, 1103515245) + 12345 >>> 0;
    return (seed >>> 8) % below;
  };
  const pieces = ["a", "b", "/", "*", "**", "**/", "?"];
  for (let i = 0; i < 20_000; i++) {
    const glob = "/" + Array.from({ length: random(6) }, () => pieces[random(7)]).join("");
    const tokens = parseGlob(glob);
    if (typeof tokens === "string") continue;
    const source = tokens.map((token) =>
      token.kind === "text"
        ? token.text
        : { one: "[^/]", many: "[^/]*", all: "[^]*", directories: "(?:[^]*/)?" }[token.kind]
    ).join("");
    const text = "/" + Array.from({ length: random(8) }, () => "ab/"[random(3)]).join("");
    assert.equal(
      matchesGlob(tokens, text),
      new RegExp(`^${source}$`).test(text),
      `${glob} ${text}`,
    );
  }
});

Deno.test("matchesGlob() looks at each token twice a character at most", () => {
  const text = "/" + "a".repeat(4095);
  for (const stars of ["**", "*"]) {
    const tokens = parseGlob("/" + `${stars}a`.repeat(60) + "b");
    assert.ok(typeof tokens !== "string");
    assert.ok(!matchesGlob(countedList(tokens, 2 * tokens.length * (text.length + 1)), text));
  }
});
