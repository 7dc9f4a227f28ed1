import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { SERVER_OPTION_NAMES, variablesOf } from '../../src/api/server-names.ts'
import { SERVER_CONFIG_KEYS } from '../../src/api/server-schema.ts'

const read = (path: string): string => readFileSync(path, 'utf8')
const INSTRUCTIONS = /^(FROM|WORKDIR|COPY|RUN|ENV|USER|VOLUME|EXPOSE|HEALTHCHECK|CMD)$/
// Those that the image and its probe add to what the program reads.
const variables = new Set([...SERVER_CONFIG_KEYS.flatMap(variablesOf), 'MEMBRANE_CONFIG', 'MEMBRANE_PROBE_URL'])
const flags = new Set(SERVER_CONFIG_KEYS.flatMap((key) => SERVER_OPTION_NAMES[key].flag ?? []))
const documentedMetrics = new Set(read('docs/metrics.md').match(/membrane_[a-z_]+/g))
const unknownMetrics = (text: string): readonly string[] =>
  (text.match(/\bmembrane_[a-z_]+/g) ?? []).filter((name) => !documentedMetrics.has(name))

describe('the Dockerfile', () => {
  const lines = read('deploy/Dockerfile')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(/\s+/))

  it('has only instructions that are known, of which ADD is none', () => {
    expect(lines.map(([name = '']) => name).filter((name) => !INSTRUCTIONS.test(name))).toEqual([])
  })

  it('copies what is in the repository', () => {
    const sources = lines
      .filter(([name, first = '']) => name === 'COPY' && !first.startsWith('--from'))
      .flatMap((words) => words.slice(1, -1))
    expect(sources.length).toBeGreaterThan(5)
    expect(sources.filter((path) => !existsSync(path))).toEqual([])
  })

  it('ends as a user who is not root', () => {
    const last = lines.findLast(([name]) => name === 'USER')?.[1]
    expect(last).toBe('node')
    const stage = lines.findLastIndex(([name]) => name === 'FROM')
    expect(lines.slice(stage).some(([name]) => name === 'USER')).toBe(true)
  })
})

describe('the compose file', () => {
  const file = parse(read('deploy/compose.yaml'), { merge: true })
  const services: Record<string, { environment?: Record<string, string>; secrets?: string[]; volumes?: string[] }> =
    file.services

  it('sets only variables that the server reads', () => {
    const names = Object.values(services)
      .flatMap(({ environment = {} }) => Object.keys(environment))
      .filter((name) => name.startsWith('MEMBRANE_'))
    expect(names.length).toBeGreaterThan(20)
    expect(names.filter((name) => !variables.has(name))).toEqual([])
  })

  it('uses secrets and volumes that it declares, and files that are there', () => {
    const all = Object.values(services)
    for (const secret of all.flatMap(({ secrets = [] }) => secrets)) expect(file.secrets).toHaveProperty(secret)
    for (const source of all.flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(':')[0] ?? '')))
      if (source.startsWith('.')) expect(existsSync(`deploy/${source}`), source).toBe(true)
      else expect(file.volumes).toHaveProperty(source)
  })
})

describe('the systemd unit', () => {
  it('starts the server with flags that it has', () => {
    const start = /^ExecStart=(.*)$/m.exec(read('deploy/membrane.service'))?.[1] ?? ''
    const given = start.match(/--[a-z-]+/g) ?? []
    expect(given.length).toBeGreaterThan(0)
    expect(given.filter((flag) => !flags.has(flag))).toEqual([])
  })
})

describe('alerts and dashboard', () => {
  it.each(['deploy/rules.yml', 'deploy/grafana/dashboards/membrane.json'])('%s names documented metrics', (path) => {
    expect(parse(read(path))).toBeTypeOf('object')
    expect(read(path)).toMatch(/membrane_/)
    expect(unknownMetrics(read(path))).toEqual([])
  })
})
