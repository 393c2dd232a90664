/**
 * `deno task install [PREFIX]`: puts `dist/iouring` below PREFIX, by default /usr/local, with its
 * man page and completions, which it prints itself, and a systemd unit for capture.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PROGRAM = `${ROOT}dist/iouring`;

/** One file to install. */
interface Installed {
  /** Below the prefix. */
  readonly path: string;
  readonly mode: number;
  content(prefix: string): Uint8Array;
}

/** What the program prints when it is run with `args`. */
function printed(...args: string[]): Uint8Array {
  const { success, stdout, stderr } = new Deno.Command(PROGRAM, { args }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
  return stdout;
}

/** A file of this folder that names the prefix it is installed to. */
function filledIn(name: string, prefix: string): Uint8Array {
  const text = Deno.readTextFileSync(`${ROOT}ffi/${name}`);
  return new TextEncoder().encode(text.replaceAll("@PREFIX@", prefix));
}

const FILES: readonly Installed[] = [
  { path: "bin/iouring", mode: 0o755, content: () => Deno.readFileSync(PROGRAM) },
  { path: "share/doc/iouring/copyright", mode: 0o644, content: () => printed("--licenses") },
  { path: "share/man/man1/iouring.1", mode: 0o644, content: () => printed("man") },
  {
    path: "share/bash-completion/completions/iouring",
    mode: 0o644,
    content: () => printed("completions", "bash"),
  },
  {
    path: "share/zsh/site-functions/_iouring",
    mode: 0o644,
    content: () => printed("completions", "zsh"),
  },
  {
    path: "share/fish/vendor_completions.d/iouring.fish",
    mode: 0o644,
    content: () => printed("completions", "fish"),
  },
  {
    path: "lib/systemd/system/iouring-capture.service",
    mode: 0o644,
    content: (prefix) => filledIn("iouring-capture.service", prefix),
  },
  {
    path: "share/iouring/logrotate.conf",
    mode: 0o644,
    content: (prefix) => filledIn("iouring-capture.logrotate", prefix),
  },
];

/** Writes a whole file under its name at once: a running iouring keeps its old file. */
function put(target: string, bytes: Uint8Array, mode: number): void {
  Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
  const temporary = `${target}.${Deno.pid}`;
  try {
    Deno.writeFileSync(temporary, bytes, { mode: 0o600 });
    Deno.chmodSync(temporary, mode);
    Deno.renameSync(temporary, target);
  } catch (error) {
    try {
      Deno.removeSync(temporary);
    } catch {
      // It was not made.
    }
    throw error;
  }
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function install(prefix: string): void {
  for (const { path, mode, content } of FILES) {
    put(`${prefix}/${path}`, content(prefix), mode);
    print(`Installed ${prefix}/${path}`);
  }
}

const [prefix = "/usr/local", ...rest] = Deno.args;
if (rest.length > 0 || !prefix.startsWith("/")) {
  print("Usage: deno task install [PREFIX], an absolute path");
  Deno.exit(2);
}
try {
  install(prefix.replace(/\/+$/, ""));
} catch (error) {
  print(`Cannot install to ${prefix}: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
