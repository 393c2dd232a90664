/**
 * `deno task demo`: scans a memory image of a real kernel and prints what it finds.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { imageFixtures, unpackFixture } from "./fixtures.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

const [name] = imageFixtures();
if (name === undefined) {
  print("Cannot show the demo: there is no image in fixtures/");
  Deno.exit(1);
}
unpackFixture(name);
const args = ["scan", "--format", "table", `.cache/fixtures/${name}`];
print(`$ dist/iouring ${args.join(" ")}`);
const { code } = new Deno.Command("dist/iouring", {
  args,
  cwd: ROOT,
  stdin: "null",
  stdout: "inherit",
  stderr: "inherit",
}).outputSync();
Deno.exit(code);
