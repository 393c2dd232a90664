/**
 * The licenses of everything that goes into the single file, as one text that it carries.
 *
 * @module
 */

import { globSync } from "node:fs";
import packages from "../lib/imports.json" with { type: "json" };

/** A notice is not where it should be. */
export class NoticeError extends Error {
  override readonly name = "NoticeError";
}

/** Libraries of Debian that are carried as they are, and the names that their packages have had. */
const CARRIED: readonly (readonly [what: string, packages: readonly string[]])[] = [
  ["libbpf, loaded by capture", ["libbpf1"]],
  ["libelf, which libbpf needs", ["libelf1", "libelf1t64"]],
  ["zlib, which libelf needs", ["zlib1g"]],
];

/** npm packages in the bundle. Where one has no file of its license, who holds the copyright. */
const BUNDLED: readonly {
  readonly name: keyof typeof packages.imports;
  readonly holders?: string;
}[] = [
  { name: "yaml" },
  { name: "pako" },
  {
    name: "xz-decompress",
    holders: "Copyright Tim Perry and Steven Sanderson. MIT License, as that of iouring above.\n" +
      "XZ Embedded in it, by Lasse Collin and Igor Pavlov, is in the public domain.\n",
  },
];

/** The licenses that Debian's notices name and do not repeat. */
const COMMON = ["GPL-2", "GPL-3", "LGPL-2.1", "LGPL-3"];
const COMMON_FOLDER = "/usr/share/common-licenses";

const DENO =
  "Copyright 2018-2026 the Deno authors. MIT License, as that of iouring above. Deno's " +
  "own\nsource lists what is in it besides V8.\n";

const V8 = `Copyright 2014, the V8 project authors. All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted
provided that the following conditions are met:

  * Redistributions of source code must retain the above copyright notice, this list of conditions
    and the following disclaimer.
  * Redistributions in binary form must reproduce the above copyright notice, this list of
    conditions and the following disclaimer in the documentation and/or other materials provided
    with the distribution.
  * Neither the name of Google Inc. nor the names of its contributors may be used to endorse or
    promote products derived from this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR
IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT OWNER OR
CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER
IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF
THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
`;

/** Where notices are. */
export interface NoticePlaces {
  /** The project's folder. */
  readonly root: string;
  /** Debian's `usr/share/doc` with the packages that are carried. */
  readonly docs: string;
  /** Deno's folder of npm packages. */
  readonly npm: string;
  /** File names of the Debian packages, which have their versions; "" where they are not known. */
  readonly debian: string;
}

/**
 * All notices: for each part a line `== NAME` and its license.
 *
 * @throws {NoticeError} One is missing.
 */
export function gatherNotices({ root, docs, npm, debian }: NoticePlaces): string {
  const own = readOne("iouring", [`${root}/LICENSE`]);
  const sections: [title: string, text: string][] = [
    ["iouring", own],
    [`Deno ${Deno.version.deno}`, DENO],
    [`V8 ${Deno.version.v8}, in Deno`, V8],
  ];
  for (const { name, holders } of BUNDLED) {
    const version = packages.imports[name].split("@").at(-1)!;
    const files = globSync(`*/${name}/${version}/LICENSE*`, { cwd: npm }).sort();
    const text = holders ?? readOne(name, files.map((file) => `${npm}/${file}`));
    sections.push([`${name} ${version}`, text]);
  }
  for (const [what, names] of CARRIED) {
    const text = readOne(what, names.map((name) => `${docs}/${name}/copyright`));
    sections.push([what, versionOf(names, debian) + text]);
  }
  const libc = "the GNU C library, linked into the launcher";
  sections.push([libc, readOne(libc, [`${docs}/libc6/copyright`])]);
  for (const name of COMMON) {
    sections.push([name, readOne(name, [`${COMMON_FOLDER}/${name}`])]);
  }
  return sections.map(([title, text]) => `== ${title}\n\n${text.trimEnd()}\n`).join("\n");
}

/** Which package of Debian it is, whose source Debian has under the same version. */
function versionOf(names: readonly string[], debian: string): string {
  const file = debian.split("\n").find((line) => names.includes(line.split("_")[0]!));
  const version = file?.split("_")[1];
  if (version === undefined) return "";
  return `Unchanged from Debian's package ${file!.split("_")[0]}, version ${
    decodeURIComponent(version)
  }.\n\n`;
}

/** The text of the first of these files that is there. */
function readOne(what: string, paths: readonly string[]): string {
  for (const path of paths) {
    try {
      return Deno.readTextFileSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new NoticeError(`the license of ${what} is not there`);
}
