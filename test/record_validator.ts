/** Checks records against the published JSON Schemas. */
import assert from "node:assert/strict";
import { type Schema, Validator } from "@cfworker/json-schema";
import { RECORD_SCHEMA_NAMES, recordSchema } from "../lib/record/schemas.ts";

const VALIDATORS = new Map(RECORD_SCHEMA_NAMES.map((name) => {
  const schema = recordSchema(name);
  return [schema.title as string, new Validator(schema as Schema, "2020-12", false)];
}));

/** Fails unless a record is as the schema of its type says. */
export function assertValidRecord(record: { readonly type: string }): void {
  const validator = VALIDATORS.get(record.type);
  assert.ok(validator !== undefined, `There is no schema of ${record.type}`);
  const { valid, errors } = validator.validate(record);
  const problems = errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
  assert.ok(valid, `${problems.join("\n")}\n${JSON.stringify(record)}`);
}
