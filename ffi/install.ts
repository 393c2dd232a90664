/**
 * `deno task install [PREFIX]`: copies `dist/iouring` to PREFIX/bin, by default /usr/local/bin.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

const [prefix = "/usr/local"] = Deno.args;
const target = `${prefix}/bin/iouring`;
const temporary = `${target}.${Deno.pid}`;
const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
try {
  Deno.mkdirSync(`${prefix}/bin`, { recursive: true });
  Deno.copyFileSync(fileURLToPath(new URL("../dist/iouring", import.meta.url)), temporary);
  Deno.chmodSync(temporary, 0o755);
  // A running iouring keeps its old file.
  Deno.renameSync(temporary, target);
  print(`Installed ${target}`);
} catch (error) {
  print(`Cannot install ${target}: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
