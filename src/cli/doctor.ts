import { readFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError } from 'commander'
import type { MembraneClient } from '../api/client.ts'
import { MembraneError } from '../core/errors.ts'
import { keyOfName } from '../server/client-library.ts'
import { type Check, type CheckResult, runChecks } from './doctor-check.ts'
import { directoryChecks, versionChecks } from './doctor-local.ts'
import { lmCheck } from './doctor-lm.ts'
import { redisCheck, respCheck } from './doctor-resp.ts'
import { serverChecks } from './doctor-server.ts'
import { parseAddress } from './doctor-wire.ts'
import { bad, dim, good, printJson, printText } from './print.ts'
import { printable } from './printable.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { addServerFlags, type ServerFlags, tokenOf, withServer } from './server-client.ts'
import { packageVersion } from './version.ts'

interface DoctorFlags extends GlobalFlags, ServerFlags {
  readonly dataDir?: string
  readonly resp?: string
  readonly lm?: string
  readonly grpc?: string
  readonly tls?: boolean
  readonly redis?: string
}

/** Widest of the names. */
const NAME_CHARACTERS = 12

export function defineDoctor(command: Command): void {
  addServerFlags(
    command
      .description('is everything well: write, read back and compare through each door; disk, clock, Redis, versions')
      .optionsGroup('What:')
      .option('--data-dir <dir>', 'directory of a store that no server has open'),
  )
    .option('--resp <address>', 'RESP door: host:port, or the path of a socket', addressOf)
    .option('--lm <address>', 'lm door: host:port', addressOf)
    .option('--grpc <address>', 'gRPC door: host:port', addressOf)
    .option('--tls', 'these doors speak TLS; so they do when the URL does')
    .option('--redis <url>', 'a Redis that a node keeps its bytes in')
  onRun<DoctorFlags>(command, async (flags) => {
    const results = await withOptionalServer(flags, async (client) => {
      const checks = await checksOf(flags, client)
      return runChecks(checks, (result) => {
        if (flags.json !== true) printText(textOf(result))
      })
    })
    const failures = results.filter(({ state }) => state === 'failed').length
    if (failures > 0) process.exitCode = 1
    if (flags.json === true) printJson({ isWell: failures === 0, checks: results })
    else printText(summaryOf(results))
  })
}

function withOptionalServer<T>(flags: DoctorFlags, use: (client: MembraneClient | null) => Promise<T>): Promise<T> {
  const { url } = flags
  return url === undefined ? use(null) : withServer({ ...flags, url }, use)
}

async function checksOf(flags: DoctorFlags, client: MembraneClient | null): Promise<readonly Check[]> {
  const { dataDir, url, resp, lm, grpc, redis } = flags
  const [ca, token] = [flags.ca === undefined ? null : await readFile(flags.ca, 'utf8'), await tokenOf(flags)]
  const tls = flags.tls === true || url?.startsWith('https:') === true ? { ca } : null
  // Nothing of what it opens is needed for the other doors.
  const { grpcCheck } = await import('./doctor-grpc.ts')
  const removeLm = client === null ? null : async (key: string) => (await client.remove([keyOfName(key)])) > 0
  return [
    ...versionChecks(packageVersion()),
    ...(dataDir === undefined ? [] : directoryChecks(dataDir, url !== undefined)),
    ...(client === null || url === undefined ? [] : serverChecks(client, new URL(url), ca)),
    ...(resp === undefined ? [] : [respCheck({ address: resp, tls }, token)]),
    ...(lm === undefined ? [] : [lmCheck({ address: lm, tls }, removeLm)]),
    ...(grpc === undefined ? [] : [grpcCheck({ address: grpc, tls }, token)]),
    ...(redis === undefined ? [] : [redisCheck(redisUrl(redis), ca)]),
  ]
}

function redisUrl(text: string): URL {
  const url = URL.parse(text)
  if (url !== null && (url.protocol === 'redis:' || url.protocol === 'rediss:')) return url
  // It may have a password in it.
  throw new MembraneError('INVALID_REQUEST', '--redis takes redis://host:port or rediss://host:port.')
}

function addressOf(text: string): string {
  try {
    parseAddress(text)
    return text
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
  }
}

function textOf({ name, state, found, remedy }: CheckResult): string {
  const mark = state === 'ok' ? good('ok     ') : state === 'warning' ? 'warning' : bad('failed ')
  const line = `${mark}  ${name.padEnd(NAME_CHARACTERS)}  ${printable(found)}`
  return remedy === null ? line : `${line}\n${' '.repeat(NAME_CHARACTERS + 11)}${dim(remedy)}`
}

function summaryOf(results: readonly CheckResult[]): string {
  const count = (state: CheckResult['state']): number => results.filter((result) => result.state === state).length
  const [failures, warnings] = [count('failed'), count('warning')]
  if (failures > 0) return bad(`${failures} failed, ${warnings} warnings, ${count('ok')} ok`)
  return warnings > 0 ? `All works; ${warnings} warnings` : good('All is well.')
}
