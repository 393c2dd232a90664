/**
 * `deno task build`: makes `dist/iouring`, one executable.
 *
 * Two forms. The launcher form is a small static program (launcher.c) with the `deno` runtime,
 * the bundle and the shims appended. It is made by default, because what the project promises of
 * the file is shown for this form: it finds damage before it starts, clears the environment and
 * forbids new privileges before there are threads. The compile form, with `--compile`, is what
 * `deno compile` makes; where its base runtime cannot be had, the launcher form is made instead.
 *
 * Two builds of one commit are identical: nothing of the time, the folder or the user goes in.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync, globSync } from "node:fs";
import { basename } from "node:path/posix";
import { fileURLToPath, pathToFileURL } from "node:url";
import config from "../deno.json" with { type: "json" };
import packages from "../lib/imports.json" with { type: "json" };
import { DebianError } from "./debian.ts";
import { LIBRARIES, SHIMS } from "./libraries.ts";
import { gatherNotices, NoticeError } from "./notices.ts";
import { packParts, type Part } from "./parts.ts";
import { setup, SetupError } from "./setup.ts";
import { fetchSysroot, type Sysroot, sysrootPackages, type SystemLibraries } from "./sysroot.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const WORK = `${ROOT}/.cache/build`;
const OUTPUT = `${ROOT}/dist/iouring`;
const PACKAGES = `${ROOT}/.cache/packages`;

const CFLAGS = [
  "-std=gnu11",
  "-O2",
  "-g0",
  `-ffile-prefix-map=${ROOT}=.`,
  "-Wl,--build-id=none",
  "-s",
];

/** What goes into a build, and so decides whether one is needed. */
const SOURCES = [
  "deno.json",
  "deno.lock",
  "LICENSE",
  "main.ts",
  "lib/**/*.{ts,json}",
  "ffi/*.ts",
  "ffi/*.[ch]",
  "bpf/*",
];

/** The forms of the file; the first is what is made when none is asked for. */
type Form = "launcher" | "compile";

/** Why a build failed, in one line where the machine is to blame and not the sources. */
class BuildError extends Error {
  override readonly name = "BuildError";
}

function log(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** Runs a command in the root; its output, or an error with what it said. */
async function runCommand(
  name: string,
  args: string[],
  options: { signal?: AbortSignal } = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(name, {
    args,
    cwd: ROOT,
    env: { LC_ALL: "C", NO_COLOR: "1" },
    stdin: "null",
    ...options,
  }).output();
  const decoder = new TextDecoder();
  if (success) return decoder.decode(stdout).trim();
  if (options.signal?.aborted) throw new BuildError(`${basename(name)} ${args[0]} took too long`);
  const said = decoder.decode(stderr).trim();
  throw new BuildError(
    said.includes("error sending request for url")
      ? `what ${basename(name)} ${args[0]} needs cannot be fetched; it is fetched once and kept`
      : `${name} ${args[0]} failed\n${said}`,
  );
}

/** The commit, with `-dirty` where what is built differs from it; "unknown" outside of git. */
async function buildId(): Promise<string> {
  try {
    const commit = await runCommand("git", ["rev-parse", "--short=12", "HEAD"]);
    const paths = SOURCES.map(topLevel);
    const changes = await runCommand("git", ["status", "--porcelain", "--", ...paths]);
    return changes === "" ? commit : `${commit}-dirty`;
  } catch {
    return "unknown";
  }
}

/** The part of a pattern before its first wildcard, for git. */
function topLevel(pattern: string): string {
  return pattern.split("/")[0]!;
}

/** A digest of everything that the result depends on. */
async function buildKey(form: Form, build: string): Promise<string> {
  const hash = createHash("sha256");
  const runtime = await Deno.stat(Deno.execPath());
  const packages = await sysrootPackages(PACKAGES);
  hash.update(JSON.stringify([form, build, packages, Deno.version, runtime.size, runtime.mtime]));
  for (const path of globSync(SOURCES, { cwd: ROOT }).sort()) {
    const bytes = await Deno.readFile(`${ROOT}/${path}`);
    hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

/** Makes a file and puts it under its name when it is whole; one that fails leaves nothing. */
async function makeFile(
  path: string,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  const folder = `${WORK}/${Deno.pid}`;
  const temporary = `${folder}/${basename(path)}`;
  await Deno.mkdir(folder, { recursive: true });
  try {
    await make(temporary);
    await Deno.rename(temporary, path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The libraries of the system that a shim needs. */
const NEEDED: { readonly [shim: string]: readonly string[] } = { capture: ["-lbpf"] };

async function compileShims(sysroot: Sysroot): Promise<void> {
  for (const name of SHIMS) {
    const options = [...CFLAGS, ...sysroot.options, "-fPIC", "-shared"];
    await makeFile(`${WORK}/${LIBRARIES[name]}`, async (file) => {
      await runCommand("cc", [...options, `ffi/${name}.c`, "-o", file, ...NEEDED[name] ?? []]);
    });
  }
}

/**
 * Compiles the BPF object. Its debug information goes, apart from BTF, which loading needs; paths
 * of the build are in neither.
 */
async function compileBpf(sysroot: Sysroot): Promise<void> {
  await makeFile(`${WORK}/${LIBRARIES.object}`, async (file) => {
    // The third version of the instruction set, which 5.10 knows, keeps the verifier's work small.
    const target = ["-target", "bpf", "-mcpu=v3", ...sysroot.bpfOptions];
    const options = ["-g", "-O2", "-Wall", "-Werror", `-ffile-prefix-map=${ROOT}=.`];
    await runCommand("clang", [...target, ...options, "-c", "bpf/iouring.bpf.c", "-o", file]);
    await runCommand("llvm-strip", ["-g", file]);
  });
}

/** Programs that were linked on Debian 11 need this version of the C library, or an older one. */
const NEWEST_GLIBC = 31;

/** The n of the newest GLIBC_2.n that a library needs. Nothing else in it looks like one. */
async function newestGlibc(path: string): Promise<number> {
  const text = new TextDecoder("latin1").decode(await Deno.readFile(path));
  return Math.max(0, ...Array.from(text.matchAll(/GLIBC_2\.(\d+)/g), ([, n]) => Number(n)));
}

/** Headers and libraries of old releases, or of this machine where they cannot be had. */
async function openSysroot(): Promise<Sysroot> {
  try {
    return await fetchSysroot(PACKAGES, log);
  } catch (error) {
    if (!(error instanceof DebianError)) throw error;
    log(error.message);
  }
  const find = async (name: keyof SystemLibraries) =>
    await Deno.realPath(await runCommand("cc", [`-print-file-name=${LIBRARIES[name]}`]));
  const libraries = { z: await find("z"), elf: await find("elf"), bpf: await find("bpf") };
  return { options: [], bpfOptions: [], libraries, docs: "/usr/share/doc" };
}

/** Makes what goes into the file besides the program; the newest GLIBC_2.n that it needs. */
async function makeLibraries(sysroot: Sysroot): Promise<number> {
  await compileShims(sysroot);
  await compileBpf(sysroot);
  for (const [name, path] of Object.entries(sysroot.libraries)) {
    const target = `${WORK}/${LIBRARIES[name as keyof SystemLibraries]}`;
    await makeFile(target, (file) => Deno.copyFile(path, file));
  }
  await makeNotices(sysroot);
  const needed = Object.values(LIBRARIES).map((file) => newestGlibc(`${WORK}/${file}`));
  return Math.max(...await Promise.all(needed));
}

async function makeNotices({ docs }: Sysroot): Promise<void> {
  const { npmCache } = JSON.parse(await runCommand(Deno.execPath(), ["info", "--json"]));
  const debian = await sysrootPackages(PACKAGES);
  const text = gatherNotices({ root: ROOT, docs, npm: npmCache, debian });
  await makeFile(`${WORK}/${LIBRARIES.notices}`, (file) => Deno.writeTextFile(file, text));
}

/** The version of libbpf, which Debian puts in the file's name; "unknown" where it is not there. */
function libbpfVersion({ bpf }: SystemLibraries): string {
  return /\.so\.(\d+\.\d+\.\d+)$/.exec(bpf)?.[1] ?? "unknown";
}

/** The commands that most of the code is for, each in a file of its name. */
const COMMANDS = ["capture", "scan", "filter"] as const;

/**
 * Writes an import map in which other commands than these stand for nothing, so that the bundler
 * leaves out what only they need.
 */
async function writeImportMap(path: string, commands: readonly string[]): Promise<void> {
  const imports: Record<string, string> = { ...packages.imports };
  for (const name of COMMANDS.filter((name) => !commands.includes(name))) {
    imports[pathToFileURL(`${ROOT}/lib/cli/${name}.ts`).href] = "./absent.js";
  }
  const absent = `export let ${COMMANDS.join(", ")};`;
  await makeFile(`${WORK}/absent.js`, (file) => Deno.writeTextFile(file, absent));
  await makeFile(path, (file) => Deno.writeTextFile(file, JSON.stringify({ imports })));
}

/** Bundles main.ts and everything it imports into one script, with these commands; its text. */
async function bundle(name: string, commands: readonly string[]): Promise<string> {
  const path = `${WORK}/${name}.bundle.js`;
  const map = `${WORK}/${name}.imports.json`;
  await writeImportMap(map, commands);
  await makeFile(path, async (file) => {
    // "browser" picks the ES modules of npm packages; what they have for Node is CommonJS, whose
    // require() of Node's own modules does not survive bundling.
    const options = ["--quiet", "--no-check", "--platform", "browser", "--minify"];
    // What the launcher starts is no module; so there is no import.meta in the bundle.
    options.push("--format", "iife", `--import-map=${map}`);
    const lock = ["--lock=deno.lock", "--frozen"];
    await runCommand(Deno.execPath(), ["bundle", ...options, ...lock, "-o", file, "main.ts"]);
  });
  // Comments say where a package lay on this machine; say only which package it is.
  return (await Deno.readTextFile(path)).replaceAll(/^\/\/ \S*\/npm\/[^/]+\//gm, "// npm:");
}

/**
 * What a form runs, by name: one script with all commands, or one for each of those that are long,
 * and one for what remains. The runtime parses all of a script before it runs any of it.
 */
async function bundleFor(form: Form): Promise<ReadonlyMap<string, string>> {
  if (form === "compile") return new Map([["program", await bundle("program", COMMANDS)]]);
  const scripts = new Map([["program", await bundle("program", [])]]);
  for (const command of COMMANDS) {
    const name = `program.${command}`;
    scripts.set(name, await bundle(name, [command]));
  }
  return scripts;
}

/** What the program is told of how it was made. */
interface Info {
  readonly form: Form;
  readonly build: string;
  readonly libbpf: string;
}

async function writePrograms(scripts: ReadonlyMap<string, string>, info: Info): Promise<void> {
  const first = `globalThis.IOURING_BUILD = ${JSON.stringify(info)};\n`;
  for (const [name, script] of scripts) {
    await makeFile(`${WORK}/${name}.js`, (file) => Deno.writeTextFile(file, first + script));
  }
}

/** The launcher with all that it carries. */
async function launch(programs: Iterable<string>): Promise<void> {
  const launcher = `${WORK}/launcher`;
  await makeFile(launcher, async (file) => {
    await runCommand("cc", [...CFLAGS, "-static", "-pthread", "ffi/launcher.c", "-o", file]);
  });
  const files = new Map([["launcher", launcher], ["runtime", Deno.execPath()]]);
  for (const name of programs) files.set(name, `${WORK}/${name}.js`);
  for (const [name, file] of Object.entries(LIBRARIES)) files.set(name, `${WORK}/${file}`);
  const parts: Part[] = [];
  for (const [name, path] of files) parts.push({ name, bytes: await Deno.readFile(path) });
  await makeFile(OUTPUT, async (file) => {
    await Deno.writeFile(file, packParts(parts));
    await Deno.chmod(file, 0o755);
  });
}

/** How long `deno compile` may take: the host of its base runtime may never answer. */
const COMPILE_MS = 60_000;

/** `deno compile`, kept only where what it made runs. */
async function compile(): Promise<void> {
  const includes = Object.values(LIBRARIES).flatMap((file) => ["--include", `${WORK}/${file}`]);
  const options = ["--quiet", "--allow-all", "--no-prompt", "--no-check", "--no-config"];
  await makeFile(OUTPUT, async (file) => {
    const args = [...options, "--no-code-cache", ...includes, "-o", file, `${WORK}/program.js`];
    const signal = AbortSignal.timeout(COMPILE_MS);
    await runCommand(Deno.execPath(), ["compile", ...args], { signal });
    // A base runtime that is none, which DENORT_BIN may name, gives a program that is not this one.
    const said = await runCommand(file, ["--version"]);
    if (!said.startsWith(`iouring ${config.version} (compile, `)) {
      throw new BuildError(`what deno compile made says "${said.split("\n")[0]}"`);
    }
  });
}

/** Makes `dist/iouring` unless it is up to date. */
async function build(wanted: Form): Promise<void> {
  const id = await buildId();
  const keyFile = `${WORK}/key`;
  const known = await Deno.readTextFile(keyFile).catch(() => "");
  if (existsSync(OUTPUT) && known === await buildKey(wanted, id)) {
    log(`dist/iouring is up to date (${wanted} form, build ${id})`);
    return;
  }
  await Deno.mkdir(WORK, { recursive: true });
  // What may have to be fetched comes first.
  let scripts = await bundleFor(wanted);
  const sysroot = await openSysroot();
  const glibc = await makeLibraries(sysroot);
  const info = { build: id, libbpf: libbpfVersion(sysroot.libraries) };
  await Deno.mkdir(`${ROOT}/dist`, { recursive: true });
  let form = wanted;
  await writePrograms(scripts, { form, ...info });
  if (form === "compile") {
    try {
      await compile();
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      log(`Making the launcher form: ${error.message}`);
      form = "launcher";
      scripts = await bundleFor(form);
      await writePrograms(scripts, { form, ...info });
    }
  }
  if (form === "launcher") await launch(scripts.keys());
  const { size } = await Deno.stat(OUTPUT);
  const what = `version ${config.version}, ${form} form, build ${id}`;
  log(`dist/iouring made: ${what}, ${(size / 1e6).toFixed(1)} MB`);
  if (glibc <= NEWEST_GLIBC) {
    const key = await buildKey(form, id);
    await makeFile(keyFile, (file) => Deno.writeTextFile(file, key));
  } else {
    // The next build tries again.
    log(`It needs GLIBC_2.${glibc} where it runs, not the 2.${NEWEST_GLIBC} that it is to need`);
  }
}

if (import.meta.main) {
  try {
    setup("build", log);
    await build(Deno.args.includes("--compile") ? "compile" : "launcher");
  } catch (error) {
    const isOurs = error instanceof BuildError || error instanceof NoticeError;
    if (!isOurs && !(error instanceof SetupError)) throw error;
    log(isOurs ? `Cannot build: ${error.message}` : error.message);
    Deno.exit(1);
  }
}
