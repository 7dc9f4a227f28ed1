/** Nodes with credentials, a shared secret, and TLS: tenants stay apart across nodes, and strangers do not get in. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MembraneClient } from '../../src/api/client.ts'
import { encodePeerMessage, peerMessage } from '../../src/cluster/peer-calls.ts'
import { parseTenantId } from '../../src/core/ids.ts'
import { openClient } from '../../src/server/client-library.ts'
import { NodeTokens } from '../../src/server/node-tokens.ts'
import { makeCertificates, missingPrograms } from '../redis-server.ts'
import { freePort, type MembraneServer, startMembraneServer } from '../membrane-server.ts'
import { PROGRAM } from './command.ts'

const TIMEOUT_MS = 120_000
const SECRET = 'a-secret-of-more-than-sixteen-characters'
const payload = Buffer.from('what ann stored')

const noTls = missingPrograms('openssl').length > 0
const what = 'nodes with credentials and TLS'

describe.skipIf(noTls)(noTls ? `${what} (skipped: no openssl)` : what, { timeout: TIMEOUT_MS }, () => {
  let folder = ''
  let ca = ''
  let authorityFile = ''
  const servers: MembraneServer[] = []
  const clients: MembraneClient[] = []
  const tokens = new Map<string, string>()

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'membrane-cluster-security-'))
    const path = (name: string, text: string): string => {
      const file = join(folder, name)
      writeFileSync(file, text, { mode: 0o600 })
      return file
    }
    const certificates = await makeCertificates(folder)
    ca = readFileSync(certificates.ca, 'utf8')
    authorityFile = certificates.ca
    const credentials = join(folder, 'credentials.yaml')
    for (const [name, tenant, role] of [
      ['ann', 'ann', 'writer'],
      ['bob', 'bob', 'writer'],
      ['root', 'ann', 'admin'],
    ] as const) {
      const words = ['token', 'new', '--file', credentials, '--name', name, '--tenant', tenant, '--role', role]
      const out = execFileSync(process.execPath, [PROGRAM, ...words, '--json'], { encoding: 'utf8' })
      tokens.set(name, (JSON.parse(out) as { token: string }).token)
    }
    const secretFile = path('secret', SECRET)
    const otherSecret = path('other-secret', 'another-secret-of-enough-characters')
    const tls = ['--tls-cert', certificates.cert, '--tls-key', certificates.key]
    const common = ['--compute', 'none', '--credentials', credentials, '--cluster', 'gossip', ...tls]
    for (let index = 0; index < 3; index++) {
      const port = await freePort()
      const first = servers[0]
      servers.push(
        await startMembraneServer({
          ca,
          environment: { NODE_EXTRA_CA_CERTS: certificates.ca },
          args: [
            ...common,
            `--node-id=s${index}`,
            `--advertise=127.0.0.1:${port}`,
            // The third has another secret.
            `--cluster-secret-file=${index === 2 ? otherSecret : secretFile}`,
            ...(first === undefined ? [] : ['--peer', `127.0.0.1:${first.port}`]),
          ],
          port,
        }),
      )
    }
    for (const server of servers.slice(0, 2))
      for (const name of ['ann', 'bob'])
        clients.push(await openClient({ url: server.url, token: tokens.get(name) ?? '', tls: { ca }, retriesMax: 0 }))
    await delay(3000)
  }, TIMEOUT_MS)

  afterAll(async () => {
    for (const client of clients) await client.close()
    for (const server of servers) await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const admin = async (index: number) => {
    const client = await openClient({
      url: servers[index]?.url ?? '',
      token: tokens.get('root') ?? '',
      tls: { ca },
      retriesMax: 0,
    })
    const view = await client.cluster.view()
    await client.close()
    return view.members.filter(({ state }) => state === 'alive').map(({ node }) => node)
  }

  test('find each other by their secret, and not one that has another', async () => {
    expect(await admin(0)).toEqual(['s0', 's1'])
    expect(await admin(1)).toEqual(['s0', 's1'])
    expect(await admin(2)).toEqual(['s2'])
  })

  test('read what a tenant stored at another node, for that tenant alone', async () => {
    const [annHere, bobHere, annThere, bobThere] = clients
    const { key } = (await annHere?.put({ key: 'opaque/=shared-name', payload })) ?? { key: '' }
    await delay(500)
    expect(Buffer.from((await annThere?.get(key))?.payload ?? []).toString()).toBe(payload.toString())
    for (const bob of [bobHere, bobThere]) {
      expect(await bob?.get(key)).toBeNull()
      expect((await bob?.has([key]))?.isPresent).toEqual([false])
    }
    // Bob's removal is of his own.
    expect(await bobThere?.remove([key])).toBe(0)
    expect((await annThere?.get(key))?.payloadBytes).toBe(payload.length)
  })

  test('take messages from nobody without their token: not a writer, not an admin, not another cluster', async () => {
    const url = `${servers[0]?.url}/v1/cluster/messages`
    const body = Buffer.from(encodePeerMessage(peerMessage('hello')))
    const stranger = new NodeTokens('another-secret-of-enough-characters', 'membrane').tokenFor(parseTenantId('ann'))
    const own = new NodeTokens(SECRET, 'membrane').tokenFor(parseTenantId('ann'))
    const status = async (token: string): Promise<number> => {
      const script = `fetch(process.argv[1], {method: 'POST', headers: {authorization: 'Bearer ' + process.argv[2], 'content-type': 'application/octet-stream'}, body: Buffer.from(process.argv[3], 'base64')}).then((answer) => console.log(answer.status))`
      const out = execFileSync(process.execPath, ['-e', script, url, token, body.toString('base64')], {
        encoding: 'utf8',
        env: { ...process.env, NODE_EXTRA_CA_CERTS: authorityFile },
      })
      return Number(out)
    }
    expect(await status(own)).toBe(200)
    expect(await status(stranger)).toBe(401)
    expect(await status(tokens.get('ann') ?? '')).toBe(403)
    expect(await status(tokens.get('root') ?? '')).toBe(403)
  })
})
