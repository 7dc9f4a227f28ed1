/** Checks of `membrane doctor` over RESP: the node's own door, and a Redis beside it. */
import { randomBytes, randomUUID } from 'node:crypto'
import { encodeRespCommand } from '../api/resp-codec-call.ts'
import { RespReplyReader, type RespValue } from '../api/resp-codec-reader.ts'
import { MembraneError } from '../core/errors.ts'
import { type Check, failed, type Finding, ok, warning } from './doctor-check.ts'
import { type DoctorTarget, DoctorWire } from './doctor-wire.ts'
import { bytesText } from './units.ts'

const VALUE_BYTES = 1024 * 1024

/** Writes, reads back, compares and removes. */
export function respCheck(target: DoctorTarget, token: string | null): Check {
  return { name: 'RESP door', run: (signal) => withResp({ target, password: token }, signal, exchange) }
}

export function redisCheck(url: URL, ca: string | null): Check {
  const target = {
    address: `${url.hostname}:${url.port === '' ? 6379 : url.port}`,
    tls: url.protocol === 'rediss:' ? { ca } : null,
  }
  const username = decodeURIComponent(url.username)
  const password = url.password === '' ? null : decodeURIComponent(url.password)
  return { name: 'Redis', run: (signal) => withResp({ target, username, password }, signal, lookAtRedis) }
}

type Ask = (...words: readonly (string | Uint8Array)[]) => Promise<RespValue>

interface RespLogin {
  readonly target: DoctorTarget
  readonly username?: string
  readonly password: string | null
}

async function withResp(
  { target, username = '', password }: RespLogin,
  signal: AbortSignal,
  use: (ask: Ask) => Promise<Finding>,
): Promise<Finding> {
  const wire = await DoctorWire.connect(target, signal)
  const reader = new RespReplyReader({
    bytesMax: 2 * VALUE_BYTES,
    itemsMax: 1024,
    allocate: (bytes) => new Uint8Array(bytes),
  })
  const ask: Ask = async (...words) => {
    wire.send(encodeRespCommand(words))
    for (;;) {
      const read = reader.next()
      if (read.kind === 'broken')
        throw new MembraneError('PEER_UNAVAILABLE', `The answer is not RESP: ${read.message}.`)
      if (read.kind === 'more') reader.push(await wire.some())
      else if (read.value.kind !== 'error') return read.value
      else throw refused(String(words[0]), read.value.text)
    }
  }
  try {
    if (password !== null) await ask(...(username === '' ? ['AUTH', password] : ['AUTH', username, password]))
    return await use(ask)
  } finally {
    wire.close()
  }
}

function refused(command: string, text: string): MembraneError {
  return new MembraneError('PEER_UNAVAILABLE', `${command} was answered with: ${text}.`, {
    remedy: /NOAUTH|WRONGPASS|NOPERM/.test(text)
      ? 'Give a credential that may read and write: MEMBRANE_TOKEN or --token-file; of a Redis, in its URL.'
      : 'Look at the log of the server, under the time of this check.',
  })
}

async function exchange(ask: Ask): Promise<Finding> {
  const key = `membrane-doctor-${randomUUID()}`
  const value = randomBytes(VALUE_BYTES)
  const startMs = performance.now()
  try {
    await ask('SET', key, value, 'PX', '60000')
    const read = await ask('GET', key)
    if (read.kind !== 'bytes' || !value.equals(read.bytes))
      return failed(`GET gave other bytes than SET took: ${read.kind}.`, 'Do not use this server: report it.')
    const exists = await ask('EXISTS', key)
    if (exists.kind !== 'integer' || exists.value !== 1)
      return failed('EXISTS does not find what GET reads.', 'Report it.')
  } finally {
    await ask('DEL', key)
  }
  return ok(`${bytesText(VALUE_BYTES)} written, read back and equal in ${Math.round(performance.now() - startMs)} ms`)
}

async function lookAtRedis(ask: Ask): Promise<Finding> {
  await ask('PING')
  const version = /redis_version:(\S+)/.exec(textOf(await ask('INFO', 'server')))?.[1] ?? 'unknown'
  const memory = textOf(await ask('INFO', 'memory'))
  const maxBytes = Number(/maxmemory:(\d+)/.exec(memory)?.[1] ?? 0)
  const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1] ?? 'unknown'
  const found = `Redis ${version}, ${maxBytes === 0 ? 'memory not bounded' : `at most ${bytesText(maxBytes)}`}, ${policy}`
  if (Number(version.split('.')[0]) < 6)
    return warning(found, 'Redis before 6 has no users and no TLS: take a newer one.')
  if (maxBytes > 0 && policy === 'noeviction')
    return warning(
      found,
      'When it is full, every put fails: set maxmemory-policy to one that evicts, or raise maxmemory.',
    )
  return ok(found)
}

function textOf(value: RespValue): string {
  return value.kind === 'bytes' ? new TextDecoder().decode(value.bytes) : value.kind === 'status' ? value.text : ''
}
