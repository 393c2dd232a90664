/** The invariants of the architecture that reading the sources can check. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path/posix";
import { ROOT } from "./paths.ts";

/** Sources by path, without their comments. */
const SOURCES = new Map(
  globSync(["main.ts", "lib/**/*.ts", "ffi/*.ts", "test/**/*.ts"], { cwd: ROOT }).sort().map((
    path,
  ) => [path, withoutComments(readFileSync(join(ROOT, path), "utf8"))]),
);

/** The rooms of lib/ that each may import from; a floor lies on those below it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  uapi: [],
  record: ["uapi"],
  memory: ["uapi"],
  kernel: ["uapi", "record", "memory"],
  config: ["uapi", "record", "memory"],
  chain: ["uapi", "record", "memory", "kernel", "config"],
  capture: ["uapi", "record", "memory", "kernel", "config", "chain"],
  scan: ["uapi", "record", "memory", "kernel", "config", "chain"],
  cli: ["uapi", "record", "memory", "kernel", "config", "chain", "capture", "scan"],
};

/** Programs of their own, behind `deno task`. */
const TASKS = ["ffi/build.ts", "ffi/install.ts", "ffi/setup.ts"];

function withoutComments(source: string): string {
  return source.replaceAll(/\/\*.*?\*\//gs, "").replaceAll(/(^|\s)\/\/.*$/gm, "$1");
}

/** The files that a source imports from within the project, as paths from the root. */
function importsOf(path: string): string[] {
  const specifiers = SOURCES.get(path)!.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g);
  return Array.from(specifiers, ([, specifier]) => normalize(join(dirname(path), specifier!)));
}

function pathsUnder(folder: string): string[] {
  return [...SOURCES.keys()].filter((path) => path.startsWith(folder));
}

Deno.test("lib/ names neither Deno nor console", () => {
  for (const path of pathsUnder("lib/")) {
    assert.doesNotMatch(
      SOURCES.get(path)!,
      /\bDeno\.\w|\bconsole\.\w|\bprocess\.(?!getBuiltinModule)\w+\(/,
      path,
    );
  }
});

Deno.test("lib/ and main.ts import only downward", () => {
  for (const path of pathsUnder("lib/")) {
    const room = path.split("/")[1]!;
    const below = MAY_IMPORT[room];
    assert.ok(below !== undefined, `${path} is in no known room`);
    for (const target of importsOf(path)) {
      const [top, targetRoom] = target.split("/");
      assert.equal(top, "lib", `${path} imports ${target}`);
      const isAllowed = targetRoom === room || below.includes(targetRoom!);
      assert.ok(isAllowed, `${path} imports ${target}`);
    }
  }
});

Deno.test("only ffi/ loads native code or holds a pointer", () => {
  const isNative = /\bDeno\.(dlopen|Unsafe\w+)\b/;
  for (const path of [...pathsUnder("lib/"), "main.ts"]) {
    assert.doesNotMatch(SOURCES.get(path)!, isNative, path);
  }
});

Deno.test("only main.ts exits or reads the arguments", () => {
  for (const path of pathsUnder("ffi/")) {
    const source = SOURCES.get(path)!;
    if (TASKS.includes(path)) continue;
    assert.doesNotMatch(source, /\bDeno\.(exit|args)\b/, path);
  }
});

Deno.test("nothing takes a path from a URL, where a space is written as %20", () => {
  for (const [path, source] of SOURCES) assert.doesNotMatch(source, /[.]pathname\b/, path);
});

Deno.test("nothing that runs at the start loads modules of Node, which takes longer than the rest", () => {
  const reached = new Set(["main.ts"]);
  for (const path of reached) {
    assert.doesNotMatch(SOURCES.get(path)!, /^(?:import|export)[^;]*\bfrom "node:/m, path);
    for (const target of importsOf(path)) if (SOURCES.has(target)) reached.add(target);
  }
  assert.ok(reached.size > 100);
});

Deno.test("nothing compares kernel versions", () => {
  for (const path of pathsUnder("lib/")) {
    const source = SOURCES.get(path)!;
    assert.doesNotMatch(source, /\b(kernel_?version|release)\w*\s*[<>]=?\s*["'\d]/i, path);
  }
});
