/** The keys under which a store's entries lie in Redis, and the command that reads the beginning of one. */
import { isUtf8 } from 'node:buffer'
import { MembraneError } from '../core/errors.ts'
import type { KeyCommand } from './redis-client.ts'
import { FIXED_BYTES } from './redis-value.ts'

/**
 * `membrane:<name>:<key>`, in which `%` is written `%25` and `{` is written `%7B`: without an opening brace there is no
 * hash tag, so a cluster spreads entries whatever they are called. No call needs two entries on one server.
 */
export class RedisKeys {
  readonly #prefix: Buffer

  /** 1 to 64 letters, digits, `.`, `_` and `-`; else throws INVALID_CONFIG. */
  constructor(name: string) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
      const found = JSON.stringify(name.slice(0, 100))
      const message = `A Redis store is named by 1 to 64 letters, digits, dots, underscores and dashes, found ${found}.`
      throw new MembraneError('INVALID_CONFIG', message)
    }
    this.#prefix = Buffer.from(`membrane:${name}:`)
  }

  of(key: string): Buffer {
    return Buffer.concat([this.#prefix, Buffer.from(escapeKey(key), 'utf8')])
  }

  /** Null for what no store of ours put. */
  keyIn(redisKey: Buffer): string | null {
    const bytes = redisKey.subarray(this.#prefix.length)
    if (bytes.length === 0 || !isUtf8(bytes)) return null
    const text = bytes.toString('utf8')
    const key = text.replaceAll('%7B', '{').replaceAll('%25', '%')
    return escapeKey(key) === text ? key : null
  }

  /** The fixed part of a value and so many bytes after it. */
  startCommand(key: string, headBytes: number): KeyCommand {
    return ['getrange', this.of(key), 0, FIXED_BYTES + headBytes - 1]
  }

  /** For SCAN: every key that begins with `prefix`. */
  pattern(prefix: string): Buffer {
    const special = new Set(Buffer.from('*?[]\\'))
    const escaped = [...this.of(prefix)].flatMap((byte) => (special.has(byte) ? [0x5c, byte] : [byte]))
    return Buffer.from([...escaped, ...Buffer.from('*')])
  }
}

function escapeKey(key: string): string {
  return key.replaceAll('%', '%25').replaceAll('{', '%7B')
}
