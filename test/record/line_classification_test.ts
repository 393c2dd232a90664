import assert from "node:assert/strict";
import { withClassification } from "../../lib/record/line_classification.ts";
import type { Classification } from "../../lib/record/records.ts";

const NEW: Classification = { suspicious: false, severity: "info", rules: [] };
const TEXT = '"classification":{"suspicious":false,"severity":"info","rules":[]}';

/** Line, what it becomes with {@linkcode NEW}, what it becomes without any. */
const CASES: readonly (readonly [string, string, string])[] = [
  ['{"a":1}', `{"a":1,${TEXT}}`, '{"a":1}'],
  [
    '{ "a" : [1,{"b":"}"}] } \r',
    `{ "a" : [1,{"b":"}"}] ,${TEXT}} \r`,
    '{ "a" : [1,{"b":"}"}] } \r',
  ],
  [
    '{"a":1,"classification":{"rules":[{"id":","}]},"b":2}',
    `{"a":1,${TEXT},"b":2}`,
    '{"a":1,"b":2}',
  ],
  ['{"classification":null,"b":2}', `{${TEXT},"b":2}`, '{"b":2}'],
  ['{"a":1 , "classification" : 3 }', `{"a":1 ,${TEXT}}`, '{"a":1 }'],
  [
    '{"a":{"classification":1},"b":"classification"}',
    `{"a":{"classification":1},"b":"classification",${TEXT}}`,
    '{"a":{"classification":1},"b":"classification"}',
  ],
  ['{"\\u0063lassification":1,"a":2}', `{${TEXT},"a":2}`, '{"a":2}'],
  ['{"classification":1,"a":2,"classification":3}', `{"a":2,${TEXT}}`, '{"a":2}'],
  ['{"a":"\\\\","classification":3}', `{"a":"\\\\",${TEXT}}`, '{"a":"\\\\"}'],
];

for (const [line, replaced, removed] of CASES) {
  Deno.test(`withClassification() replaces and removes in ${line}`, () => {
    assert.equal(withClassification(line, NEW), replaced);
    assert.equal(withClassification(line, undefined), removed);
    assert.deepEqual(JSON.parse(replaced).classification, NEW);
  });
}
