import { CONFIG_SCHEMA } from "../config/config.ts";
import { RECORD_SCHEMA_NAMES, recordSchema } from "../record/schemas.ts";

/**
 * The JSON Schema of the config or of a record type, as text.
 *
 * @param what `config` or the name of a record type; without it, any record.
 */
export function schemaText(what: string | undefined): string {
  const name = RECORD_SCHEMA_NAMES.find((it) => it === what);
  return JSON.stringify(what === "config" ? CONFIG_SCHEMA : recordSchema(name), null, 2) + "\n";
}
