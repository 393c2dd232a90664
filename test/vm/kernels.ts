/**
 * The kernels of the lab: Debian's own packages, fetched with apt from the
 * mirror this machine is configured with, and checked by the archive's
 * signatures.
 *
 * @module
 */

import { CommandError, LabUnavailableError, run } from "./run.ts";

/** One kernel the lab knows how to get. */
export interface LabKernel {
  /** The name on the command line and in directory names, such as `6.12`. */
  name: string;
  /** The suite of the archive, such as `trixie` or `trixie-backports`. */
  suite: string;
  /** The package that depends on the current image of this flavour. */
  package: string;
}

/** Every kernel that can be named. The first two are what tests use. */
export const LAB_KERNELS: readonly LabKernel[] = [
  { name: "6.1", suite: "bookworm", package: "linux-image-cloud-amd64" },
  { name: "6.12", suite: "trixie", package: "linux-image-cloud-amd64" },
  { name: "5.10", suite: "bullseye", package: "linux-image-cloud-amd64" },
  {
    name: "backports",
    suite: "trixie-backports",
    package: "linux-image-cloud-amd64",
  },
  { name: "6.1-rt", suite: "bookworm", package: "linux-image-rt-amd64" },
  { name: "6.12-rt", suite: "trixie", package: "linux-image-rt-amd64" },
];

/** What `fetchKernel()` leaves behind. */
export interface FetchedKernel {
  /** The image to boot. */
  vmlinuz: string;
  /** The directory the package was extracted to (`boot/`, `lib/modules/`). */
  root: string;
  /** Package name and version. */
  version: string;
}

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

const RELEASES = "(buster|bullseye|bookworm|trixie|forky|sid|stable|testing)";

interface AptSource {
  uris: string[];
  suites: string[];
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

/** The mirrors of the Debian archive in the machine's apt configuration. */
export async function debianMirrors(): Promise<
  { main: string; security: string | undefined }
> {
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
    throw new LabUnavailableError(
      "Cannot get kernels: the apt configuration names no Debian archive",
    );
  }
  const security = find(new RegExp(`^${RELEASES}(-security|/updates)$`));
  return { main, security };
}

/** Runs apt's tools with a private configuration under `dir`. */
class PrivateApt {
  #options: string[];
  #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
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

  /** Writes the sources list for `suite` and fetches its package lists. */
  async update(suite: string): Promise<void> {
    for (const sub of ["state/lists/partial", "cache/archives/partial"]) {
      await Deno.mkdir(`${this.#dir}/${sub}`, { recursive: true });
    }
    await Deno.writeTextFile(`${this.#dir}/status`, "");
    const mirrors = await debianMirrors();
    const line = (uri: string, name: string) => `deb [signed-by=${KEYRING}] ${uri} ${name} main\n`;
    const base = suite.replace(/-backports$/, "");
    let list = line(mirrors.main, base);
    if (suite !== base) list += line(mirrors.main, suite);
    else if (mirrors.security !== undefined) {
      list += line(mirrors.security, `${base}-security`);
    }
    await Deno.writeTextFile(`${this.#dir}/sources.list`, list);
    await this.#run("apt-get", ["update", "-qq", "--error-on=any"]);
  }

  /** The version and dependencies of the newest `name` in `suite`. */
  async show(
    name: string,
    suite: string,
  ): Promise<{ version: string; depends: string[] }> {
    const release = suite.endsWith("-backports") ? ["-t", suite] : [];
    const text = await this.#run("apt-cache", [
      ...release,
      "show",
      "--no-all-versions",
      name,
    ]);
    const field = (key: string) => new RegExp(`^${key}: (.*)`, "m").exec(text)?.[1] ?? "";
    return {
      version: field("Version"),
      depends: field("Depends").split(",").map((d) => d.trim().split(" ")[0]!),
    };
  }

  async download(name: string, version: string): Promise<string> {
    const into = `${this.#dir}/debs`;
    await Deno.mkdir(into, { recursive: true });
    await this.#run("apt-get", ["download", "-qq", `${name}=${version}`], into);
    for await (const entry of Deno.readDir(into)) {
      if (entry.name.startsWith(`${name}_`)) return `${into}/${entry.name}`;
    }
    throw new LabUnavailableError(`Cannot get kernels: no package "${name}"`);
  }

  async #run(command: string, args: string[], cwd?: string): Promise<string> {
    try {
      return await run(command, [...this.#options, ...args], cwd === undefined ? {} : { cwd });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new LabUnavailableError(`Cannot get kernels: ${error.message}`);
    }
  }
}

/** The image lies in `boot/`, or in newer packages beside the modules. */
async function extracted(root: string): Promise<FetchedKernel | undefined> {
  try {
    const version = await Deno.readTextFile(`${root}/version`);
    const found = await run("find", [root, "-type", "f", "-name", "vmlinuz*"]);
    const vmlinuz = found.split("\n")[0];
    return vmlinuz ? { vmlinuz, root, version } : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Fetches and extracts a kernel under `cache`, once; later calls find it there.
 *
 * Image and modules lie in the packages that the flavour's meta package depends
 * on, in newer releases one dependency further.
 */
export async function fetchKernel(
  kernel: LabKernel,
  cache: string,
): Promise<FetchedKernel> {
  const dir = `${cache}/kernels/${kernel.name}`;
  const root = `${dir}/root`;
  const known = await extracted(root);
  if (known) return known;

  const apt = new PrivateApt(await absolute(dir));
  await apt.update(kernel.suite);
  const names = [kernel.package];
  let newest = "";
  for (let i = 0; i < names.length && i < 8; i++) {
    const name = names[i]!;
    const { version, depends } = await apt.show(name, kernel.suite);
    newest = `${name} ${version}`;
    for (const next of depends) {
      if (/^linux-(image|binary|modules)-\d/.test(next) && !names.includes(next)) names.push(next);
    }
    if (i === 0) continue;
    const deb = await apt.download(name, version);
    await run("dpkg-deb", ["-x", deb, root]);
    await Deno.remove(deb);
  }
  await Deno.mkdir(root, { recursive: true });
  await Deno.writeTextFile(`${root}/version`, newest);
  const fetched = await extracted(root);
  if (!fetched) {
    throw new LabUnavailableError(
      `Cannot get kernel "${kernel.name}": "${names.join(", ")}" hold no image`,
    );
  }
  return fetched;
}

async function absolute(path: string): Promise<string> {
  await Deno.mkdir(path, { recursive: true });
  return await Deno.realPath(path);
}
