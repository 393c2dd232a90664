import { type Config, CONFIG_LIMIT, parseConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_error.ts";
import { FileError, type Host } from "./host.ts";
import { say } from "./say.ts";

/**
 * Reads and validates a config file, and says its warnings.
 *
 * @throws {ConfigError} It cannot be read, or has mistakes.
 */
export function loadConfig(path: string, host: Host): Config {
  let bytes: Uint8Array;
  try {
    bytes = host.readFile(path, CONFIG_LIMIT);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    throw new ConfigError(error.message);
  }
  const { config, warnings } = parseConfig(bytes, path);
  for (const { line, column, message } of warnings) {
    say(host, `warning: ${path}:${line}:${column}: ${message}`);
  }
  return config;
}
