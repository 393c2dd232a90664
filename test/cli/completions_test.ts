/** The completions in the shells that they are for, each on a terminal of its own. */
import assert from "node:assert/strict";
import { need, run, succeeds, testWith } from "../command.ts";
import { withFolder } from "../ffi/open_image.ts";
import { PROGRAM } from "../paths.ts";

/** What each shell is given before the first key. */
const SHELLS: Readonly<Record<string, { command: string; setup: string[] }>> = {
  bash: { command: "bash --norc --noprofile -i", setup: ["source ./completions"] },
  "zsh by eval": {
    command: "zsh -f -i",
    setup: ["autoload -Uz compinit", "compinit -u -D", 'eval "$(cat completions)"'],
  },
  "zsh by fpath": {
    command: "zsh -f -i",
    setup: [
      "mkdir functions && mv completions functions/_iouring",
      "fpath=($PWD/functions $fpath)",
      "autoload -Uz compinit",
      "compinit -u -D",
    ],
  },
};

/** Keys, where a tab asks for completion, and the arguments that they come to. */
const LINES: readonly [keys: string, args: string][] = [
  ["iouring sca\t--det\t", "<scan><--detail>"],
  ["iouring filter --color al\t", "<filter><--color><always>"],
  ["iouring filter --format=nd\t", "<filter><--format=ndjson>"],
  ["iouring scan im\t", "<scan><image of a host.raw>"],
  ["iouring scan --slice im\t", "<scan><--slice><image of a host.raw>"],
  ["iouring schema ev\t", "<schema><event>"],
  ["iouring comp\tfi\t", "<completions><fish>"],
];

for (const [name, { command, setup }] of Object.entries(SHELLS)) {
  const shell = name.split(" ")[0]!;
  const needed = [
    need(succeeds(shell, "-c", "true"), `needs ${shell}`),
    need(succeeds("script", "-qec", "true", "/dev/null"), "needs script and a terminal"),
  ];
  testWith(needed, `completions of ${name} complete commands, flags, values and files`, () => {
    withFolder((folder) => {
      Deno.writeTextFileSync(`${folder}/completions`, run(PROGRAM, ["completions", shell]).stdout);
      Deno.writeTextFileSync(`${folder}/image of a host.raw`, "");
      // In the place of the program, what tells its arguments.
      const tell = `iouring() { printf '<%s>' "$@" >> told; echo >> told; }`;
      const keys = [...setup, tell, ...LINES.map(([keys]) => keys), "exit", ""].join("\n");
      Deno.writeTextFileSync(`${folder}/keys`, keys);
      run("sh", ["-c", `script -qc '${command}' /dev/null < keys`], { cwd: folder });
      assert.equal(
        Deno.readTextFileSync(`${folder}/told`),
        LINES.map(([, args]) => `${args}\n`).join(""),
      );
    });
  });
}

testWith(
  [need(succeeds("fish", "-c", "true"), "needs fish")],
  "completions of fish complete commands, flags, values and files",
  () =>
    withFolder((folder) => {
      Deno.writeTextFileSync(`${folder}/completions`, run(PROGRAM, ["completions", "fish"]).stdout);
      Deno.writeTextFileSync(`${folder}/image.raw`, "");
      const offered = (line: string) =>
        run("fish", ["-c", `source completions; complete -C'${line}'`], { cwd: folder }).stdout
          .trimEnd().split("\n").map((row) => row.split("\t")[0]);
      assert.deepEqual(offered("iouring sca"), ["scan"]);
      assert.deepEqual(offered("iouring scan --fo"), ["--format"]);
      assert.deepEqual(offered("iouring scan --format nd"), ["ndjson"]);
      assert.deepEqual(offered("iouring scan im"), ["image.raw"]);
      assert.deepEqual(offered("iouring scan --slice im"), ["image.raw"]);
      assert.deepEqual(offered("iouring schema ev"), ["event"]);
      assert.deepEqual(offered("iouring completions fi"), ["fish"]);
    }),
);

testWith(
  [need(succeeds("man", "--version"), "needs man")],
  "the man page is shown without a warning",
  () =>
    withFolder((folder) => {
      Deno.writeTextFileSync(`${folder}/iouring.1`, run(PROGRAM, ["man"]).stdout);
      const args = ["--warnings", "--encoding=UTF-8", "--local-file", `${folder}/iouring.1`];
      const { code, stdout, stderr } = run("man", args, { env: { MANWIDTH: "80" } });
      assert.equal(stderr, "");
      assert.equal(code, 0);
      assert.match(stdout, /^NAME\n {7}iouring - /m);
    }),
);
