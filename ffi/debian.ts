/**
 * Packages of a Debian release other than the one this machine runs, from the mirror that its apt
 * is configured with, and checked by the archive's signatures.
 *
 * @module
 */

/** Packages cannot be had, in one line. */
export class DebianError extends Error {
  override readonly name = "DebianError";
}

/** Where apt gets this machine's packages. */
export interface DebianMirrors {
  readonly main: string;
  /** Absent where apt is configured without security updates. */
  readonly security: string | undefined;
}

/** The keys of the archive, as Debian ships them. */
export const ARCHIVE_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

const RELEASES = "(buster|bullseye|bookworm|trixie|forky|sid|stable|testing)";

interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
}

/** Reads the text of one-line style `sources.list` files. */
function parseList(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/.exec(line);
    if (match) sources.push({ uris: [match[1]!], suites: [match[2]!] });
  }
  return sources;
}

/** Reads the text of deb822 style `*.sources` files. */
function parseDeb822(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const paragraph of text.split(/\n\s*\n/)) {
    const field = (name: string) =>
      new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t]+.*)*)`, "im")
        .exec(paragraph)?.[1]?.split(/\s+/).filter((word) => word) ?? [];
    if (!field("Types").includes("deb")) continue;
    sources.push({ uris: field("URIs"), suites: field("Suites") });
  }
  return sources;
}

/**
 * The mirrors of the Debian archive in the machine's apt configuration.
 *
 * @throws {DebianError} There is none.
 */
export async function debianMirrors(): Promise<DebianMirrors> {
  const sources: AptSource[] = [];
  const files = ["/etc/apt/sources.list"];
  try {
    for await (const entry of Deno.readDir("/etc/apt/sources.list.d")) {
      files.push(`/etc/apt/sources.list.d/${entry.name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  for (const file of files) {
    let text;
    try {
      text = await Deno.readTextFile(file);
    } catch {
      continue;
    }
    if (file.endsWith(".sources")) sources.push(...parseDeb822(text));
    else if (file.endsWith(".list")) sources.push(...parseList(text));
  }
  const find = (pattern: RegExp) =>
    sources.find((source) => source.suites.some((s) => pattern.test(s)))
      ?.uris[0];
  const main = find(new RegExp(`^${RELEASES}$`));
  if (main === undefined) {
    throw new DebianError("Cannot get packages: the apt configuration names no Debian archive");
  }
  const security = find(new RegExp(`^${RELEASES}(-security|/updates)$`));
  return { main, security };
}

/** apt for one other release, with its configuration, lists and downloads in a folder of its own. */
export class PrivateApt {
  #options: string[];
  #dir: string;
  #suite: string;
  #log: (line: string) => void;

  /**
   * @param dir An absolute path, made if need be.
   * @param log Told where something else is taken than what is newest; by default standard error.
   */
  constructor(dir: string, suite: string, log: (line: string) => void = logToStderr) {
    this.#dir = dir;
    this.#suite = suite;
    this.#log = log;
    this.#options = [
      `Dir::Etc::sourcelist=${dir}/sources.list`,
      "Dir::Etc::sourceparts=-",
      `Dir::State=${dir}/state`,
      `Dir::State::status=${dir}/status`,
      `Dir::Cache=${dir}/cache`,
      "APT::Sandbox::User=root",
      "APT::Architecture=amd64",
      "APT::Architectures=amd64",
      "Acquire::Languages=none",
      "Acquire::Retries=3",
    ].flatMap((option) => ["-o", option]);
  }

  /** Writes the sources list for the release and fetches its package lists. */
  async update(): Promise<void> {
    for (const sub of ["state/lists/partial", "cache/archives/partial"]) {
      await Deno.mkdir(`${this.#dir}/${sub}`, { recursive: true });
    }
    await Deno.writeTextFile(`${this.#dir}/status`, "");
    const mirrors = await debianMirrors();
    const line = (uri: string, name: string) =>
      `deb [signed-by=${ARCHIVE_KEYRING}] ${uri} ${name} main\n`;
    const base = this.#suite.replace(/-backports$/, "");
    let list = line(mirrors.main, base);
    if (this.#suite !== base) list += line(mirrors.main, this.#suite);
    else if (mirrors.security !== undefined) {
      list += line(mirrors.security, `${base}-security`);
    }
    await Deno.writeTextFile(`${this.#dir}/sources.list`, list);
    await this.#run("apt-get", ["update", "-qq", "--error-on=any"]);
  }

  /**
   * The versions of a package that the suite has, newest first.
   *
   * @throws {DebianError} There is none.
   */
  async versions(name: string): Promise<string[]> {
    const table = await this.#run("apt-cache", ["madison", name]);
    const versions = table.split("\n").flatMap((line) => {
      const [, version = "", where = ""] = line.split("|").map((cell) => cell.trim());
      const [, place = ""] = where.split(" ");
      return [this.#suite, `${this.#suite}-security`].includes(place.split("/")[0]!)
        ? [version]
        : [];
    });
    if (versions.length === 0) {
      throw new DebianError(`Cannot get packages: ${this.#suite} has no ${name}`);
    }
    return [...new Set(versions)];
  }

  /** The names of the packages that a version of `name` depends on. */
  async depends(name: string, version: string): Promise<string[]> {
    const text = await this.#run("apt-cache", ["show", `${name}=${version}`]);
    const [, depends = ""] = /^Depends: (.*)/m.exec(text) ?? [];
    return depends.split(",").map((one) => one.trim().split(" ")[0]!);
  }

  /**
   * Downloads packages and extracts their files below `root`.
   *
   * @param names Each the name of a package, of which the newest is taken that the archive still
   * has, or `NAME=VERSION`.
   * @returns The file names of what was downloaded, which say the versions.
   */
  async extract(names: readonly string[], root: string): Promise<string[]> {
    const into = `${this.#dir}/debs`;
    // Another run may have been stopped in the middle of a download.
    await Deno.remove(into, { recursive: true }).catch(() => {});
    await Deno.mkdir(into, { recursive: true });
    const download = (one: string) => this.#run("apt-get", ["download", "-qq", one], into);
    for (const name of names) {
      if (name.includes("=")) await download(name);
      else await this.newest(name, (version) => download(`${name}=${version}`));
    }
    const files: string[] = [];
    for await (const { name } of Deno.readDir(into)) {
      if (name.endsWith(".deb")) files.push(name);
    }
    for (const file of files) await this.#run("dpkg-deb", ["-x", `${into}/${file}`, root]);
    await Deno.remove(into, { recursive: true });
    return files.sort();
  }

  /**
   * Tries the versions of a package, newest first, until one can be had: an index may name files
   * that are not in the archive any more.
   *
   * @throws {DebianError} None can; why the newest cannot.
   */
  async newest<T>(name: string, take: (version: string) => Promise<T>): Promise<T> {
    const [newest, ...older] = await this.versions(name);
    try {
      return await take(newest!);
    } catch (error) {
      if (!(error instanceof DebianError)) throw error;
      for (const version of older) {
        this.#log(`${error.message}; trying ${name} ${version} in place of ${newest}`);
        try {
          return await take(version);
        } catch (again) {
          if (!(again instanceof DebianError)) throw again;
        }
      }
      throw error;
    }
  }

  async #run(command: string, args: string[], cwd = "/"): Promise<string> {
    const options = command === "dpkg-deb" ? [] : this.#options;
    let output;
    try {
      output = await new Deno.Command(command, { args: [...options, ...args], cwd, stdin: "null" })
        .output();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new DebianError(`Cannot get packages: ${command} is not installed`);
    }
    const decoder = new TextDecoder();
    if (!output.success) {
      const said = decoder.decode(output.stderr).trim().split("\n").slice(-3).join("; ");
      throw new DebianError(`Cannot get packages: ${command} ${args[0]} failed: ${said}`);
    }
    return decoder.decode(output.stdout);
  }
}

function logToStderr(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}
