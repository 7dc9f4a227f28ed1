import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { opaque } from './http-world.ts'
import { ROOT } from './command.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-drain-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Reads from a connection until a text has come; what comes after is kept for the next. */
function reader(socket: Socket): (until: RegExp) => Promise<string> {
  let text = ''
  const state = { isClosed: false }
  let wake = (): void => {}
  socket.setEncoding('latin1')
  socket.on('data', (piece: string) => {
    text += piece
    wake()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    state.isClosed = true
    wake()
  })
  return async (until) => {
    while (!until.test(text) && !state.isClosed)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    const found = text
    text = ''
    return found
  }
}

test('after SIGTERM, requests under way finish, others are refused, and the node ends well', async () => {
  const node = spawn(
    process.execPath,
    [join(ROOT, 'src/cli/main.ts'), 'serve', '--port', '0', '--data-dir', join(folder, 'data')],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const ended = new Promise<number | null>((resolve) => node.once('exit', resolve))
  let printed = ''
  let logged = ''
  node.stderr.on('data', (piece: Buffer) => {
    logged += piece.toString()
  })
  const port = await new Promise<number>((resolve, reject) => {
    node.stdout.on('data', (piece: Buffer) => {
      printed += piece.toString()
      const found = /http 127\.0\.0\.1:(\d+)/.exec(printed)?.[1]
      if (found !== undefined) resolve(Number(found))
    })
    node.once('exit', () => reject(new Error(logged)))
  })
  const url = `http://127.0.0.1:${port}`
  await fetch(url + opaque('before'), { method: 'PUT', body: 'x' })
  // Half a body is on its way, and a connection is open that asks now and then.
  const upload = connect(port, '127.0.0.1')
  const readUpload = reader(upload)
  upload.write(
    `PUT ${opaque('late')} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n`,
  )
  expect(await readUpload(/100 Continue/)).toContain('100 Continue')
  upload.write('y'.repeat(500_000))
  // A request of which only the first line came is under way as well: its connection is not idle.
  const asking = connect(port, '127.0.0.1')
  const readAsking = reader(asking)
  asking.write('GET /readyz HTTP/1.1\r\n')
  await fetch(`${url}/livez`)
  node.kill('SIGTERM')
  // From when new connections are refused, the node drains.
  await expect
    .poll(
      async () =>
        fetch(`${url}/livez`).then(
          () => 'open',
          () => 'refused',
        ),
      { timeout: 5000 },
    )
    .toBe('refused')
  asking.write('host: localhost\r\n\r\n')
  const notReady = await readAsking(/draining|ok/)
  upload.write('y'.repeat(500_000))
  const stored = await readUpload(/outcome/)
  expect(await ended, logged).toBe(0)
  expect(stored).toMatch(/^HTTP\/1.1 201 .*"outcome":"stored"/s)
  expect(notReady).toMatch(/^HTTP\/1.1 503 .*"draining"/s)
  expect(notReady).toMatch(/connection: close/i)
  expect(logged).not.toMatch(/"level":(50|60)/)
})
