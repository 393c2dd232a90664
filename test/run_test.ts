import { deepStrictEqual } from "node:assert/strict";
import { readReport } from "./run.ts";

const CASES = '<testcase name="a &lt; b" line="1">\n</testcase>' +
  '<testcase name="c"><skipped/></testcase><testcase name="d"><failure message="x"></failure></testcase>';

Deno.test("readReport() counts what ran", () => {
  const report = { passed: 1, failed: ["d"], skipped: ["c"] };
  deepStrictEqual(readReport("unit", CASES, false), report);
});

Deno.test("readReport() takes a part that ran no test for a failure", () => {
  for (const xml of ["", '<testsuites name="deno test" tests="0" failures="0"></testsuites>']) {
    const failed = { passed: 0, failed: ["unit (no test ran)"], skipped: [] };
    deepStrictEqual(readReport("unit", xml, true), failed);
    deepStrictEqual(readReport("unit", xml, false), failed);
  }
});

Deno.test("readReport() takes a part that broke down for a failure", () => {
  const [passed] = CASES.split('<testcase name="c"');
  deepStrictEqual(readReport("lab", passed!, false).failed, ["lab (it did not run through)"]);
});
