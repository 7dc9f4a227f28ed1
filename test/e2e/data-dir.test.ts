import { spawn, spawnSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bytesOf } from '../contracts/store-fixtures.ts'
import { openCommand } from './command.ts'

const { folder, json, membrane } = openCommand('data-dir')

/** A data directory of its own and files to put into it. */
function paths(name: string) {
  const at = (file: string): string => join(folder, `${name}-${file}`)
  writeFileSync(at('small'), bytesOf(3000, 1))
  writeFileSync(at('large'), bytesOf(400_000, 2))
  return { at, dir: ['--data-dir', at('data')] }
}

interface Listed {
  readonly key: string
  readonly name: string
  readonly payloadBytes: number
  readonly contentHash: string
  readonly isPinned: boolean
}

/** Flips one byte in the middle of the largest segment. */
function damage(dataDir: string): void {
  const segments = readdirSync(join(dataDir, 'segments')).map((name) => join(dataDir, 'segments', name))
  const contents = segments.map((path) => ({ path, bytes: readFileSync(path) }))
  const largest = contents.toSorted((a, b) => b.bytes.length - a.bytes.length)[0] ?? expect.unreachable()
  const middle = Math.floor(largest.bytes.length / 2)
  largest.bytes[middle] = (largest.bytes[middle] ?? 0) ^ 1
  writeFileSync(largest.path, largest.bytes)
}

describe('the commands on a data directory', () => {
  test('store a file and give it back, whole or in part, once for equal bytes', () => {
    const { at, dir } = paths('round')
    const put = json('put', at('small'), '--key', 'mine', ...dir)
    expect(put).toMatchObject({ outcome: 'stored', payloadBytes: 3000 })
    expect(membrane('put', at('small'), '--key', 'mine', ...dir).out).toContain('present')
    expect(membrane('put', at('small'), '--pin', ...dir).code).toBe(0)
    membrane('get', 'mine', '--out', at('out'), ...dir)
    expect(readFileSync(at('out')).equals(Buffer.from(bytesOf(3000, 1)))).toBe(true)
    membrane('get', 'mine', '--span', '10-20', '--out', at('part'), ...dir)
    expect(readFileSync(at('part')).equals(Buffer.from(bytesOf(3000, 1).subarray(10, 20)))).toBe(true)
    const listed = json('ls', ...dir) as readonly Listed[]
    expect(listed.map(({ name, isPinned }) => ({ name, isPinned }))).toEqual([
      { name: expect.stringMatching(/^artifact\/b3:/) as string, isPinned: true },
      { name: 'mine', isPinned: false },
    ])
    expect(membrane('ls', ...dir).out).toContain('6 kB; the directory holds 2 of all tenants, 3 kB')
  })

  test('are listed in a table that one long key does not ruin, and in JSON whole', () => {
    const { at, dir } = paths('long')
    const long = `begins${'x'.repeat(600)}ends`
    membrane('put', at('small'), '--key', long, ...dir)
    membrane('put', at('small'), '--key', 'short', ...dir)
    for (const flags of [[], ['--long']]) {
      const { out } = membrane('ls', ...flags, ...dir)
      expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThan(500)
      expect(out).toMatch(/begins.*…x*ends/)
    }
    expect((json('ls', ...dir) as readonly Listed[]).map(({ name }) => name)).toContain(long)
  })

  test('keep tenants apart', () => {
    const { at, dir } = paths('tenants')
    membrane('put', at('small'), '--key', 'mine', '--tenant', 'ann', ...dir)
    const bob = membrane('has', 'mine', '--tenant', 'bob', ...dir)
    expect(bob).toMatchObject({ code: 1, out: 'no   mine\n' })
    expect(membrane('has', 'mine', '--tenant', 'ann', ...dir)).toMatchObject({ code: 0, out: 'yes  mine\n' })
    expect(membrane('ls', '--tenant', '../ann', ...dir).err).toContain('A tenant is 1 to 64 letters')
  })

  test('remove, and leave no byte of what is erased', () => {
    const { at, dir } = paths('remove')
    for (const key of ['one', 'two']) membrane('put', at('small'), '--key', key, '--tenant', 'ann', ...dir)
    writeFileSync(at('other'), bytesOf(3000, 9))
    membrane('put', at('other'), '--key', 'kept', ...dir)
    expect(membrane('rm', 'one', 'none', '--tenant', 'ann', ...dir)).toMatchObject({
      code: 1,
      out: '1 removed\n',
    })
    expect(membrane('rm', '--all', '--erase', '--tenant', 'ann', ...dir)).toMatchObject({
      code: 0,
      out: '1 removed\n',
    })
    const files = readdirSync(at('data'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const bytes = files.map((entry) => readFileSync(join(entry.parentPath, entry.name)))
    const marks = [Buffer.from(bytesOf(3000, 1).subarray(1000, 1032)), Buffer.from('two'), Buffer.from('ann/')]
    for (const mark of marks)
      expect(
        bytes.some((content) => content.includes(mark)),
        mark.toString('latin1'),
      ).toBe(false)
    expect(bytes.some((content) => content.includes(Buffer.from(bytesOf(3000, 9).subarray(1000, 1032))))).toBe(true)
  })

  test('move fragments through an archive that any tar reads', () => {
    const { at, dir } = paths('archive')
    membrane('put', at('small'), '--key', 'a', '--ttl', '1h', ...dir)
    membrane('put', at('small'), '--key', 'b', '--priority', 'high', ...dir)
    membrane('put', at('large'), '--media-type', 'text/plain', '--text', 'a large one', ...dir)
    expect(membrane('export', '--out', at('x.tar'), ...dir).err).toContain('3 fragments, 403 kB')
    const elsewhere = ['--data-dir', at('elsewhere')]
    expect(json('import', at('x.tar'), ...elsewhere)).toMatchObject({
      fragments: 3,
      stored: 3,
      payloadBytes: 403_000,
    })
    expect(json('import', at('x.tar'), ...elsewhere)).toMatchObject({ stored: 0, present: 3 })
    expect(json('ls', ...elsewhere)).toEqual(json('ls', ...dir))
    writeFileSync(at('short.tar'), readFileSync(at('x.tar')).subarray(0, 200_000))
    const broken = membrane('import', at('short.tar'), '--data-dir', at('third'))
    expect(broken.code).toBe(1)
    expect(broken.err).toContain('no archive that can be imported')
  })

  test('write a pipe, a device or a link as what it is, and leave a file alone that they cannot write whole', () => {
    const { at, dir } = paths('targets')
    membrane('put', at('small'), '--key', 'small', ...dir)
    spawnSync('sh', ['-c', `mkfifo '${at('pipe')}'`])
    for (const words of [['get', 'small'], ['export']]) {
      const reader = spawn('cat', [at('pipe')], { stdio: 'ignore' })
      expect(membrane(...words, '--out', at('pipe'), ...dir)).toMatchObject({ code: 0 })
      expect(statSync(at('pipe')).isFIFO()).toBe(true)
      reader.kill()
      symlinkSync('/dev/full', at(`full-${words[0]}`))
      const full = membrane(...words, '--out', at(`full-${words[0]}`), ...dir)
      expect(full).toMatchObject({ code: 1, err: expect.stringContaining('cannot be written (ENOSPC)') as string })
      writeFileSync(at('named'), 'before')
      symlinkSync(at('named'), at(`link-${words[0]}`))
      expect(membrane(...words, '--out', at(`link-${words[0]}`), ...dir)).toMatchObject({ code: 0 })
      expect(lstatSync(at(`link-${words[0]}`)).isSymbolicLink()).toBe(true)
      expect(readFileSync(at('named'), 'latin1')).not.toContain('before')
    }
  })

  test('list what lasts longer than dates do, and show names and texts that would command a terminal harmlessly', () => {
    const { at, dir } = paths('listing')
    membrane('put', at('small'), '--key', 'forever', '--ttl', '99999999d', ...dir)
    membrane('put', at('small'), '--key', 'two\nlines\u001b[2J', '--text', 'evil\u001b[2J', ...dir)
    const listed = membrane('ls', '--long', ...dir)
    expect(listed).toMatchObject({ code: 0, err: '' })
    expect(listed.out).not.toContain('\u001b')
    expect(listed.out.trimEnd().split('\n')).toHaveLength(4)
    expect(membrane('get', 'opaque/=two%0alines%1b%5b2J', '--out', at('out'), ...dir)).toMatchObject({ code: 0 })
  })

  test('find damage: a miss when it is read, and named when it is looked for', () => {
    const { at, dir } = paths('damage')
    membrane('put', at('large'), '--key', 'large', ...dir)
    membrane('put', at('small'), '--key', 'small', ...dir)
    expect(membrane('scrub', ...dir)).toMatchObject({ code: 0 })
    damage(at('data'))
    const scrubbed = membrane('scrub', ...dir)
    expect(scrubbed.code).toBe(1)
    expect(scrubbed.out).toContain('lost  large  of default')
    expect(readdirSync(join(at('data'), 'quarantine'))).toHaveLength(2)
    expect(membrane('get', 'large', '--out', at('out'), ...dir).err).toContain('Nothing is stored under "large"')
    expect(membrane('has', 'small', ...dir)).toMatchObject({ code: 0 })
    expect(membrane('put', at('large'), '--key', 'large', ...dir)).toMatchObject({ code: 0 })
    expect(membrane('scrub', ...dir)).toMatchObject({ code: 0 })
  })

  test('keep within a bound by evicting, and say when something does not fit', () => {
    const { at, dir } = paths('bound')
    const bound = ['--max-bytes', '500kB', '--policy', 'lru']
    membrane('put', at('small'), '--key', 'first', ...bound, ...dir)
    membrane('put', at('large'), '--key', 'large', ...bound, ...dir)
    writeFileSync(at('more'), bytesOf(99_000, 3))
    membrane('put', at('more'), '--key', 'more', ...bound, ...dir)
    expect(json('ls', ...dir) as readonly Listed[]).toHaveLength(2)
    writeFileSync(at('huge'), bytesOf(500_001, 4))
    const refused = membrane('put', at('huge'), '--key', 'huge', ...bound, ...dir)
    expect(refused.code).toBe(1)
    expect(refused.err).toContain('does not fit into 500000 bytes')
  })

  test.each([
    ['a directory that is not there', ['ls', '--data-dir', '/nowhere/at/all'], 'There is no data directory'],
    ['a file that is not there', ['put', '/nowhere/file', '--data-dir', join(folder, 'e1')], 'cannot be read (ENOENT)'],
    [
      'an archive that is not there',
      ['import', '/nowhere/file', '--data-dir', join(folder, 'e4')],
      'cannot be read (ENOENT)',
    ],
    [
      'an archive that is a directory',
      ['import', folder, '--data-dir', join(folder, 'e5')],
      'cannot be read (a directory)',
    ],
    [
      'a durability that is none',
      ['put', '-', '--durability', 'some', '--data-dir', join(folder, 'e2')],
      '--durability must be',
    ],
    [
      'a size that is none',
      ['put', '-', '--max-bytes', 'ten', '--data-dir', join(folder, 'e3')],
      'Expected a size such as',
    ],
    ['no key and no --all', ['rm', '--data-dir', folder], 'Give the keys to remove, or --all'],
    ['a directory that is something else', ['ls', '--data-dir', folder], folder],
  ])('refuse %s', (_, args, message) => {
    const refused = membrane(...args)
    expect(refused.code).toBe(1)
    expect(refused.err).toContain(message)
    expect(refused.out).toBe('')
  })
})
