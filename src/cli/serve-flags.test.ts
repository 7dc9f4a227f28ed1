import { Command, CommanderError } from 'commander'
import { describe, expect, test } from 'vitest'
import { mergeServerConfig } from '../api/merge-server-config.ts'
import { SERVER_OPTION_NAMES } from '../api/server-names.ts'
import { SERVER_CONFIG_KEYS } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { addServeFlags, layerOfFlags, type ServeFlags } from './serve-flags.ts'

function serve(...words: readonly string[]) {
  const command = addServeFlags(
    new Command('serve').exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} }),
  )
  command.parse(words, { from: 'user' })
  const { config, origins } = mergeServerConfig([layerOfFlags(command.opts<ServeFlags>())])
  return { config, origins, help: command.helpInformation() }
}

describe('the flags of serve', () => {
  test('that the first server of this name had are taken as they were', () => {
    const { config, origins } = serve(...'-n membrane-1 -p 9000 -t http -c none -m 2147483648 -l INFO -d'.split(' '))
    expect(config).toMatchObject({
      nodeId: 'membrane-1',
      port: 9000,
      compute: 'none',
      memoryBytesMax: 2 ** 31,
      logLevel: 'info',
    })
    expect(origins.port).toBe('flag --port')
    expect(serve('--store', 'redis', '-r', 'redis://h').config.redisUrl).toBe('redis://h')
  })

  test('have each setting but secrets, and no letter for the host: -h is help', () => {
    const { help } = serve()
    for (const key of SERVER_CONFIG_KEYS) {
      const { flag, isSecret } = SERVER_OPTION_NAMES[key]
      if (flag === null) expect(isSecret).toBe(true)
      else expect(help).toContain(flag)
    }
    expect(help).not.toContain('api-key')
    expect(() => serve('-h')).toThrow(CommanderError)
  })

  test('may be repeated where they are lists, and hold several at once', () => {
    expect(serve('--allow-peer', 'a:1', '--allow-peer', 'b:2,c:3').config.allowedPeers).toEqual(['a:1', 'b:2', 'c:3'])
  })

  test('say no as well as yes', () => {
    expect(serve('--no-semantic').config.semantic).toBe(false)
    expect(serve('--semantic').config.semantic).toBe(true)
    expect(serve().origins.semantic).toBe('default')
  })

  test.each([[['--api-key', 'hunter2']], [['--api-key=hunter2']], [['--api-key']]])(
    'refuse a key on the command line, without repeating it: %j',
    (words) => {
      const act = () => serve(...words)
      expect(act).toThrow(MembraneError)
      expect(act).toThrow(/seen by everybody/)
      expect(act).not.toThrow(/hunter2/)
    },
  )

  test('refuse a peer where the cluster is switched off, with the flag that asked for it', () => {
    expect(() => serve('--peer', 'a:1', '--cluster', 'off')).toThrow(/flag --peer.*switched off/)
  })
})
