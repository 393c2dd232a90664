/**
 * `deno task test [PATH…]`: builds, runs every test (or those under PATH), and ends with one line,
 * `N passed, N failed, N skipped`, over everything that ran.
 *
 * @module
 */

import { globSync } from "node:fs";
import { setup, SetupError } from "../ffi/setup.ts";
import { ROOT } from "./paths.ts";
import { print } from "./report.ts";

/** The packages as they were when their digests were written down. */
const LOCK = [`--lock=${ROOT}deno.lock`, "--frozen"];
const REPORTS = `${ROOT}.cache/test`;
/** A part that hangs is ended after so long: several times what it takes on 2 cores. */
const PART_MS = 120 * 60_000;

/** What one part's report says. */
interface Report {
  passed: number;
  /** Names of the tests that failed. */
  failed: string[];
  /** Names of the tests that were skipped; a name says why. */
  skipped: string[];
}

function unescapeXml(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replaceAll(/&(\w+);/g, (whole, name) => entities[name] ?? whole);
}

/**
 * Reads the JUnit report that `deno test` wrote of one part. A part that broke down, or that ran no
 * test, has failed too.
 */
export function readReport(name: string, xml: string, isSuccess: boolean): Report {
  const report: Report = { passed: 0, failed: [], skipped: [] };
  for (const [, name, body] of xml.matchAll(/<testcase name="([^"]*)".*?>(.*?)<\/testcase>/gs)) {
    if (body!.includes("<failure")) report.failed.push(unescapeXml(name!));
    else if (body!.includes("<skipped")) report.skipped.push(unescapeXml(name!));
    else report.passed++;
  }
  const ran = report.passed + report.failed.length + report.skipped.length;
  if (ran === 0) report.failed.push(`${name} (no test ran)`);
  else if (!isSuccess && report.failed.length === 0) {
    report.failed.push(`${name} (it did not run through)`);
  }
  return report;
}

/** Runs `deno test` with these arguments and reports. */
async function runPart(name: string, args: string[]): Promise<Report> {
  const start = performance.now();
  print(`== ${name}`);
  const path = `${REPORTS}/${name}.xml`;
  await Deno.remove(path).catch(() => {});
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--quiet", ...LOCK, `--junit-path=${path}`, ...args],
    cwd: ROOT,
    stdin: "null",
    signal: AbortSignal.timeout(PART_MS),
  }).spawn();
  const { success } = await child.status;
  const report = readReport(name, await Deno.readTextFile(path).catch(() => ""), success);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  print(`== ${name}: ${summary(report)} in ${seconds} s`);
  return report;
}

function summary({ passed, failed, skipped }: Report): string {
  return `${passed} passed, ${failed.length} failed, ${skipped.length} skipped`;
}

/** Runs everything; true where nothing failed. */
async function main(paths: string[]): Promise<boolean> {
  await Deno.mkdir(REPORTS, { recursive: true });
  const build = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", `${ROOT}ffi/build.ts`],
    stdin: "null",
  });
  const total: Report = { passed: 0, failed: [], skipped: [] };
  const add = (report: Report) => {
    total.passed += report.passed;
    total.failed.push(...report.failed);
    total.skipped.push(...report.skipped);
  };
  if (!(await build.spawn().status).success) {
    add({ passed: 0, failed: ["deno task build"], skipped: [] });
  } else if (paths.length > 0) {
    add(await runPart("selected", paths));
  } else {
    for (const purpose of ["workload", "lab"] as const) {
      try {
        setup(purpose, print);
      } catch (error) {
        // The tests that need what is missing skip themselves then, each by its name.
        if (!(error instanceof SetupError)) throw error;
        print(error.message);
      }
    }
    add(await runPart("unit", ["--ignore=test/vm", "test"]));
    if (globSync("test/vm/**/*_test.ts", { cwd: ROOT }).length > 0) {
      add(await runPart("lab", ["test/vm"]));
    }
  }
  for (const name of total.skipped) print(`skipped: ${name}`);
  for (const name of total.failed) print(`failed: ${name}`);
  print(summary(total));
  return total.failed.length === 0;
}

if (import.meta.main && !await main(Deno.args)) Deno.exit(1);
